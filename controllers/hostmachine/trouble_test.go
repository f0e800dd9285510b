package hostmachine_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestTroubleOfTheClaimIsShown, in a way that tells a machine that failed from a slow one.
func TestTroubleOfTheClaimIsShown(t *testing.T) {
	p := newPlay(t).begun(t)
	claim := p.claim(t)
	says(t, claim, teapotv1.ClaimPending, is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoHost, "12 hosts: 12 taken"))
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonNoHost, "MachineClaim worker-1", "12 hosts: 12 taken")

	stalled := is(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonNoHost, "12 hosts: 12 taken")
	says(t, claim, teapotv1.ClaimPending, stalled)
	p.condition(t, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonNoHost, "12 hosts: 12 taken")
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonNoHost) // another machine would wait, too

	says(t, claim, teapotv1.ClaimFailed,
		is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonProvisioningFailed, "3 hosts failed"),
		is(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioningFailed, "3 hosts failed"))
	p.ready(t, metav1.ConditionFalse, teapotv1.ReasonProvisioningFailed, "3 hosts failed")
	p.condition(t, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioningFailed)
}

func TestAMachineThatRanAndDoesNotIsNotReady(t *testing.T) {
	p := newPlay(t).begun(t)
	claim := p.claim(t)
	provision(t, claim)
	p.ready(t, metav1.ConditionTrue, teapotv1.ReasonReady)
	says(t, claim, teapotv1.ClaimProvisioned, is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonPoweredOff, "host-7 is off"))
	p.ready(t, metav1.ConditionFalse, teapotv1.ReasonPoweredOff, "host-7 is off")
	if !ptr.Deref(p.hm.Status.Initialization.Provisioned, false) {
		t.Error("Cluster API's contract does not let provisioned become false")
	}
}

// TestAClaimThatIsDeletedUnderAMachine ends it: another host would be another machine. One that has
// not run yet gets another claim.
func TestAClaimThatIsDeletedUnderAMachine(t *testing.T) {
	t.Run("before it ran", func(t *testing.T) {
		p := newPlay(t).begun(t)
		claim := p.claim(t)
		id := p.read(t).Spec.ProviderID
		must(t, direct.Delete(t.Context(), claim))
		eventually(t, "another claim", func() error {
			again := &teapotv1.MachineClaim{}
			if err := direct.Get(t.Context(), p.key(), again); err != nil {
				return err
			}
			if again.UID == claim.UID {
				return errors.New("it is the same")
			}
			return nil
		})
		if p.read(t).Spec.ProviderID != id {
			t.Error("it has another id")
		}
	})
	t.Run("when it ran", func(t *testing.T) {
		p := byHand(t).begun(t)
		h := newHand(t, p, clock.RealClock{}, "", 0)
		h.settle(t)
		claim := p.claim(t)
		provision(t, claim)
		h.settle(t)
		p.join(t)
		must(t, direct.Delete(t.Context(), claim))
		release(t, claim)
		changeStatus(t, p.hm, func() { p.hm.Status = teapotv1.HostMachineStatus{} }) // it may be lost, too
		h.settle(t)
		must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonHostLost, "Machine worker-1"))
		must(t, say(p.hm.Status.Conditions, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonHostLost))
		if err := direct.Get(t.Context(), p.key(), claim); !apierrors.IsNotFound(err) {
			t.Errorf("it has another claim (%v)", err)
		}
		must(t, direct.Delete(t.Context(), p.hm))
		h.settle(t)
		gone(t, p.hm)
	})
}

// TestAClaimOfSomebodyElse with the machine's name is neither taken nor deleted.
func TestAClaimOfSomebodyElse(t *testing.T) {
	p := byHand(t)
	other := &teapotv1.MachineClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.hm.Namespace, Name: p.hm.Name},
		Spec:       teapotv1.MachineClaimSpec{HostRequest: p.hm.Spec.HostRequest},
	}
	must(t, direct.Create(t.Context(), other))
	provision(t, other)
	p.begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, metav1.ConditionUnknown, teapotv1.ReasonWaitingForClaim, "belongs to somebody else"))
	must(t, say(p.hm.Status.Conditions, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonWaitingForClaim))
	if ptr.Deref(p.hm.Status.Initialization.Provisioned, false) || p.hm.Status.Host != nil {
		t.Errorf("it shows another's host: %+v", p.hm.Status)
	}
	must(t, direct.Delete(t.Context(), p.hm))
	h.settle(t)
	gone(t, p.hm)
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(other), other))
	if !other.DeletionTimestamp.IsZero() {
		t.Error("another's claim was deleted")
	}
}

