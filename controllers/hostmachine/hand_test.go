package hostmachine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/teapot-cloud/teapot/controllers/hostmachine"
)

// fault is what happens at a write of the manager.
type fault string

const (
	// fails: the write is refused once, and the manager goes on.
	fails fault = "fails"
	// lost: the write is done and its answer lost, and the manager goes on.
	lost fault = "answer lost"
	// ends: the write and all after it are not done; another manager takes over.
	ends fault = "ends"
)

// hand is a manager whose reconciles the test asks for.
type hand struct {
	hostmachine.Reconciler
	recorder *events.FakeRecorder
	machine  types.NamespacedName

	writes []string // as they were asked for
	fault  fault
	at     int // the write that suffers it; 0: none
	ended  bool
	ids    int // ids given out
}

func newHand(t testing.TB, p *play, c clock.PassiveClock, what fault, at int) *hand {
	t.Helper()
	live, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: direct.RESTMapper()})
	must(t, err)
	h := &hand{machine: p.key(), recorder: events.NewFakeRecorder(1000), fault: what, at: at}
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
	named := func(verb string, object client.Object) string {
		kind, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			return fmt.Sprintf("%s %T", verb, object)
		}
		return verb + " " + kind.Kind
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := c.Get(ctx, key, object, options...); err != nil {
				return err
			}
			kind, err := apiutil.GVKForObject(object, scheme)
			object.GetObjectKind().SetGroupVersionKind(kind) // a cache does so, a client does not
			return err
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return h.write(named("create", object), func() error { return c.Create(ctx, object, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return h.write(named("delete", object), func() error { return c.Delete(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return h.write(named("patch", object), func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return h.write("apply Secret", func() error { return c.Apply(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return h.write(named("patch "+sub+" of", object), func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
	}
}

func (h *hand) write(what string, do func() error) error {
	h.writes = append(h.writes, what)
	n := len(h.writes)
	hit := h.at > 0 && (n == h.at || n > h.at && h.fault == ends)
	switch {
	case !hit:
		return do()
	case h.fault == lost:
		return errors.Join(do(), fmt.Errorf("the answer to write %d (%s) is lost", n, what))
	default:
		h.ended = h.fault == ends
		return fmt.Errorf("write %d (%s) is not done", n, what)
	}
}

func (h *hand) once(ctx context.Context) (ctrl.Result, error) {
	return h.Reconcile(ctx, ctrl.Request{NamespacedName: h.machine})
}

// settle reconciles until nothing is written any more, and returns how it ended.
func (h *hand) settle(t testing.TB) ctrl.Result {
	t.Helper()
	for range 50 {
		before := len(h.writes)
		result, err := h.once(t.Context())
		if h.ended {
			return result
		}
		if err == nil && len(h.writes) == before {
			return result
		}
	}
	t.Fatalf("it never ends: %q", h.writes)
	return ctrl.Result{}
}

// told returns the events so far.
func (h *hand) told() []string {
	var all []string
	for {
		select {
		case event := <-h.recorder.Events:
			all = append(all, event)
		default:
			return all
		}
	}
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
