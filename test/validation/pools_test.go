package validation

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

var poolKind = kind{name: "WorkerPool", resource: "workerpools"}

// poolDefaults is what a pool of which only the minimum is given gets.
const poolDefaults = "{" + poolFields + ", " + image + `, automatedCleaningMode: metadata, provisioningTimeout: 1h,
	strategy: {type: RollingUpdate},
	deletion: {nodeDrainTimeoutSeconds: 600, nodeVolumeDetachTimeoutSeconds: 300, nodeDeletionTimeoutSeconds: 60},
	remediation: {enabled: true, unhealthyTimeoutSeconds: 300, maxUnhealthy: 2}}`

func TestDefaultsOfPools(t *testing.T) {
	pools := objectsOf(t, poolKind.resource)
	for i, spec := range []string{
		pool(""),
		pool("strategy: {}, deletion: {}, remediation: {}"),
		pool("strategy: null, deletion: {nodeDrainTimeoutSeconds: null}, remediation: {enabled: null, maxUnhealthy: null}"),
	} {
		created := create(t, pools, poolKind.object(t, fmt.Sprintf("defaults-%d", i), spec))
		if diff := gocmp.Diff(parse(t, poolDefaults), created.Object["spec"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", spec, diff)
		}
	}
}

// TestDefaultsOfPoolsForGoClients: what a Go program leaves out is left out of what it sends.
func TestDefaultsOfPoolsForGoClients(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := teapotv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(apiserver.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	typed := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "typed"}}
	typed.Spec.ControlPlaneName, typed.Spec.Version, typed.Spec.Replicas = "acme", "v1.36.3", ptr.To[int32](3)
	typed.Spec.Image.URL = "oci://registry.example.com/node:v1.36.3"
	if err := c.Create(t.Context(), typed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), typed); err != nil {
			t.Error(err)
		}
	})
	got, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(parse(t, poolDefaults), any(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnknownFieldsOfPoolsAreRefused: what is a machine's or Cluster API's alone, and what is
// misspelt.
func TestUnknownFieldsOfPoolsAreRefused(t *testing.T) {
	pools := objectsOf(t, poolKind.resource)
	for i, tt := range []struct{ spec, want string }{
		{pool("replica: 3"), `unknown field "spec.replica"`},
		{pool("providerID: 'teapot://a'"), `unknown field "spec.providerID"`},
		{pool("userData: {name: a}"), `unknown field "spec.userData"`},
		{pool("clusterName: acme"), `unknown field "spec.clusterName"`},
		{sizedPool("autoscaling: {min: 1, minReplicas: 1, maxReplicas: 2}"), `unknown field "spec.autoscaling.min"`},
		{inPool("strategy.rollingUpdate", "{maxSurge: 1}"), `unknown field "spec.strategy.rollingUpdate"`},
		{inPool("bootstrap.files", "[{path: /etc/a, contentFrom: {secret: {name: a, key: b}}}]"), `unknown field "spec.bootstrap.files[0].contentFrom"`},
		{inPool("deletion.nodeDrainTimeout", "10m"), `unknown field "spec.deletion.nodeDrainTimeout"`},
		{pool("spread: [{topologyKey: rack, maxSkew: 1}]"), `unknown field "spec.spread[0].maxSkew"`},
	} {
		_, err := pools.Create(t.Context(), poolKind.object(t, fmt.Sprintf("unknown-%d", i), tt.spec), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestGoodStatusOfPoolsIsKept: nothing that the controller writes is pruned.
func TestGoodStatusOfPoolsIsKept(t *testing.T) {
	pools := objectsOf(t, poolKind.resource)
	object := create(t, pools, poolKind.object(t, "observed", pool("")))
	want := parse(t, `{observedGeneration: 1, selector: teapot.dev/pool=observed, clusterName: acme,
		desiredReplicas: 3, replicas: 4, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 0,
		conditions: [`+statusCondition("", "")+`]}`)
	object.Object["status"] = want
	got, err := pools.UpdateStatus(t.Context(), object, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got.Object["status"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScaleOfPools: kubectl scale works, within the bounds of replicas, and not against the
// autoscaler.
func TestScaleOfPools(t *testing.T) {
	pools := objectsOf(t, poolKind.resource)
	create(t, pools, poolKind.object(t, "scaled", pool("")))
	create(t, pools, poolKind.object(t, "autoscaled", sizedPool("autoscaling: {minReplicas: 0, maxReplicas: 6}")))
	scale := func(name string, replicas int) error {
		_, err := pools.Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), metav1.PatchOptions{}, "scale")
		return err
	}
	for _, replicas := range []int{5, 0} {
		if err := scale("scaled", replicas); err != nil {
			t.Fatal(err)
		}
		object, err := pools.Get(t.Context(), "scaled", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, found, _ := unstructured.NestedInt64(object.Object, "spec", "replicas"); !found || int(got) != replicas {
			t.Errorf("spec.replicas is %d after scaling to %d", got, replicas)
		}
	}
	for _, tt := range []struct {
		name     string
		replicas int
		want     string
	}{
		{"scaled", -1, "spec.replicas in body should be greater than or equal to 0"},
		{"scaled", 10001, "spec.replicas in body should be less than or equal to 10000"},
		{"autoscaled", 3, "spec.replicas: Invalid value: give either a number of machines or spec.autoscaling, not both: with autoscaling the autoscaler decides"},
	} {
		if err := scale(tt.name, tt.replicas); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("scaling %s to %d: got %v, want %s", tt.name, tt.replicas, err, tt.want)
		}
	}
}
