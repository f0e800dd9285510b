package tenantcontrolplane_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/faults"
)

// life is a control plane in one of the scenarios: what was there before, what is asked for,
// and when that is done.
type life struct {
	// before brings it, undisturbed, to where the scenario begins.
	before func(context.Context, *testing.T, *teapotv1.TenantControlPlane)
	// ask changes what is wanted. Faults begin after it.
	ask  func(context.Context, *testing.T, *teapotv1.TenantControlPlane)
	done func(context.Context, types.NamespacedName) func() error
	// upTo is the last write that is disturbed; 0: all are.
	upTo int
}

func undisturbed(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane, done func() error) {
	t.Helper()
	h := newHand(t, key(tcp), clock.RealClock{}, "", 0)
	defer h.Tenants.Close(h.owner)
	if h.settle(ctx, t, done) == nil {
		t.FailNow()
	}
}

func makeReady(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	makeOne(ctx, t, tcp)
	undisturbed(ctx, t, tcp, isReady(ctx, key(tcp)))
}

func makeOne(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	if err := direct.Create(ctx, tcp); err != nil {
		t.Fatal(err)
	}
}

func patch(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane, change func(*teapotv1.TenantControlPlaneSpec)) {
	t.Helper()
	if err := direct.Get(ctx, key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	before := tcp.DeepCopy()
	change(&tcp.Spec)
	if err := direct.Patch(ctx, tcp, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func deleteOne(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	if err := direct.Delete(ctx, tcp); err != nil {
		t.Fatal(err)
	}
}

// sleepNow asks for sleep, or for its end.
func sleepNow(enabled bool) func(context.Context, *testing.T, *teapotv1.TenantControlPlane) {
	return func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
		t.Helper()
		patch(ctx, t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) {
			spec.Hibernation = &teapotv1.HibernationSpec{Enabled: &enabled}
		})
	}
}

// becomes reconciles until the control plane is on its way; what runs stays as it is meanwhile.
func becomes(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane, phase teapotv1.HibernationPhase) {
	t.Helper()
	h := newHand(t, key(tcp), clock.RealClock{}, "", 0)
	defer h.Tenants.Close(h.owner)
	eventually(t, "phase "+string(phase), func() error {
		if _, err := h.once(ctx); err != nil {
			return err
		}
		if err := direct.Get(ctx, key(tcp), tcp); err != nil {
			return err
		}
		if is := tcp.Status.Hibernation; is == nil || is.Phase != phase {
			return fmt.Errorf("hibernation is %+v", is)
		}
		return nil
	})
}

// wakingOne slept, is to be awake again, and does not answer yet.
func wakingOne(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	makeReady(ctx, t, tcp)
	sleepNow(true)(ctx, t, tcp)
	undisturbed(ctx, t, tcp, isAsleep(ctx, key(tcp)))
	sleepNow(false)(ctx, t, tcp)
	becomes(ctx, t, tcp, teapotv1.HibernationWaking)
}

func retained(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain
	makeReady(ctx, t, tcp)
}

var lives = map[string]life{
	"create": {
		before: func(context.Context, *testing.T, *teapotv1.TenantControlPlane) {},
		ask:    makeOne, done: isReady,
	},
	"change": {
		before: makeReady,
		ask: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			patch(ctx, t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) {
				spec.Version = "v1.36.2"
				spec.Replicas = ptr.To[int32](3)
				spec.Addons.Konnectivity.Enabled = ptr.To(false)
				spec.Components.Scheduler.ExtraArgs = []teapotv1.ExtraArg{{Name: "v", Value: "2"}}
			})
		},
		done: isReady,
	},
	"delete":            {before: makeReady, ask: deleteOne, done: isGone},
	"delete and retain": {before: retained, ask: deleteOne, done: isGone},
	"hibernate":         {before: makeReady, ask: sleepNow(true), done: isAsleep},
	"resume": {
		before: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			makeReady(ctx, t, tcp)
			sleepNow(true)(ctx, t, tcp)
			undisturbed(ctx, t, tcp, isAsleep(ctx, key(tcp)))
		},
		ask: sleepNow(false), done: isReady,
	},
	"delete on the way to sleep": {
		before: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			makeReady(ctx, t, tcp)
			sleepNow(true)(ctx, t, tcp)
		},
		ask: deleteOne, done: isGone,
		upTo: 6, // until nothing tells it from the deletion of one that is awake
	},
	"resume on the way to sleep": {
		before: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			makeReady(ctx, t, tcp)
			sleepNow(true)(ctx, t, tcp)
			becomes(ctx, t, tcp, teapotv1.HibernationHibernating)
		},
		ask: sleepNow(false), done: isReady,
		upTo: 2, // until nothing tells it from the end of a sleep
	},
	// The first writes: what follows is as in hibernate and delete.
	"hibernate on the way back": {before: wakingOne, ask: sleepNow(true), done: isAsleep, upTo: 1},
	"delete on the way back":    {before: wakingOne, ask: deleteOne, done: isGone, upTo: 1},
	"adopt": {
		before: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			retained(ctx, t, tcp)
			deleteOne(ctx, t, tcp)
			undisturbed(ctx, t, tcp, isGone(ctx, key(tcp)))
		},
		ask: func(ctx context.Context, t *testing.T, tcp *teapotv1.TenantControlPlane) {
			again := byHand(tcp.Namespace)
			again.Spec.Datastore.AdoptFrom = controlplane.Namespace(key(tcp))
			makeOne(ctx, t, again)
		},
		done: isReady,
		upTo: 7, // the finalizer, the Secret, the claim, the namespace; the rest is as in create
	},
}

