package hostmachine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/faults"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	released = teapotv1.HibernatedWorkersRelease
	powerOff = teapotv1.HibernatedWorkersPowerOff
	kept     = teapotv1.HibernatedWorkersKeep
)

var modes = []teapotv1.HibernatedWorkers{released, powerOff, kept}

// sleep plays the control plane's controller, to a Cluster that is paused for Cluster API.
func (p *play) sleep(t testing.TB, mode teapotv1.HibernatedWorkers) {
	t.Helper()
	change(t, p.cluster, func() {
		metav1.SetMetaDataAnnotation(&p.cluster.ObjectMeta, teapotv1.HibernationAnnotation, string(mode))
		p.cluster.Spec.Paused = ptr.To(true)
	})
}

func (p *play) wake(t testing.TB) {
	t.Helper()
	change(t, p.cluster, func() {
		delete(p.cluster.Annotations, teapotv1.HibernationAnnotation)
		p.cluster.Spec.Paused = nil
	})
}

// ran is a machine that has joined, reconciled by hand, with its claim.
func ran(t *testing.T) (*play, *hand, *teapotv1.MachineClaim) {
	t.Helper()
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	claim := p.claim(t)
	provision(t, claim)
	h.settle(t)
	p.join(t)
	h.settle(t)
	return p, h, claim
}

// isOn says whether the claim asks for power.
func isOn(t testing.TB, claim *teapotv1.MachineClaim) bool {
	t.Helper()
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(claim), claim))
	return ptr.Deref(claim.Spec.PoweredOn, true)
}

// owned has a MachineSet be what made the Machine, which holds it with a finalizer.
func (p *play) owned(t testing.TB) {
	t.Helper()
	change(t, p.machine, func() {
		p.machine.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: clusterv1.GroupVersion.String(), Kind: "MachineSet", Name: "workers", UID: "workers", Controller: ptr.To(true),
		}}
		p.machine.Finalizers = []string{clusterv1.MachineFinalizer}
	})
	t.Cleanup(func() {
		p.machine.Finalizers = nil
		must(t, client.IgnoreNotFound(direct.Update(contextOf(t), p.machine)))
	})
}

func noClaim(t testing.TB, p *play) {
	t.Helper()
	if err := direct.Get(t.Context(), p.key(), &teapotv1.MachineClaim{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a claim (%v)", err)
	}
}

func TestSwitchedOffForASleep(t *testing.T) {
	p := newPlay(t).begun(t)
	claim := p.claim(t)
	provision(t, claim)
	p.ready(t, "True", teapotv1.ReasonReady)
	p.join(t)
	p.sleep(t, powerOff)
	eventually(t, "the power to be switched off", func() error {
		if isOn(t, claim) {
			return errors.New("it is to be on")
		}
		return nil
	})
	p.condition(t, teapotv1.PausedCondition, "False", teapotv1.ReasonNotPaused)
	says(t, claim, teapotv1.ClaimProvisioned, is(teapotv1.ReadyCondition, "False", teapotv1.ReasonProgressing, "host-7 is being switched off"))
	p.ready(t, "Unknown", teapotv1.ReasonProgressing, "being switched off")
	says(t, claim, teapotv1.ClaimProvisioned, is(teapotv1.ReadyCondition, "True", teapotv1.ReasonReady, "host-7 is off, as asked for"))
	p.ready(t, "True", teapotv1.ReasonReady, "is off, as asked for")

	p.sleep(t, clusterapi.Waking)
	eventually(t, "the power to be switched on", func() error {
		if !isOn(t, claim) {
			return errors.New("it is to be off")
		}
		return nil
	})
	if metav1.HasAnnotation(claim.ObjectMeta, teapotv1.HibernationAnnotation) {
		t.Errorf("its annotations are %v", claim.Annotations)
	}
}

// TestPowerFollowsTheMode in each order.
func TestPowerFollowsTheMode(t *testing.T) {
	const awake = teapotv1.HibernatedWorkers("")
	for name, test := range map[string]struct {
		was   teapotv1.HibernatedWorkers
		is    teapotv1.HibernatedWorkers
		on    bool
		byHim bool // somebody switched it off before
	}{
		"kept":                                   {is: kept, on: true},
		"released: its Machine is deleted":       {is: released, on: true},
		"switched off":                           {is: powerOff},
		"switched off and awake":                 {was: powerOff, is: awake, on: true},
		"switched off and kept now":              {was: powerOff, is: kept, on: true},
		"switched off and released now":          {was: powerOff, is: released},
		"released before, and to be off now":     {was: released, is: powerOff},
		"switched off by somebody, and kept":     {is: kept, byHim: true},
		"switched off by somebody before it was": {was: powerOff, is: awake, byHim: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, h, claim := ran(t)
			if test.byHim {
				change(t, claim, func() { claim.Spec.PoweredOn = ptr.To(false) })
			}
			for _, mode := range []teapotv1.HibernatedWorkers{test.was, test.is} {
				if mode == awake {
					p.wake(t)
				} else {
					p.sleep(t, mode)
				}
				h.settle(t)
			}
			if got := isOn(t, claim); got != test.on {
				t.Errorf("it is to be on: %t", got)
			}
			before := len(h.Asked)
			if result, err := h.once(t.Context()); err != nil || len(h.Asked) != before || result.RequeueAfter != 0 {
				t.Errorf("at rest is written %q, and it is looked at again after %s (%v)", h.Asked[before:], result.RequeueAfter, err)
			}
		})
	}
}

