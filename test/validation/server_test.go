package validation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestBadInputIsRefused: by the API server itself, with a sentence that names the field
// and says what to do.
func TestBadInputIsRefused(t *testing.T) {
	for _, kind := range kinds(t) {
		objects := objectsOf(t, kind.resource)
		for i, tt := range kind.bad {
			t.Run(kind.name+"/"+tt.name, func(t *testing.T) {
				object := kind.object(t, cmp.Or(tt.object, fmt.Sprintf("bad-%d", i)), tt.spec)
				var err error
				switch {
				case tt.status != "":
					object = create(t, objects, kind.object(t, object.GetName(), tt.from))
					object.Object["status"] = parse(t, tt.status)
					_, err = objects.UpdateStatus(t.Context(), object, metav1.UpdateOptions{})
				case tt.from != "":
					existing := create(t, objects, kind.object(t, object.GetName(), tt.from))
					object.SetResourceVersion(existing.GetResourceVersion())
					_, err = objects.Update(t.Context(), object, metav1.UpdateOptions{})
				default:
					_, err = objects.Create(t.Context(), object, metav1.CreateOptions{})
				}
				if !apierrors.IsInvalid(err) {
					t.Fatalf("got %v, want it refused as invalid", err)
				}
				for _, part := range []string{tt.field, tt.want} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("got %q, want a sentence with %q", err, part)
					}
				}
				if tt.field == "" {
					return // a rule cannot point into metadata; its sentence does
				}
				var status apierrors.APIStatus
				errors.As(err, &status)
				if !slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool { return c.Field == tt.field }) {
					t.Errorf("the API server does not point at %s: %v", tt.field, err)
				}
			})
		}
	}
}

