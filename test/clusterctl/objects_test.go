package clusterctl

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/render"
)

// moved are the kinds whose objects of a Cluster's a move takes along.
var moved = map[schema.GroupVersion][]string{
	clusterv1.GroupVersion:   {"Cluster", "ClusterClass", "MachineDeployment", "MachineSet", "Machine", "MachineHealthCheck"},
	bootstrapv1.GroupVersion: {"KubeadmConfig", "KubeadmConfigTemplate"},
	teapotv1.GroupVersion: {
		"TenantControlPlane", "TenantControlPlaneTemplate", "TenantCluster", "TenantClusterTemplate",
		"HostMachine", "HostMachineTemplate", "MachineClaim", "WorkerPool",
	},
}

// inventory are the names of the objects of the Cluster's namespace by kind, without the claim that
// is of no Cluster.
func (m *management) inventory(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for version, kinds := range moved {
		for _, kind := range kinds {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(version.WithKind(kind + "List"))
			must(t, m.client.List(t.Context(), list, client.InNamespace(namespace)))
			for _, item := range list.Items {
				if item.Name != "alone" {
					found[kind] = append(found[kind], item.Name)
				}
			}
			slices.Sort(found[kind])
		}
	}
	return found
}

// apply makes the objects of a manifest.
func (m *management) apply(t *testing.T, text string) {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	must(t, err)
	for _, object := range objects {
		// A webhook's manager may have been started a moment ago.
		eventually(t, fmt.Sprintf("%s %s to be accepted", object.GetKind(), object.GetName()), func() error {
			return m.client.Create(t.Context(), object.DeepCopy())
		})
	}
}

// checkInstalled compares what `clusterctl init` installed with what the chart has.
func checkInstalled(t *testing.T, m *management) {
	t.Helper()
	for _, want := range render.Objects(t, "crds: {keep: false}") {
		id := want.GetKind() + " " + want.GetName()
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(want.GroupVersionKind())
		if err := m.client.Get(t.Context(), client.ObjectKeyFromObject(want), live); err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		for _, each := range []string{"metadata", "status", "subjects"} { // the last is looked at below
			delete(want.Object, each)
		}
		if want.GetKind() == "Deployment" {
			for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by"} {
				unstructured.RemoveNestedField(want.Object, "spec", "template", "metadata", "labels", label)
			}
		}
		for _, difference := range missingIn(live.Object, want.Object, "") {
			t.Errorf("%s: %s", id, difference)
		}
		// Both providers' components are the same objects; the infrastructure's come last.
		if provider := live.GetLabels()[clusterv1.ProviderNameLabel]; provider != "infrastructure-teapot" {
			t.Errorf("%s is labelled as of provider %q", id, provider)
		}
	}

	for user, verb := range map[string]string{
		"system:serviceaccount:teapot-system:teapot-manager": "list",
		// It reads the version of the control plane that a machine joins.
		"system:serviceaccount:capi-kubeadm-bootstrap-system:capi-kubeadm-bootstrap-manager": "get",
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: "teapot.dev", Resource: "tenantcontrolplanes"},
		}}
		must(t, m.client.Create(t.Context(), review))
		if !review.Status.Allowed {
			t.Errorf("%s may not %s control planes", user, verb)
		}
	}

	listed := &unstructured.UnstructuredList{}
	listed.SetGroupVersionKind(schema.GroupVersionKind{Group: "clusterctl.cluster.x-k8s.io", Version: "v1alpha3", Kind: "ProviderList"})
	must(t, m.client.List(t.Context(), listed, client.InNamespace("teapot-system")))
	names := map[string]bool{}
	for _, each := range listed.Items {
		names[each.GetName()] = true
	}
	if want := []string{"control-plane-teapot", "infrastructure-teapot"}; !slices.Equal(slices.Sorted(maps.Keys(names)), want) {
		t.Errorf("clusterctl knows the providers %v, want %v", names, want)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	must(t, m.client.Get(t.Context(), types.NamespacedName{Name: "machineclaims.teapot.dev"}, crd))
	if _, all := crd.Labels["clusterctl.cluster.x-k8s.io/move"]; all {
		t.Error("a move takes claims that are of no Cluster, which nobody pauses")
	}
}

// missingIn says what of an object is not so in another, which may have more.
func missingIn(live, want any, path string) []string {
	switch want := want.(type) {
	case map[string]any:
		fields, _ := live.(map[string]any)
		var found []string
		for name, value := range want {
			found = append(found, missingIn(fields[name], value, path+"."+name)...)
		}
		return found
	case []any:
		items, _ := live.([]any)
		if len(items) != len(want) {
			return []string{fmt.Sprintf("%s has %d items, want %d", path, len(items), len(want))}
		}
		var found []string
		for i, value := range want {
			found = append(found, missingIn(items[i], value, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return found
	case nil:
		return nil
	default:
		if !reflect.DeepEqual(live, want) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, live, want)}
		}
		return nil
	}
}