// TestHandedOver: a machine of a control plane that goes to sleep is gone before its host is clean.
func TestHandedOver(t *testing.T) {
	for _, mode := range append(modes, clusterapi.Waking, "") {
		t.Run("mode "+string(mode), func(t *testing.T) {
			p, h, claim := ran(t)
			if mode != "" {
				p.sleep(t, mode)
				h.settle(t)
			}
			must(t, direct.Delete(t.Context(), p.hm))
			h.settle(t)
			must(t, deleting(t, claim))
			err := direct.Get(t.Context(), p.key(), p.hm)
			if handed := apierrors.IsNotFound(err); handed != (mode == released) {
				t.Errorf("the machine is gone: %t (%v)", handed, err)
			}
			if claim.Annotations[teapotv1.HostAnnotation] != "hosts/host-7" || len(claim.Finalizers) != 1 {
				t.Errorf("nothing holds the host: %+v", claim.ObjectMeta)
			}
			release(t, claim)
			h.settle(t)
			gone(t, p.hm)
		})
	}
}

// TestAwakeWhileItHandsOver: what has not gone by then waits for its host.
func TestAwakeWhileItHandsOver(t *testing.T) {
	p, h, claim := ran(t)
	p.sleep(t, released)
	must(t, direct.Delete(t.Context(), p.hm))
	if _, err := h.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wake(t)
	h.settle(t)
	p.ready(t, "False", teapotv1.ReasonDeleting)
	release(t, claim)
	h.settle(t)
	gone(t, p.hm)
}

// TestNotDrainedAsleep: at once, and not after the time that a restart of the control plane may take.
func TestNotDrainedAsleep(t *testing.T) {
	for _, mode := range append(modes, clusterapi.Waking) {
		t.Run(string(mode), func(t *testing.T) {
			p, h, _ := ran(t)
			tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: p.hm.Namespace, Name: "acme"}, Spec: teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"}}
			must(t, direct.Create(t.Context(), tcp))
			p.owned(t)
			p.sleep(t, mode)
			must(t, direct.Delete(t.Context(), p.machine))
			h.settle(t)
			if got := p.skips(t); got != (mode != clusterapi.Waking) {
				t.Errorf("the Node is left undrained: %t", got)
			}
		})
	}
}

// TestCancelled: a machine that has not joined when its control plane goes to sleep holds no host, and is
// replaced afterwards.
func TestCancelled(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			p := byHand(t).begun(t)
			p.owned(t)
			h := newHand(t, p, clock.RealClock{}, "", 0)
			h.settle(t)
			claim := p.claim(t)
			change(t, claim, func() { claim.Finalizers = []string{teapotv1.MachineClaimFinalizer} })
			p.sleep(t, mode)
			h.settle(t)
			must(t, deleting(t, claim))
			release(t, claim)
			h.settle(t)
			noClaim(t, p)
			must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, "Unknown", teapotv1.ReasonAsleep, "TenantControlPlane acme sleeps"))
			late := newHand(t, p, later(time.Hour), "", 0)
			late.settle(t)
			must(t, say(p.read(t).Status.Conditions, teapotv1.StalledCondition, "False", teapotv1.ReasonProgressing))
			must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.machine), p.machine))
			if !p.machine.DeletionTimestamp.IsZero() {
				t.Error("its Machine is replaced while nobody can join")
			}
			p.wake(t)
			h.settle(t)
			must(t, deleting(t, p.machine))
			noClaim(t, p)
		})
	}
}