// TestGoodInputIsAccepted: what people write and may.
func TestGoodInputIsAccepted(t *testing.T) {
	for _, kind := range kinds(t) {
		objects := objectsOf(t, kind.resource)
		for i, tt := range kind.good {
			t.Run(kind.name+"/"+tt.name, func(t *testing.T) {
				object := kind.object(t, cmp.Or(tt.object, fmt.Sprintf("good-%d", i)), tt.spec)
				if tt.from == "" {
					create(t, objects, object)
					return
				}
				existing := create(t, objects, kind.object(t, object.GetName(), tt.from))
				object.SetResourceVersion(existing.GetResourceVersion())
				if _, err := objects.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestGoodStatusIsKept: nothing that a controller writes is pruned.
func TestGoodStatusIsKept(t *testing.T) {
	planes := objectsOf(t, planeKind.resource)
	object := create(t, planes, planeKind.object(t, "observed", minimal))
	want := parse(t, goodStatus)
	object.Object["status"] = want
	got, err := planes.UpdateStatus(t.Context(), object, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got.Object["status"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnknownFieldsAreRefused, as kubectl asks for by default.
func TestUnknownFieldsAreRefused(t *testing.T) {
	planes := objectsOf(t, planeKind.resource)
	for i, tt := range []struct{ spec, want string }{
		{with("replica: 3"), `unknown field "spec.replica"`},
		{inField("endpoint.hostname", "api.example.org"), `unknown field "spec.endpoint.hostname"`},
		{inField("network.podCidr", "10.0.0.0/16"), `unknown field "spec.network.podCidr"`},
		{inField("components.apiServer.resources.requests.storage", "1Gi"), `unknown field "spec.components.apiServer.resources.requests.storage"`},
		{inField("addons.coredns.enabled", "false"), `unknown field "spec.addons.coredns"`},
		{inField("scheduling.affinity", "{}"), `unknown field "spec.scheduling.affinity"`},
		{inField("components.etcd.extraArgs", "[{name: v, value: '1', arg: w}]"), `unknown field "spec.components.etcd.extraArgs[0].arg"`},
	} {
		_, err := planes.Create(t.Context(), planeKind.object(t, fmt.Sprintf("unknown-%d", i), tt.spec), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// defaults is what a control plane of which only the version is given gets.
const defaults = `
version: v1.36.3
replicas: 1
endpoint: {type: NodePort}
network: {serviceCIDR: 10.96.0.0/16, podCIDR: 10.244.0.0/16, dnsDomain: cluster.local}
datastore: {etcd: {members: 1, storageSize: 8Gi}}
addons:
  coreDNS: {enabled: true}
  kubeProxy: {enabled: true}
  konnectivity: {enabled: true}
deletionPolicy: Delete
`

func TestDefaults(t *testing.T) {
	planes := objectsOf(t, planeKind.resource)
	want := parse(t, defaults)
	for i, spec := range []string{
		minimal,
		with("network: {}, endpoint: {}, datastore: {}, addons: {}"),
		with("network: null, endpoint: null, datastore: {etcd: {}}, addons: {coreDNS: {}, kubeProxy: {}, konnectivity: {}}, replicas: null"),
	} {
		created := create(t, planes, planeKind.object(t, fmt.Sprintf("defaults-%d", i), spec))
		if diff := gocmp.Diff(want, created.Object["spec"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", spec, diff)
		}
	}
}

// TestDefaultsOfTemplates: what is left out of a template is left to the defaults of the
// control plane; what is begun is completed.
func TestDefaultsOfTemplates(t *testing.T) {
	template := kind{name: "TenantControlPlaneTemplate", resource: "tenantcontrolplanetemplates"}
	templates := objectsOf(t, template.resource)
	for i, tt := range []struct{ spec, want string }{
		{"{template: {}}", "{template: {}}"},
		{"{template: {spec: {}}}", "{template: {spec: {deletionPolicy: Delete}}}"},
		{
			"{template: {spec: {endpoint: {}, network: {podCIDR: 10.0.0.0/12}, datastore: {}, addons: {}}}}",
			`{template: {spec: {
				endpoint: {type: NodePort},
				network: {serviceCIDR: 10.96.0.0/16, podCIDR: 10.0.0.0/12, dnsDomain: cluster.local},
				datastore: {etcd: {members: 1, storageSize: 8Gi}},
				addons: {coreDNS: {enabled: true}, kubeProxy: {enabled: true}, konnectivity: {enabled: true}},
				deletionPolicy: Delete}}}`,
		},
	} {
		created := create(t, templates, template.object(t, fmt.Sprintf("defaults-%d", i), tt.spec))
		if diff := gocmp.Diff(parse(t, tt.want), created.Object["spec"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.spec, diff)
		}
	}
}

// TestDefaultsForGoClients: what a Go program leaves out is left out of what it sends.
func TestDefaultsForGoClients(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := teapotv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(apiserver.Config(t), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	plane := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "typed"}}
	plane.Spec.Version = "v1.36.3"
	if err := c.Create(t.Context(), plane); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), plane); err != nil {
			t.Error(err)
		}
	})
	got, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&plane.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(parse(t, defaults), any(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScale: kubectl scale works, within the bounds of replicas.
func TestScale(t *testing.T) {
	planes := objectsOf(t, planeKind.resource)
	create(t, planes, planeKind.object(t, "scaled", minimal))
	scale := func(replicas int) error {
		_, err := planes.Patch(t.Context(), "scaled", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), metav1.PatchOptions{}, "scale")
		return err
	}
	if err := scale(3); err != nil {
		t.Fatal(err)
	}
	object, err := planes.Get(t.Context(), "scaled", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if replicas, _, _ := unstructured.NestedInt64(object.Object, "spec", "replicas"); replicas != 3 {
		t.Errorf("spec.replicas is %d after scaling, want 3", replicas)
	}
	for replicas, want := range map[int]string{
		0: "spec.replicas in body should be greater than or equal to 1",
		8: "spec.replicas in body should be less than or equal to 7",
	} {
		if err := scale(replicas); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("scaling to %d: got %v, want %s", replicas, err, want)
		}
	}
}

// planeKind is for tests of TenantControlPlane alone.
var planeKind = kind{name: "TenantControlPlane", resource: "tenantcontrolplanes"}

func objectsOf(t *testing.T, resource string) dynamic.ResourceInterface {
	t.Helper()
	c, err := dynamic.NewForConfig(apiserver.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	return c.Resource(teapotv1.GroupVersion.WithResource(resource)).Namespace(metav1.NamespaceDefault)
}

func create(t *testing.T, objects dynamic.ResourceInterface, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	created, err := objects.Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := objects.Delete(context.WithoutCancel(t.Context()), created.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return created
}

// parse reads YAML as the API server reads JSON: whole numbers are int64.
func parse(t *testing.T, text string) any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	wrapped := &unstructured.Unstructured{}
	if err := wrapped.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Value","value":%s}`, data)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return wrapped.Object["value"]
}
