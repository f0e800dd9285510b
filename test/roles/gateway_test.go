package roles

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/gateway/routes"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
)

// theRoute is the Lease by which the tenant's control plane is known to the gateway.
func theRoute(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	owner := types.NamespacedName{Namespace: tenantNamespace, Name: "acme"}
	lease := route.Route{Owner: owner, Host: "acme.acme.teapot.internal", Asleep: true, Since: time.Unix(1767323045, 0)}.Lease()
	if lease.Namespace != podsNamespace {
		t.Fatalf("the Lease is in namespace %s; this test wants it in %s", lease.Namespace, podsNamespace)
	}
	return lease
}

// TestWhatRolesGrantOnLeases: what a control plane's Lease says decides whether it sleeps and where
// its users are sent.
func TestWhatRolesGrantOnLeases(t *testing.T) {
	const leases = "leases.coordination.k8s.io"
	wantGrants(t, []grant{
		{leases, []string{"get"}, everywhere(operator)},
		{leases, []string{"list", "watch"}, everywhere(operator, manager, gateway)},
		{leases, []string{"create"}, everywhere(manager)},
		{leases, []string{"update", "patch", "delete", "deletecollection"}, nil},
		{"services", []string{"get"}, everywhere(operator)},
		{"tokenreviews.authentication.k8s.io", []string{"create"}, everywhere(manager)},
		{"subjectaccessreviews.authorization.k8s.io", []string{"create"}, everywhere(manager)},
	})
	admin := asAdmin(t)
	for _, tt := range []struct {
		resource, namespace, name string
		verb                      string
		users                     []string
	}{
		{leases, podsNamespace, route.LeaseName, "get", []string{operator, manager}},
		{leases, podsNamespace, route.LeaseName, "patch", []string{manager, gateway}},
		{leases, podsNamespace, route.LeaseName, "delete", []string{manager}},
		{leases, podsNamespace, route.LeaseName, "update", nil},
		{leases, metav1.NamespaceSystem, "kube-scheduler", "get", []string{operator}},
		{leases, metav1.NamespaceSystem, "kube-scheduler", "patch", nil},
		{leases, metav1.NamespaceSystem, "kube-scheduler", "delete", nil},
		{leases, render.Namespace, "teapot-manager", "update", []string{manager}},
		{leases, render.Namespace, "teapot-manager", "patch", nil},
		{"services", render.Namespace, "teapot-gateway", "get", []string{operator, manager}},
		{"services", metav1.NamespaceDefault, "teapot-gateway", "get", []string{operator}},
	} {
		for _, user := range users {
			got, want := allowedOn(t, admin, user, tt.verb, tt.resource, tt.namespace, tt.name), slices.Contains(tt.users, user)
			if got != want {
				t.Errorf("%s may %s %s %s/%s: %v, want %v", user, tt.verb, tt.resource, tt.namespace, tt.name, got, want)
			}
		}
	}
}

