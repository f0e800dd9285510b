package machineclaim_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/faults"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hand is a room of hosts and a manager whose reconciles the test asks for. Its client reads from
// the API server what a cache would hold.
type hand struct {
	machineclaim.Reconciler
	namespace string
	clock     *testingclock.FakeClock
	recorder  *events.FakeRecorder
	operator  *claimtest.Operator
	faults.Writes
}

func newHand(t testing.TB, namespace string) *hand {
	t.Helper()
	h := &hand{
		namespace: namespace, clock: testingclock.NewFakeClock(time.Now().Truncate(time.Second)),
		recorder: events.NewFakeRecorder(1000), operator: &claimtest.Operator{Client: direct},
	}
	h.begin()
	return h
}

// begin starts a manager, with nothing in its memory.
func (h *hand) begin() {
	h.Reconciler = machineclaim.Reconciler{
		Client: interceptor.NewClient(direct, h.intercept()), Live: direct, Recorder: h.recorder, Clock: h.clock, Hosts: h.hosts,
	}
}

func (h *hand) intercept() interceptor.Funcs {
	funcs := h.Funcs()
	funcs.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if err := c.Get(ctx, key, object, options...); err != nil {
			return err
		}
		switch o := object.(type) {
		case *host.Object:
			trim(o)
		case *corev1.Secret:
			if o.Labels[teapotv1.ManagedByLabel] != teapotv1.ManagedByTeapot {
				return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
			}
			o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret")) // a cache does so, a client does not
			o.ManagedFields = nil
		}
		return nil
	}
	funcs.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		options = append(options, client.InNamespace(h.namespace))
		if err := c.List(ctx, list, options...); err != nil {
			return err
		}
		if hosts, ok := list.(*host.List); ok {
			for i := range hosts.Items {
				trim(&hosts.Items[i])
			}
		}
		return nil
	}
	return funcs
}

// hosts are all hosts as the watch of a manager's cache would have seen them.
func (h *hand) hosts(ctx context.Context) ([]host.Host, error) {
	list := &host.List{}
	if err := h.Client.List(ctx, list); err != nil {
		return nil, err
	}
	var all []host.Host
	for i := range list.Items {
		all = append(all, host.Of(&list.Items[i]))
	}
	return all, nil
}

// trim does to a host what the manager's cache does.
func trim(o *host.Object) {
	kept, err := host.Transform(o.DeepCopy())
	if err != nil {
		panic(err)
	}
	*o = *kept.(*host.Object)
}

// settle reconciles the claims and plays the operator until nothing changes any more. Failures of
// reconciles are for their own retries to mend.
func (h *hand) settle(ctx context.Context, t testing.TB) {
	t.Helper()
	var failure error
	for range 100 {
		before := len(h.Asked)
		failure = h.round(ctx, t)
		if h.Ended {
			h.Ended, h.At = false, 0
			h.begin()
			continue
		}
		played := h.play(ctx, t)
		if failure == nil && !played && len(h.Asked) == before {
			return
		}
	}
	t.Fatalf("it does not settle: after %q: %v", h.Asked, failure)
}

// round reconciles each claim once.
func (h *hand) round(ctx context.Context, t testing.TB) error {
	t.Helper()
	claims := &teapotv1.MachineClaimList{}
	if err := direct.List(ctx, claims, client.InNamespace(h.namespace)); err != nil {
		t.Fatal(err)
	}
	var failures error
	for i := range claims.Items {
		_, err := h.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&claims.Items[i])})
		failures = errors.Join(failures, err)
		if h.Ended {
			break
		}
	}
	return failures
}

// play plays one step of each host, and reports whether there was one.
func (h *hand) play(ctx context.Context, t testing.TB) bool {
	t.Helper()
	hosts := &host.List{}
	if err := direct.List(ctx, hosts, client.InNamespace(h.namespace)); err != nil {
		t.Fatal(err)
	}
	any := false
	for i := range hosts.Items {
		played, err := h.operator.Step(ctx, client.ObjectKeyFromObject(&hosts.Items[i]))
		if err != nil {
			t.Fatal(err)
		}
		any = any || played
	}
	return any
}

// told returns the events so far.
func (h *hand) told() []string {
	return faults.Told(h.recorder)
}

// room makes hosts that are available.
func (h *hand) room(ctx context.Context, t testing.TB, faults ...claimtest.Fault) {
	t.Helper()
	for i, each := range faults {
		o := claimtest.NewHost(h.namespace, fmt.Sprintf("machine-%d", i))
		if each != "" {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, claimtest.FaultAnnotation, string(each))
		}
		create(ctx, t, o)
		claimtest.MakeAvailable(o)
		if err := direct.Status().Update(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *hand) claim(ctx context.Context, t testing.TB, name string) *teapotv1.MachineClaim {
	t.Helper()
	claim := &teapotv1.MachineClaim{}
	if err := direct.Get(ctx, h.key(name), claim); err != nil {
		t.Fatal(err)
	}
	return claim
}

func (h *hand) host(ctx context.Context, t testing.TB, name string) *host.Object {
	t.Helper()
	o := &host.Object{}
	if err := direct.Get(ctx, h.key(name), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// change changes a host as a person would.
func (h *hand) change(ctx context.Context, t testing.TB, name string, change func(*host.Object)) {
	t.Helper()
	o := h.host(ctx, t, name)
	before := o.DeepCopy()
	change(o)
	if err := direct.Patch(ctx, o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (h *hand) delete(ctx context.Context, t testing.TB, object client.Object) {
	t.Helper()
	if err := direct.Delete(ctx, object); err != nil {
		t.Fatal(err)
	}
}

// anybody is a tenant that has left nothing on any host.
var anybody = host.Tenant{Namespace: "anybody", UID: "anybody"}

// tenant is who the claims of the hand's namespace are to hosts.
func (h *hand) tenant(ctx context.Context, t testing.TB) host.Tenant {
	t.Helper()
	namespace := &corev1.Namespace{}
	if err := direct.Get(ctx, types.NamespacedName{Name: h.namespace}, namespace); err != nil {
		t.Fatal(err)
	}
	return host.Tenant{Namespace: namespace.Name, UID: namespace.UID}
}

func (h *hand) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: h.namespace, Name: name}
}

func (h *hand) secrets(ctx context.Context, t testing.TB) []corev1.Secret {
	t.Helper()
	list := &corev1.SecretList{}
	if err := direct.List(ctx, list, client.InNamespace(h.namespace), client.HasLabels{teapotv1.ClaimNameLabel}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// isGone fails while the claim is there.
func (h *hand) isGone(ctx context.Context, t testing.TB, name string) {
	t.Helper()
	if err := direct.Get(ctx, h.key(name), &teapotv1.MachineClaim{}); !apierrors.IsNotFound(err) {
		t.Fatalf("claim %s is there still (%v)", name, err)
	}
}