// TestCancelledWithoutAnOwner: nobody would make another Machine, so a person has to.
func TestCancelledWithoutAnOwner(t *testing.T) {
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.sleep(t, kept)
	h.settle(t)
	p.wake(t)
	h.settle(t)
	noClaim(t, p)
	must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, "Unknown", teapotv1.ReasonHostLost, "delete it, and make one"))
	must(t, say(p.hm.Status.Conditions, teapotv1.StalledCondition, "True", teapotv1.ReasonHostLost))
}

// TestNotBegunAsleep: what has no bootstrap data yet waits, and is made afterwards.
func TestNotBegunAsleep(t *testing.T) {
	p := byHand(t)
	p.makeHostMachine(t)
	p.makeMachine(t)
	p.makeCluster(t)
	p.provisionCluster(t)
	p.sleep(t, powerOff)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, "Unknown", teapotv1.ReasonAsleep))
	p.wake(t)
	p.giveBootstrapData(t)
	h.settle(t)
	p.claim(t)
}

// TestJoinedAfterAll: a machine that joined in the moment in which it was to be cancelled stays.
func TestJoinedAfterAll(t *testing.T) {
	p := byHand(t).begun(t)
	p.owned(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	claim := p.claim(t)
	provision(t, claim)
	h.settle(t)
	p.sleep(t, kept)
	h.Fault, h.At = faults.Ends, len(h.Asked)+2 // between the annotation and the deletion of the claim
	h.settle(t)
	p.join(t)
	h = newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.wake(t)
	h.settle(t)
	must(t, direct.Get(t.Context(), p.key(), claim))
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.machine), p.machine))
	if !claim.DeletionTimestamp.IsZero() || !p.machine.DeletionTimestamp.IsZero() || len(p.read(t).Annotations) != 0 {
		t.Errorf("the claim is %+v, the Machine %+v, the HostMachine's annotations %v", claim.ObjectMeta, p.machine.ObjectMeta, p.hm.Annotations)
	}
	must(t, say(p.hm.Status.Conditions, teapotv1.ReadyCondition, "True", teapotv1.ReasonReady))
}

// TestACacheThatIsBehindASleep: a machine of a control plane that is awake again is neither cancelled nor
// switched off.
func TestACacheThatIsBehindASleep(t *testing.T) {
	for _, joined := range []bool{true, false} {
		t.Run(fmt.Sprintf("joined %t", joined), func(t *testing.T) {
			p := byHand(t).begun(t)
			h := newHand(t, p, clock.RealClock{}, "", 0)
			h.settle(t)
			claim := p.claim(t)
			provision(t, claim)
			h.settle(t)
			if joined {
				p.join(t)
				h.settle(t)
			}
			p.sleep(t, powerOff)
			h.staleCluster = p.cluster.DeepCopy()
			p.wake(t)
			if _, err := h.once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !isOn(t, claim) || !claim.DeletionTimestamp.IsZero() || metav1.HasAnnotation(p.read(t).ObjectMeta, "teapot.dev/cancelled") {
				t.Errorf("the claim is %+v", claim)
			}
		})
	}
}

// TestACrashAtAnyWriteOfASleep fails each write from the moment in which the control plane goes to sleep to
// the one in which all is as it was.
func TestACrashAtAnyWriteOfASleep(t *testing.T) {
	faults.AtEachWrite(t, "a sleep", 5, sleepAndWake)
}

// sleepAndWake switches a machine off and on and gives it back, with a fault at a write, and says whether it
// came to that.
func sleepAndWake(t *testing.T, what faults.Fault, at int) bool {
	t.Helper()
	p, _, claim := ran(t)
	faulty := newHand(t, p, clock.RealClock{}, what, at)
	h := faulty
	until := func(name string, done func() bool) {
		t.Helper()
		for range 20 {
			h.settle(t)
			if h.Ended {
				h = newHand(t, p, clock.RealClock{}, "", 0)
				continue
			}
			if done() {
				return
			}
		}
		t.Fatalf("the manager %s at write %d of %q, and then %s did not come: %+v", what, at, faulty.Asked, name, claim)
	}
	p.sleep(t, powerOff)
	until("the sleep", func() bool { return !isOn(t, claim) })
	p.wake(t)
	until("the end", func() bool {
		return isOn(t, claim) && !metav1.HasAnnotation(claim.ObjectMeta, teapotv1.HibernationAnnotation)
	})
	p.sleep(t, released)
	must(t, direct.Delete(t.Context(), p.hm))
	until("the release", func() bool {
		return deleting(t, claim) == nil && apierrors.IsNotFound(direct.Get(t.Context(), p.key(), p.hm))
	})
	release(t, claim)
	return len(faulty.Asked) >= at
}