// TestTheGateway asks for a control plane to be woken and says who is connected, and can do nothing
// else.
func TestTheGateway(t *testing.T) {
	const unroutedNamespace = "tcp-unrouted-00000000"
	c, admin := as(t, gateway), asAdmin(t)
	lease := theRoute(t)
	lease.Annotations["activity.gateway.teapot.dev/gone"] = "{}"
	elsewhere, unrouted := lease.DeepCopy(), lease.DeepCopy()
	elsewhere.Namespace = otherNamespace
	unrouted.Namespace = unroutedNamespace
	delete(unrouted.Labels, teapotv1.GatewayLabel)
	mustCreate(t, admin, controlPlanes(unroutedNamespace))
	for _, object := range []client.Object{lease, elsewhere, unrouted} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	patch := func(object client.Object, body string, options ...client.PatchOption) error {
		return c.Patch(t.Context(), object.DeepCopyObject().(client.Object), merge(body), options...)
	}
	const wake = `{"spec": {"renewTime": "2026-01-02T03:04:05.000000Z", "holderIdentity": "teapot-gateway-0"}}`
	await(t, "the policy for Leases is enforced", func() bool {
		return apierrors.IsForbidden(patch(elsewhere, wake, client.DryRunAll))
	})

	for what, body := range map[string]string{
		"asking for the control plane":        wake,
		"asking again":                        `{"spec": {"renewTime": "2026-01-02T03:05:05.000000Z", "holderIdentity": "teapot-gateway-1"}}`,
		"saying who is connected":             `{"metadata": {"annotations": {"activity.gateway.teapot.dev/teapot-gateway-0": "{\"connections\": 1}"}}}`,
		"saying so for the first time":        `{"metadata": {"annotations": {"activity.gateway.teapot.dev/teapot-gateway-1": "{}"}}}`,
		"removing what it said":               `{"metadata": {"annotations": {"activity.gateway.teapot.dev/gone": null}}}`,
		"asking, and saying who is connected": `{"metadata": {"annotations": {"activity.gateway.teapot.dev/teapot-gateway-0": "{}"}}, "spec": {"renewTime": "2026-01-02T03:06:05.000000Z"}}`,
	} {
		if err := patch(lease, body); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.List(t.Context(), &coordinationv1.LeaseList{}, client.HasLabels{teapotv1.GatewayLabel}); err != nil {
		t.Errorf("listing the routes of all control planes: %v", err)
	}

	const (
		notOurs       = "metadata.namespace: the gateway changes only Leases with the label gateway.teapot.dev/route in the namespaces of control planes"
		notSpec       = "spec: of this the gateway changes only renewTime and holderIdentity"
		notAnnotation = "metadata.annotations: of these the gateway writes only those that begin with activity.gateway.teapot.dev/"
		notMetadata   = "metadata: the gateway changes no labels, owners and finalizers"
	)
	for _, tt := range []struct {
		name, body, want string
		object           client.Object
	}{
		{"a Lease of that name in a tenant's namespace", wake, notOurs, elsewhere},
		{"a Lease of that name that is no route", wake, notOurs, unrouted},
		{"waking without being asked", `{"metadata": {"annotations": {"gateway.teapot.dev/state": "Awake"}}}`, notAnnotation, lease},
		{"sending users elsewhere", `{"metadata": {"annotations": {"gateway.teapot.dev/backend": "192.0.2.1:6443"}}}`, notAnnotation, lease},
		{"forgetting a name", `{"metadata": {"annotations": {"gateway.teapot.dev/host": null}}}`, notAnnotation, lease},
		{"an annotation of nobody's", `{"metadata": {"annotations": {"example.org/a": "b"}}}`, notAnnotation, lease},
		{"an annotation that begins likewise", `{"metadata": {"annotations": {"activity.gateway.teapot.device": "b"}}}`, notAnnotation, lease},
		{"all annotations", `{"metadata": {"annotations": null}}`, notAnnotation, lease},
		{"who waits for how long", `{"spec": {"leaseDurationSeconds": 1}}`, notSpec, lease},
		{"how often it changed hands", `{"spec": {"leaseTransitions": 1}}`, notSpec, lease},
		{"since when it is held", `{"spec": {"acquireTime": "2026-01-02T03:04:05.000000Z"}}`, notSpec, lease},
		{"whose it is", `{"metadata": {"labels": {"teapot.dev/control-plane-name": "globex"}}}`, notMetadata, lease},
		{"no labels", `{"metadata": {"labels": null}}`, notMetadata, lease},
		{"an owner, which it would be deleted with", `{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}]}}`, notMetadata, lease},
		{"a finalizer, which would hold the namespace", `{"metadata": {"finalizers": ["example.org/a"]}}`, notMetadata, lease},
	} {
		wantRefused(t, tt.name, patch(tt.object, tt.body), tt.want)
	}

	pods := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: podsNamespace}}
	another := lease.DeepCopy()
	another.Name, another.ResourceVersion = "another", ""
	plane := planes.object(t, "acme", "")
	for what, err := range map[string]error{
		"reading one":                   c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease.DeepCopy()),
		"replacing one":                 c.Update(t.Context(), lease.DeepCopy()),
		"deleting one":                  c.Delete(t.Context(), lease.DeepCopy()),
		"making one":                    c.Create(t.Context(), another.DeepCopy()),
		"making one by applying it":     c.Patch(t.Context(), another.DeepCopy(), client.Apply, client.FieldOwner("gateway")), //nolint:staticcheck // the request is what is tried
		"changing another":              patch(another, wake),
		"changing a control plane":      patch(plane, `{"spec": {"hibernation": {"enabled": false}}}`),
		"changing a namespace":          patch(pods, `{"metadata": {"labels": {"a": "b"}}}`),
		"reading Secrets":               c.List(t.Context(), &corev1.SecretList{}, client.InNamespace(podsNamespace)),
		"reading Services":              c.List(t.Context(), &corev1.ServiceList{}, client.InNamespace(podsNamespace)),
		"reading pods":                  c.List(t.Context(), &corev1.PodList{}, client.InNamespace(podsNamespace)),
		"reading control planes":        c.List(t.Context(), &teapotv1.TenantControlPlaneList{}),
		"telling of what happens":       c.Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: podsNamespace, Name: "a"}, InvolvedObject: corev1.ObjectReference{Namespace: podsNamespace}}),
		"asking for a token of its own": c.SubResource("token").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: render.Namespace, Name: "teapot-gateway"}}, &authenticationv1.TokenRequest{}),
	} {
		wantForbidden(t, what, err)
	}
}

