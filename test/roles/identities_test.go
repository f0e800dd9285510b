package roles

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// everyCrossing sets every field that needs the verb override.
const everyCrossing = `runtimeClassName: kata, scheduling: {priorityClassName: high}, imageRepository: mirror.example.org,
	addons: {konnectivity: {enabled: false}}, endpoint: {host: 192.0.2.7},
	components: {apiServer: {extraArgs: [{name: audit-log-path, value: "-"}]}, etcd: {extraArgs: [{name: log-level, value: debug}]}}`

// TestTheManager does its work on what an operator has made, without the verb override.
func TestTheManager(t *testing.T) {
	c := as(t, manager)
	made := planes.object(t, "managed", everyCrossing)
	forget(t, made)
	mustCreate(t, as(t, operator), made)
	plane := &teapotv1.TenantControlPlane{}
	// The manager reads from its cache: it may list and watch, and not get.
	if err := asAdmin(t).Get(t.Context(), client.ObjectKeyFromObject(made), plane); err != nil {
		t.Fatal(err)
	}
	change := func(what string, change func()) {
		t.Helper()
		before := plane.DeepCopy()
		change()
		if err := c.Patch(t.Context(), plane, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	change("adding its finalizer", func() { controllerutil.AddFinalizer(plane, teapotv1.ControlPlaneFinalizer) })
	change("writing the endpoint for Cluster API", func() {
		plane.Spec.ControlPlaneEndpoint.Host, plane.Spec.ControlPlaneEndpoint.Port = "192.0.2.7", 30001
	})
	before := plane.DeepCopy()
	plane.Status.Version = "v1.36.3"
	if err := c.Status().Patch(t.Context(), plane, client.MergeFrom(before)); err != nil {
		t.Errorf("writing the status: %v", err)
	}

	for what, err := range map[string]error{
		"creating one": c.Create(t.Context(), planes.object(t, "not-made", "")),
		"deleting one": c.Delete(t.Context(), made.DeepCopy()),
		"reading a template": c.Get(t.Context(), client.ObjectKey{Namespace: tenantNamespace, Name: "any"},
			&teapotv1.TenantControlPlaneTemplate{}),
		"another runtime class": c.Patch(t.Context(), made.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec": {"runtimeClassName": null}}`))),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want it forbidden", what, err)
		}
	}

	change("removing its finalizer", func() { controllerutil.RemoveFinalizer(plane, teapotv1.ControlPlaneFinalizer) })
}

// TestTheManagersFinalizer holds a control plane until its pods are gone, whatever a tenant
// writes.
func TestTheManagersFinalizer(t *testing.T) {
	byTenant, byManager := as(t, tenant), as(t, manager)
	plane := planes.object(t, "held", "")
	forget(t, plane)
	mustCreate(t, byTenant, plane)
	finalizers := func(c client.Client, list string) error {
		return c.Patch(t.Context(), plane, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": `+list+`}}`)))
	}
	accepted := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		wantRefused(t, what, err, "metadata.finalizers: to remove a finalizer of teapot.dev needs the verb override on tenantcontrolplanes", "leave it as it is and wait, or ask an operator")
	}
	accepted("the manager adds it", finalizers(byManager, `["teapot.dev/control-plane"]`))
	refused("the tenant removes it", finalizers(byTenant, "null"))
	refused("the tenant puts another in its place", finalizers(byTenant, `["example.org/mine"]`))
	accepted("the tenant adds another", finalizers(byTenant, `["example.org/mine", "teapot.dev/control-plane"]`))
	accepted("the tenant removes that", finalizers(byTenant, `["teapot.dev/control-plane"]`))
	if err := byTenant.Update(t.Context(), plane); err != nil {
		t.Errorf("the tenant writes what was read: %v", err)
	}
	accepted("the tenant deletes the control plane", byTenant.Delete(t.Context(), plane.DeepCopy()))
	refused("the tenant removes it while the control plane is deleted", finalizers(byTenant, "null"))
	operators := plane.DeepCopy()
	if err := as(t, operator).Patch(t.Context(), operators, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`)), client.DryRunAll); err != nil {
		t.Errorf("an operator removes it: %v", err)
	}
	accepted("the manager removes it", finalizers(byManager, "null"))
	if err := byTenant.Get(t.Context(), client.ObjectKeyFromObject(plane), plane); !apierrors.IsNotFound(err) {
		t.Errorf("the control plane is still there: %v", err)
	}
}

// TestClusterAPI makes control planes from templates for a Cluster, within what a tenant may.
func TestClusterAPI(t *testing.T) {
	c := as(t, clusterAPI)
	template := templates.object(t, "class", "components: {apiServer: {extraArgs: [{name: event-ttl, value: 2h}]}}")
	forget(t, template)
	mustCreate(t, as(t, tenant), template)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(template), template); err != nil {
		t.Fatal(err)
	}
	spec, _, err := unstructured.NestedMap(template.Object, "spec", "template", "spec")
	if err != nil {
		t.Fatal(err)
	}
	plane := planes.object(t, "of-a-cluster", "")
	spec["version"], spec["replicas"] = "v1.36.3", int64(3)
	plane.Object["spec"] = spec
	yes := true
	plane.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Cluster", Name: "of-a-cluster", UID: "1", Controller: &yes, BlockOwnerDeletion: &yes}})
	forget(t, plane)
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(plane), client.FieldOwner("capi-topology")); err != nil {
		t.Fatal(err)
	}
	spec["replicas"] = int64(1)
	plane.SetManagedFields(nil)
	plane.SetResourceVersion("")
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(plane), client.FieldOwner("capi-topology")); err != nil {
		t.Errorf("another number of replicas: %v", err)
	}
	if err := c.Delete(t.Context(), planes.object(t, "of-a-cluster", "")); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	wantRefused(t, "what crosses the boundary", c.Create(t.Context(), planes.object(t, "crossing", everyCrossing)), "needs the verb override")
}
