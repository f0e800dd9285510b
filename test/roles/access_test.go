package roles

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestWhatRolesGrant on control planes and on what the manager works with.
func TestWhatRolesGrant(t *testing.T) {
	const (
		controlPlanes = "tenantcontrolplanes.teapot.dev"
		templates     = "tenantcontrolplanetemplates.teapot.dev"
	)
	wantGrants(t, []grant{
		{controlPlanes, []string{"get"}, and(everywhere(operator, manager, clusterAPI, kubeadmProvider), viewer, tenant)},
		{controlPlanes, []string{"list", "watch"}, and(everywhere(operator, manager, clusterAPI), viewer, tenant)},
		{controlPlanes, []string{"create", "update", "delete"}, and(everywhere(operator, clusterAPI), tenant)},
		{controlPlanes, []string{"patch"}, and(everywhere(operator, manager, clusterAPI), tenant)},
		{controlPlanes, []string{"deletecollection"}, and(everywhere(operator), tenant)},
		{controlPlanes, []string{"override"}, everywhere(operator)},
		{controlPlanes + "/status", []string{"get"}, and(everywhere(operator), viewer, tenant)},
		{controlPlanes + "/status", []string{"patch"}, everywhere(manager)},
		{controlPlanes + "/status", []string{"update"}, nil},
		{controlPlanes + "/finalizers", []string{"update"}, everywhere(manager, clusterAPI)},
		{controlPlanes + "/scale", []string{"get"}, and(everywhere(operator), viewer, tenant)},
		{controlPlanes + "/scale", []string{"update", "patch"}, and(everywhere(operator), tenant)},
		{templates, []string{"get", "list", "watch"}, and(everywhere(operator, clusterAPI), viewer, tenant)},
		{templates, []string{"create", "update", "patch", "delete"}, and(everywhere(operator, clusterAPI), tenant)},
		{templates, []string{"deletecollection"}, and(everywhere(operator), tenant)},
		{templates, []string{"override"}, everywhere(operator)},

		{"secrets", []string{"get", "list", "watch", "create", "patch", "delete"}, everywhere(manager)},
		{"secrets", []string{"update", "deletecollection"}, nil},
		{"namespaces", []string{"get", "list", "watch"}, everywhere(operator, manager)},
		{"namespaces", []string{"create", "patch", "delete"}, everywhere(manager)},
		{"pods", []string{"get", "watch"}, everywhere(operator)},
		{"pods", []string{"list"}, everywhere(operator, manager)},
		{"pods", []string{"create", "update"}, nil},
		{"pods/log", []string{"get"}, everywhere(operator)},
		{"pods/portforward", []string{"create"}, everywhere(operator)},
		{"pods/exec", []string{"create"}, nil},
		{"pods/ephemeralcontainers", []string{"update", "patch"}, nil},
		{"serviceaccounts/token", []string{"create"}, nil},
		{"nodes", []string{"delete", "update", "patch"}, nil},
		{"users", []string{"impersonate"}, nil},
		{"clusterroles.rbac.authorization.k8s.io", []string{"escalate", "bind", "create", "update", "patch"}, nil},
		{"clusterrolebindings.rbac.authorization.k8s.io", []string{"create", "update", "patch"}, nil},
		{"rolebindings.rbac.authorization.k8s.io", []string{"create", "update", "patch"}, nil},
		{"validatingadmissionpolicybindings.admissionregistration.k8s.io", []string{"update", "patch", "delete"}, nil},
	})
}

// grant says which users may do something to a resource, in each namespace and, under "", in all
// of them. Who is not named may not.
type grant struct {
	resource string
	verbs    []string
	allowed  map[string][]string
}

// everywhere grants to those whose role holds in the whole cluster.
func everywhere(users ...string) map[string][]string {
	return map[string][]string{tenantNamespace: users, podsNamespace: users, otherNamespace: users, "": users}
}

// and adds those who hold their role in the tenant's namespace alone.
func and(grants map[string][]string, users ...string) map[string][]string {
	grants[tenantNamespace] = append(slices.Clone(grants[tenantNamespace]), users...)
	return grants
}