// TestTheGatewaysCode does its work with the rights that the chart gives it.
func TestTheGatewaysCode(t *testing.T) {
	as(t, gateway)
	admin := asAdmin(t)
	lease := theRoute(t)
	lease.Annotations[teapotv1.GatewayWakeAnnotation] = "true"
	forget(t, lease)
	mustCreate(t, admin, lease)

	config := apiserver.Config(t)
	config.Impersonate.UserName = gateway
	leases, err := coordinationclient.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	writes := make(chan error, 10)
	known := routes.New(routes.Options{
		Leases: leases, Pod: "teapot-gateway-0", Clock: clock.RealClock{}, Log: testr.New(t),
		Wrote: func(_ routes.What, err error) { writes <- err },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		known.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	wrote := func(what string) {
		t.Helper()
		select {
		case err := <-writes:
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		case <-time.After(deadline):
			t.Fatalf("%s: nothing was written", what)
		}
	}

	var asked *routes.Tenant
	await(t, "the gateway knows the control plane", func() (found bool) {
		asked, found = known.Lookup("acme.acme.teapot.internal")
		return found
	})
	user := netip.MustParseAddr("192.0.2.7")
	known.Wake(ctx, asked, user)
	wrote("asking for the control plane")
	read := func() *coordinationv1.Lease {
		t.Helper()
		now := &coordinationv1.Lease{}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(lease), now); err != nil {
			t.Fatal(err)
		}
		return now
	}
	if now := read(); route.WakeRequested(now).IsZero() {
		t.Errorf("nobody asks for the control plane: %+v", now.Spec)
	}
	if err := admin.Patch(t.Context(), read(), merge(`{"metadata": {"annotations": {"gateway.teapot.dev/state": "Awake"}}}`)); err != nil {
		t.Fatal(err)
	}
	await(t, "the gateway knows that it is awake", func() bool { return !asked.State(time.Now()).Route.Asleep })
	known.Opened(asked, user)
	wrote("saying who is connected")
	if connections, _ := route.Users(read(), time.Now()); connections != 1 {
		t.Errorf("%d connections are known, want 1", connections)
	}
	known.Closed(asked, user)
	if err := known.Finish(ctx); err != nil {
		t.Errorf("the last words: %v", err)
	}
	if connections, _ := route.Users(read(), time.Now()); connections != 0 {
		t.Errorf("%d connections are known at the end, want none", connections)
	}
}

// TestTheManagerAndLeases: it makes and changes the Leases of control planes, and no other.
func TestTheManagerAndLeases(t *testing.T) {
	c, admin := as(t, manager), asAdmin(t)
	lease := theRoute(t)
	forget(t, lease)
	apply := func(state teapotv1.HibernationPhase) {
		t.Helper()
		wanted := theRoute(t)
		wanted.Annotations[teapotv1.GatewayStateAnnotation] = string(state)
		if err := c.Patch(t.Context(), wanted, client.Apply, client.FieldOwner(teapotv1.FieldManager)); err != nil { //nolint:staticcheck // as controllers/apply does
			t.Fatal(err)
		}
	}
	apply(teapotv1.HibernationAsleep)
	apply(teapotv1.HibernationAwake)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
		t.Error(err)
	}
	if err := c.Patch(t.Context(), lease.DeepCopy(), merge(`{"metadata": {"annotations": {"activity.gateway.teapot.dev/gone": null}}}`)); err != nil {
		t.Errorf("removing what a gateway that is gone said: %v", err)
	}
	scheduler := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "kube-scheduler"}}
	forget(t, scheduler)
	mustCreate(t, admin, scheduler)
	wantForbidden(t, "taking another's Lease", c.Patch(t.Context(), scheduler.DeepCopy(), merge(`{"spec": {"holderIdentity": "a"}}`)))
	wantForbidden(t, "deleting another's Lease", c.Delete(t.Context(), scheduler.DeepCopy()))
	if err := c.Delete(t.Context(), lease); err != nil {
		t.Errorf("deleting one: %v", err)
	}
}