// unreachable are tenants none of which may be asked anything.
type unreachable struct{ t *testing.T }

func (u unreachable) RemoveToken(types.NamespacedName, string) (bool, string) {
	u.t.Error("a tenant was asked for something during a release")
	return false, ""
}

// TestReleaseAsksNothingOfTheTenant: its API may be dead or asleep. Neither do the Cluster, the
// Machine and the kubeconfig have to be there.
func TestReleaseAsksNothingOfTheTenant(t *testing.T) {
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	claim := p.claim(t)
	provision(t, claim)
	h.settle(t)
	p.join(t)

	h.Tokens = unreachable{t}
	must(t, direct.Delete(t.Context(), p.machine))
	must(t, direct.Delete(t.Context(), p.cluster))
	must(t, direct.Delete(t.Context(), p.hm))
	h.settle(t)
	must(t, deleting(t, claim))
	must(t, direct.Get(t.Context(), p.key(), p.hm)) // it waits for the claim
	release(t, claim)
	h.settle(t)
	gone(t, p.hm)
}

// TestACacheThatIsBehindLeaksNoClaim: the claim was made a moment ago, and the cache does not
// have it yet.
func TestACacheThatIsBehindLeaksNoClaim(t *testing.T) {
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	claim := p.claim(t)
	provision(t, claim)
	must(t, direct.Delete(t.Context(), p.hm))
	h.Client = behind{h.Client}
	_, err := h.once(t.Context())
	must(t, err)
	must(t, direct.Get(t.Context(), p.key(), p.hm))
	must(t, deleting(t, claim))
}

// behind is a cache without claims.
type behind struct{ client.Client }

func (b behind) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*teapotv1.MachineClaim); ok {
		return apierrors.NewNotFound(teapotv1.GroupVersion.WithResource("machineclaims").GroupResource(), key.Name)
	}
	return b.Client.Get(ctx, key, object, options...)
}

// TestAStaleReadGivesNoOtherID: the cache holds the machine as it was before its first write.
func TestAStaleReadGivesNoOtherID(t *testing.T) {
	p := byHand(t).begun(t)
	old := p.read(t).DeepCopy()
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	settled := p.read(t).DeepCopy()
	h.Client = stale{h.Client, old}
	_, err := h.once(t.Context())
	must(t, err)
	if p.read(t).ResourceVersion != settled.ResourceVersion {
		t.Errorf("it was %+v and is %+v", settled, p.hm)
	}
}

// stale is a cache with an old HostMachine.
type stale struct {
	client.Client
	old *teapotv1.HostMachine
}

func (s stale) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if hm, ok := object.(*teapotv1.HostMachine); ok {
		s.old.DeepCopyInto(hm)
		return nil
	}
	return s.Client.Get(ctx, key, object, options...)
}

// TestPaused: nothing is made, and nothing is deleted.
func TestPaused(t *testing.T) {
	for name, set := range map[string]func(*testing.T, *play, bool){
		"Cluster": func(t *testing.T, p *play, paused bool) { p.pause(t, paused) },
		"annotation": func(t *testing.T, p *play, paused bool) {
			change(t, p.hm, func() {
				delete(p.hm.Annotations, clusterv1.PausedAnnotation)
				if paused {
					metav1.SetMetaDataAnnotation(&p.hm.ObjectMeta, clusterv1.PausedAnnotation, "")
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := byHand(t).begun(t)
			h := newHand(t, p, clock.RealClock{}, "", 0)
			set(t, p, true)
			h.settle(t)
			must(t, say(p.read(t).Status.Conditions, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused))
			if want := []string{"patch status of HostMachine"}; !slices.Equal(h.Kinds, want) {
				t.Errorf("written while paused is %q, want %q", h.Kinds, want)
			}
			set(t, p, false)
			h.settle(t)
			must(t, say(p.read(t).Status.Conditions, teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused))
			claim := p.claim(t)
			provision(t, claim)
			h.settle(t)

			set(t, p, true)
			must(t, direct.Delete(t.Context(), p.hm))
			h.settle(t)
			if deleting(t, claim) == nil {
				t.Error("a claim was deleted while paused")
			}
			must(t, say(p.read(t).Status.Conditions, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady))
			set(t, p, false)
			h.settle(t)
			must(t, deleting(t, claim))
			release(t, claim)
			h.settle(t)
			gone(t, p.hm)
		})
	}
}
