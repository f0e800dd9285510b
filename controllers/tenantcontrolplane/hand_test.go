package tenantcontrolplane_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controllers/tenantcontrolplane"
	"github.com/teapot-cloud/teapot/test/faults"
)

var discard = log.New(io.Discard, "", 0)

// byHandLabel marks control planes that a test reconciles by hand: the manager of the package
// leaves them alone.
const byHandLabel = "test.teapot.dev/by-hand"

// hand is a manager whose reconciles the test asks for. Its client reads from the API server
// what a cache would hold.
type hand struct {
	tenantcontrolplane.Reconciler
	owner    types.NamespacedName
	recorder *events.FakeRecorder
	faults.Writes
}

// newHand makes one that suffers a fault at a write; 0 means never.
func newHand(t testing.TB, owner types.NamespacedName, c clock.PassiveClock, what faults.Fault, at int) *hand {
	t.Helper()
	live, err := client.NewWithWatch(config, client.Options{Scheme: controllers.Scheme(), Mapper: direct.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{owner: owner, recorder: events.NewFakeRecorder(1000), Writes: faults.Writes{At: at, Fault: what}}
	h.Reconciler = tenantcontrolplane.Reconciler{
		Client: interceptor.NewClient(live, h.intercept()), Live: live,
		Tenants: tenant.NewRegistry(clock.RealClock{}), Recorder: h.recorder, Clock: c,
		Settings: settings,
	}
	t.Cleanup(func() { h.Tenants.Close(owner) })
	return h
}

func (h *hand) intercept() interceptor.Funcs {
	funcs := h.Funcs()
	funcs.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if err := c.Get(ctx, key, object, options...); err != nil {
			return err
		}
		if !cached(object) {
			return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
		}
		gvk, err := apiutil.GVKForObject(object, c.Scheme())
		if err != nil {
			return err
		}
		object.GetObjectKind().SetGroupVersionKind(gvk) // a cache does so, a client does not
		_, err = apply.Transform(object)
		return err
	}
	return funcs
}

// cached says whether the manager's cache would hold an object.
func cached(object client.Object) bool {
	for kind, by := range controllers.CacheOptions().ByObject {
		if fmt.Sprintf("%T", kind) == fmt.Sprintf("%T", object) && by.Label != nil {
			return by.Label.Matches(labels.Set(object.GetLabels()))
		}
	}
	return true
}

// byHand is a control plane that no manager but the test's own looks at.
func byHand(namespace string) *teapotv1.TenantControlPlane {
	return &teapotv1.TenantControlPlane{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cp", Labels: map[string]string{byHandLabel: ""}},
		Spec:       teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"},
	}
}

// once reconciles once.
func (h *hand) once(ctx context.Context) (ctrl.Result, error) {
	return h.Reconcile(ctx, ctrl.Request{NamespacedName: h.owner})
}

// told returns the events so far.
func (h *hand) told() []string {
	return faults.Told(h.recorder)
}

// settle reconciles, and plays the cluster, until nothing changes any more and it is done. A
// manager that ended is replaced; settle returns the one that got there.
func (h *hand) settle(ctx context.Context, t testing.TB, done func() error) *hand {
	deadline := time.Now().Add(60 * time.Second)
	var problem error
	for time.Now().Before(deadline) {
		before := len(h.Asked)
		_, err := h.once(ctx)
		if h.Ended {
			h.Tenants.Close(h.owner)
			h = newHand(t, h.owner, h.Clock, "", 0)
			continue
		}
		pods, podsErr := playPods(ctx, h.owner)
		namespaces, namespacesErr := playNamespaces(ctx, h.owner)
		serving, servingErr := playTenant(ctx, h.owner)
		if problem = errors.Join(err, podsErr, namespacesErr, servingErr); problem != nil {
			continue
		}
		if pods || namespaces || serving || len(h.Asked) != before {
			continue
		}
		if problem = done(); problem == nil {
			return h
		}
		select { // the tenant's session tells of what it saw
		case <-h.Tenants.Events():
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Errorf("after %d writes: %v", len(h.Asked), problem)
	return nil
}

// isReady waits for Ready of the newest generation.
func isReady(ctx context.Context, owner types.NamespacedName) func() error {
	return func() error {
		tcp := &teapotv1.TenantControlPlane{}
		if err := direct.Get(ctx, owner, tcp); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.ReadyCondition) || tcp.Status.ObservedGeneration != tcp.Generation {
			return fmt.Errorf("conditions are %+v", tcp.Status.Conditions)
		}
		return nil
	}
}

// isAsleep waits until the control plane says that it sleeps.
func isAsleep(ctx context.Context, owner types.NamespacedName) func() error {
	return func() error {
		tcp := &teapotv1.TenantControlPlane{}
		if err := direct.Get(ctx, owner, tcp); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.HibernatedCondition) || tcp.Status.ObservedGeneration != tcp.Generation {
			return fmt.Errorf("conditions are %+v", tcp.Status.Conditions)
		}
		return nil
	}
}

// isGone waits for the end of the control plane.
func isGone(ctx context.Context, owner types.NamespacedName) func() error {
	return func() error {
		err := direct.Get(ctx, owner, &teapotv1.TenantControlPlane{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is still there"))
	}
}