// wantGrants asks the API server.
func wantGrants(t *testing.T, grants []grant) {
	t.Helper()
	as(t, tenant) // the roles are there
	admin := asAdmin(t)
	for _, tt := range grants {
		for _, verb := range tt.verbs {
			for _, namespace := range []string{tenantNamespace, podsNamespace, otherNamespace, ""} {
				for _, user := range users {
					got, want := allowed(t, admin, user, verb, tt.resource, namespace), slices.Contains(tt.allowed[namespace], user)
					if got != want {
						t.Errorf("%s may %s %s in namespace %q: %v, want %v", user, verb, tt.resource, namespace, got, want)
					}
				}
			}
		}
	}
}

// TestATenantsDay: all that somebody who holds only teapot-tenant-edit does with a control
// plane.
func TestATenantsDay(t *testing.T) {
	c := as(t, tenant)
	plane := planes.object(t, "day", "components: {apiServer: {extraArgs: [{name: event-ttl, value: 2h}]}}")
	forget(t, plane)
	mustCreate(t, c, plane)

	patch := func(what, body string) {
		t.Helper()
		if err := c.Patch(t.Context(), plane, client.RawPatch(types.MergePatchType, []byte(body))); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	patch("another version", `{"spec": {"version": "v1.36.4"}}`)
	patch("more replicas", `{"spec": {"replicas": 3}}`)
	patch("other flags", `{"spec": {"components": {"apiServer": {"extraArgs": [{"name": "goaway-chance", "value": "0.001"}, {"name": "oidc-issuer-url", "value": "https://id.example.org"}, {"name": "oidc-client-id", "value": "a"}]}}}}`)
	patch("flags no more", `{"spec": {"components": null}}`)
	patch("a name for users", `{"spec": {"endpoint": {"host": "api.example.org"}}}`)
	patch("another name", `{"spec": {"endpoint": {"host": "api.example.com"}}}`)
	patch("no name", `{"spec": {"endpoint": {"host": null}}}`)
	patch("CoreDNS off", `{"spec": {"addons": {"coreDNS": {"enabled": false}}}}`)
	patch("data kept", `{"spec": {"deletionPolicy": "Retain"}}`)
	patch("paused", `{"spec": {"paused": true}}`)
	patch("asleep", `{"metadata": {"annotations": {"teapot.dev/hibernation-requested-at": "2026-01-02T03:04:05Z"}}, "spec": {"hibernation": {"enabled": true}}}`)
	patch("awake", `{"metadata": {"annotations": {"teapot.dev/hibernation-requested-at": "2026-01-02T04:05:06Z"}}, "spec": {"hibernation": {"enabled": false}}}`)
	patch("asleep by itself", `{"spec": {"hibernation": {"schedules": [{"hibernateAt": "20:00", "resumeAt": "06:00"}], "idleAfter": "1h", "wakeOnRequest": false, "workers": "PowerOff"}}}`)
	patch("asleep no more", `{"metadata": {"annotations": null}, "spec": {"hibernation": null}}`)
	patch("users by the address", `{"spec": {"endpoint": {"gateway": "Disabled"}}}`)
	patch("a label", `{"metadata": {"labels": {"team": "a"}}}`)
	patch("a finalizer of one's own", `{"metadata": {"finalizers": ["example.org/mine"]}}`)
	patch("and away with it", `{"metadata": {"finalizers": null}}`)

	if err := c.SubResource("scale").Patch(t.Context(), plane, client.RawPatch(types.MergePatchType, []byte(`{"spec": {"replicas": 2}}`))); err != nil {
		t.Errorf("scaling: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(plane), plane); err != nil {
		t.Fatal(err)
	}
	if replicas, _, _ := unstructured.NestedInt64(plane.Object, "spec", "replicas"); replicas != 2 {
		t.Errorf("after scaling to 2, spec.replicas is %d", replicas)
	}

	applied := planes.object(t, "applied", "replicas: 2")
	forget(t, applied)
	for _, fields := range []string{"replicas: 2", "replicas: 3, deletionPolicy: Retain"} {
		apply := client.ApplyConfigurationFromUnstructured(planes.object(t, "applied", fields))
		if err := c.Apply(t.Context(), apply, client.FieldOwner("kubectl")); err != nil {
			t.Errorf("server-side apply of %s: %v", fields, err)
		}
	}
	generated := planes.object(t, "", "")
	generated.SetGenerateName("day-")
	forget(t, generated)
	mustCreate(t, c, generated)

	if err := c.DeleteAllOf(t.Context(), plane, client.InNamespace(tenantNamespace)); err != nil {
		t.Errorf("deleting all: %v", err)
	}
}

// TestWhatATenantCannotReach: what is the manager's, and what is not in the tenant's namespace.
func TestWhatATenantCannotReach(t *testing.T) {
	c, admin := as(t, tenant), asAdmin(t)
	plane := planes.object(t, "reach", "")
	forget(t, plane)
	mustCreate(t, c, plane)
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: podsNamespace, Name: "pki"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: podsNamespace, Name: "control-plane"}}
	kubeconfig := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "reach-user-kubeconfig"}}
	lease := theRoute(t)
	for _, object := range []client.Object{keys, kubeconfig, lease} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	pods := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: podsNamespace}}
	elsewhere := planes.object(t, "elsewhere", "")
	elsewhere.SetNamespace(otherNamespace)
	label := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"a": "b"}}}`))
	key := client.ObjectKeyFromObject

	for _, tt := range []struct {
		name string
		do   func() error
	}{
		{"write the status", func() error {
			return c.Status().Patch(t.Context(), plane.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status": {"version": "v1.36.3"}}`)))
		}},
		{"read keys", func() error { return c.Get(t.Context(), key(keys), &corev1.Secret{}) }},
		{"list Secrets of one's own namespace", func() error { return c.List(t.Context(), &corev1.SecretList{}, client.InNamespace(tenantNamespace)) }},
		{"read a kubeconfig", func() error { return c.Get(t.Context(), key(kubeconfig), &corev1.Secret{}) }},
		{"see a pod", func() error { return c.Get(t.Context(), key(pod), &corev1.Pod{}) }},
		{"list pods", func() error { return c.List(t.Context(), &corev1.PodList{}, client.InNamespace(podsNamespace)) }},
		{"see the pods' namespace", func() error { return c.Get(t.Context(), key(pods), &corev1.Namespace{}) }},
		{"label the pods' namespace", func() error { return c.Patch(t.Context(), pods.DeepCopy(), label) }},
		{"delete the pods' namespace", func() error { return c.Delete(t.Context(), pods.DeepCopy()) }},
		{"see who uses a control plane", func() error { return c.Get(t.Context(), key(lease), lease.DeepCopy()) }},
		{"wake a control plane past the gateway", func() error {
			return c.Patch(t.Context(), lease.DeepCopy(), merge(`{"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}`))
		}},
		{"send users elsewhere", func() error {
			return c.Patch(t.Context(), lease.DeepCopy(), merge(`{"metadata": {"annotations": {"gateway.teapot.dev/backend": "192.0.2.1:6443"}}}`))
		}},
		{"make a control plane elsewhere", func() error { return c.Create(t.Context(), elsewhere) }},
		{"list all control planes", func() error { return c.List(t.Context(), &teapotv1.TenantControlPlaneList{}) }},
	} {
		if err := tt.do(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want it forbidden", tt.name, err)
		}
	}
}

// TestAViewerOnlyLooks.
func TestAViewerOnlyLooks(t *testing.T) {
	c := as(t, viewer)
	plane := planes.object(t, "viewed", "")
	forget(t, plane)
	mustCreate(t, as(t, tenant), plane)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(plane), plane.DeepCopy()); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"creating": c.Create(t.Context(), planes.object(t, "not-made", "")),
		"changing": c.Update(t.Context(), plane.DeepCopy()),
		"deleting": c.Delete(t.Context(), plane.DeepCopy()),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want it forbidden", name, err)
		}
	}
}