// outcome is how one life ended.
type outcome struct {
	state  map[string]string
	writes int
	hit    bool
	what   string
}

// TestACrashAtAnyWriteChangesNothingInTheEnd fails each write of a manager, loses its answer,
// or ends the manager at it, in every scenario. The end is that of an undisturbed run, and
// authorities are made once.
func TestACrashAtAnyWriteChangesNothingInTheEnd(t *testing.T) {
	for name, scenario := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := scenario.run(t, "", 0)
			if t.Failed() {
				return
			}
			t.Logf("undisturbed it takes %d writes", want.writes)
			for _, what := range []faults.Fault{faults.Fails, faults.Lost, faults.Ends} {
				t.Run(string(what), func(t *testing.T) {
					t.Parallel()
					// Until a run needs fewer writes: that one was not hit.
					for at := 1; scenario.upTo == 0 || at <= scenario.upTo; at++ {
						got := scenario.run(t, what, at)
						for _, difference := range differences(want.state, got.state) {
							t.Errorf("the manager %s at write %d (%s): %s", what, at, got.what, difference)
						}
						if t.Failed() || !got.hit {
							return
						}
					}
				})
			}
		})
	}
}

// run lives one life, with a fault at a write.
func (l life) run(t *testing.T, what faults.Fault, at int) outcome {
	t.Helper()
	ctx := t.Context()
	tcp := byHand(tenantNamespace(t))
	l.before(ctx, t, tcp)
	keys := keysOf(ctx, t, key(tcp))
	l.ask(ctx, t, tcp)

	h := newHand(t, key(tcp), clock.RealClock{}, what, at)
	last := h.settle(ctx, t, l.done(ctx, key(tcp)))
	if last == nil {
		t.Fatalf("the manager %s at write %d of %q and never got there", what, at, h.Asked)
	}
	last.Tenants.Close(key(tcp))
	stopTenant(key(tcp))
	if err := playGarbage(ctx, key(tcp)); err != nil {
		t.Error(err)
	}

	result := outcome{state: snapshot(ctx, t, key(tcp)), writes: len(h.Asked), hit: at > 0 && len(h.Asked) >= at}
	if result.hit {
		result.what = h.Asked[at-1]
	}
	done := h.Done
	if last != h {
		done = slices.Concat(h.Done, last.Done)
	}
	made, allowed := 0, 1
	for _, write := range done {
		if write == "create Secret "+controlplane.AuthoritiesName {
			made++
		}
	}
	if len(keys) > 0 {
		allowed = 0
		if after := keysOf(ctx, t, key(tcp)); len(after) > 0 && !maps.EqualFunc(keys, after, bytes.Equal) {
			t.Errorf("the manager %s at write %d (%s): the authorities are others than before", what, at, result.what)
		}
	}
	if made > allowed {
		t.Errorf("the manager %s at write %d (%s): authorities were made %d times", what, at, result.what, made)
	}
	sweep(ctx, t, key(tcp))
	return result
}

// keysOf returns the authorities' keys, if there are any.
func keysOf(ctx context.Context, t *testing.T, owner types.NamespacedName) map[string][]byte {
	t.Helper()
	secret := &corev1.Secret{}
	err := direct.Get(ctx, types.NamespacedName{Namespace: controlplane.Namespace(owner), Name: controlplane.AuthoritiesName}, secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return secret.Data
}