// TestTheManagerPausesClusters while their control plane sleeps, also those that people wrote; of these
// it changes nothing else.
func TestTheManagerPausesClusters(t *testing.T) {
	c, admin := as(t, manager), asAdmin(t)
	installClusterAPI(t)
	await(t, "the API server serves Clusters", func() bool {
		return admin.Create(t.Context(), cluster.object(t, "probe", ""), client.DryRunAll) == nil
	})
	await(t, "the policy is enforced for Clusters", func() bool {
		return apierrors.IsForbidden(c.Create(t.Context(), cluster.object(t, "probe", ""), client.DryRunAll))
	})
	const (
		asleep = `{"metadata": {"annotations": {"teapot.dev/hibernation": "Release"}}, "spec": {"paused": true}}`
		awake  = `{"metadata": {"annotations": {"teapot.dev/hibernation": null}}, "spec": {"paused": null}}`
	)
	of := func(name, group, metadata string) *unstructured.Unstructured {
		return apiObject{cluster.apiVersion, cluster.kind, "{infrastructureRef: {apiGroup: teapot.dev, kind: TenantCluster, name: a}, " +
			"controlPlaneRef: {apiGroup: " + group + ", kind: TenantControlPlane, name: acme}}"}.object(t, name, metadata)
	}
	theirs := of("theirs", "teapot.dev", "annotations: {example.org/a: b}, finalizers: [example.org/mine]")
	bare := of("bare", "teapot.dev", "")
	foreign := of("foreign", "controlplane.cluster.x-k8s.io", "")
	ours := of("ours", "teapot.dev", madeByTeapot)
	for _, object := range []client.Object{theirs, bare, foreign, ours} {
		forget(t, object)
		mustCreate(t, admin, object)
	}
	t.Cleanup(func() { // before it is deleted
		if err := admin.Patch(context.WithoutCancel(t.Context()), theirs.DeepCopy(), merge(`{"metadata": {"finalizers": null}}`)); err != nil {
			t.Error(err)
		}
	})
	for _, object := range []client.Object{theirs, bare, ours} {
		for _, body := range []string{asleep, `{"metadata": {"annotations": {"teapot.dev/hibernation": "Keep"}}}`, awake} {
			if err := c.Patch(t.Context(), object.DeepCopyObject().(client.Object), merge(body)); err != nil {
				t.Errorf("%s, %s: %v", object.GetName(), body, err)
			}
		}
	}
	const refusal = "metadata.labels: of Clusters without the label app.kubernetes.io/managed-by: teapot the manager changes only spec.paused and the annotation teapot.dev/hibernation"
	for _, tt := range []struct {
		name, body string
		object     client.Object
	}{
		{"one with a control plane of others", asleep, foreign},
		{"a field of the spec", `{"spec": {"paused": true, "infrastructureRef": {"name": "b"}}}`, theirs},
		{"a further field of the spec", `{"spec": {"clusterNetwork": {"apiServerPort": 6443}}}`, theirs},
		{"a field of the spec less", `{"spec": {"infrastructureRef": null}}`, theirs},
		{"another control plane", `{"spec": {"controlPlaneRef": {"name": "globex"}}}`, theirs},
		{"another annotation", `{"metadata": {"annotations": {"example.org/a": "c"}}}`, theirs},
		{"a further annotation", `{"metadata": {"annotations": {"example.org/b": "c"}}}`, theirs},
		{"an annotation less", `{"metadata": {"annotations": {"example.org/a": null}}}`, theirs},
		{"a label", `{"metadata": {"labels": {"a": "b"}}}`, theirs},
		{"the label that says that it is Teapot's", `{"metadata": {"labels": {"app.kubernetes.io/managed-by": "teapot"}}}`, theirs},
		{"a finalizer less", `{"metadata": {"finalizers": null}}`, theirs},
		{"an owner", `{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}]}}`, theirs},
	} {
		wantRefused(t, tt.name, c.Patch(t.Context(), tt.object.DeepCopyObject().(client.Object), merge(tt.body)), refusal)
	}
	wantRefused(t, "deleting it", c.Delete(t.Context(), bare.DeepCopy()), refusal)
}
