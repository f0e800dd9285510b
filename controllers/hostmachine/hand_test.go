package hostmachine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/teapot-cloud/teapot/controllers/hostmachine"
	"github.com/teapot-cloud/teapot/test/faults"
)

// hand is a manager whose reconciles the test asks for.
type hand struct {
	hostmachine.Reconciler
	recorder *events.FakeRecorder
	machine  types.NamespacedName

	faults.Writes
	ids int // ids given out
	// staleCluster, if set, is the Cluster that its cache has.
	staleCluster *clusterv1.Cluster
}

func newHand(t testing.TB, p *play, c clock.PassiveClock, what faults.Fault, at int) *hand {
	t.Helper()
	live, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: direct.RESTMapper()})
	must(t, err)
	h := &hand{machine: p.key(), recorder: events.NewFakeRecorder(1000), Writes: faults.Writes{Fault: what, At: at}}
	h.Reconciler = hostmachine.Reconciler{
		Client: interceptor.NewClient(live, h.intercept()), Live: live, Recorder: h.recorder, Clock: c,
		NewID: func() string {
			h.ids++
			return fmt.Sprintf("%s-%d", p.hm.Namespace, h.ids)
		},
	}
	return h
}

func (h *hand) intercept() interceptor.Funcs {
	funcs := h.Funcs()
	funcs.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if cluster, ok := object.(*clusterv1.Cluster); ok && h.staleCluster != nil {
			h.staleCluster.DeepCopyInto(cluster)
			return nil
		}
		if err := c.Get(ctx, key, object, options...); err != nil {
			return err
		}
		kind, err := apiutil.GVKForObject(object, scheme)
		object.GetObjectKind().SetGroupVersionKind(kind) // a cache does so, a client does not
		return err
	}
	return funcs
}

func (h *hand) once(ctx context.Context) (ctrl.Result, error) {
	return h.Reconcile(ctx, ctrl.Request{NamespacedName: h.machine})
}

// settle reconciles until nothing is written any more, and returns how it ended.
func (h *hand) settle(t testing.TB) ctrl.Result {
	t.Helper()
	for range 50 {
		before := len(h.Asked)
		result, err := h.once(t.Context())
		if h.Ended {
			return result
		}
		if err == nil && len(h.Asked) == before {
			return result
		}
	}
	t.Fatalf("it never ends: %q", h.Asked)
	return ctrl.Result{}
}

// told returns the events so far.
func (h *hand) told() []string {
	return faults.Told(h.recorder)
}

// byHand prepares a machine that no manager but the test's own looks at.
func byHand(t testing.TB) *play {
	t.Helper()
	p := newPlay(t)
	p.hm.Labels[byHandLabel] = ""
	return p
}

// later is a clock that stands at a time from now.
type later time.Duration

func (l later) Now() time.Time                  { return time.Now().Add(time.Duration(l)) }
func (l later) Since(t time.Time) time.Duration { return l.Now().Sub(t) }
