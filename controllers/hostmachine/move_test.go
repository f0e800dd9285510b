package hostmachine_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// blockMove is clusterctl's; cmd/clusterctl/api/v1alpha3/annotations.go of Cluster API.
const blockMove = "clusterctl.cluster.x-k8s.io/block-move"

func (p *play) blocked(t *testing.T) bool {
	t.Helper()
	_, blocked := p.read(t).Annotations[blockMove]
	return blocked
}

// TestMoveIsBlockedHalfWay: from the first write until the machine runs, or is paused and its
// claim, too.
func TestMoveIsBlockedHalfWay(t *testing.T) {
	t.Run("until it runs", func(t *testing.T) {
		p := newPlay(t).begun(t)
		claim := p.claim(t)
		if !p.blocked(t) {
			t.Error("a machine that is on its way may be moved")
		}
		provision(t, claim)
		p.ready(t, metav1.ConditionTrue, teapotv1.ReasonReady)
		if p.blocked(t) {
			t.Error("a machine that runs may not be moved")
		}
	})
	t.Run("until the claim is paused", func(t *testing.T) {
		p := byHand(t).begun(t)
		h := newHand(t, p, clock.RealClock{}, "", 0)
		h.settle(t)
		claim := p.claim(t)
		p.pause(t, true)
		h.settle(t)
		if !p.blocked(t) {
			t.Error("it may be moved while its claim works on a host")
		}
		says(t, claim, teapotv1.ClaimBound, is(teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused, ""))
		h.settle(t)
		if p.blocked(t) {
			t.Error("it may not be moved though nothing is under way")
		}
	})
}

// TestMove plays clusterctl: the objects are made anew, paused, with other UIDs and without
// status. Nothing is released, and what was known is known again.
func TestMove(t *testing.T) {
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	claim := p.claim(t)
	provision(t, claim)
	h.settle(t)
	p.join(t)
	p.pause(t, true)
	h.settle(t)
	id := p.read(t).Spec.ProviderID

	moved, movedClaim := p.hm.DeepCopy(), claim.DeepCopy()
	release(t, claim) // clusterctl takes finalizers away before it deletes
	must(t, direct.Delete(t.Context(), claim))
	change(t, p.hm, func() { p.hm.Finalizers = nil })
	must(t, direct.Delete(t.Context(), p.hm))
	gone(t, p.hm)
	gone(t, claim)
	moved.ObjectMeta = metav1.ObjectMeta{
		Namespace: moved.Namespace, Name: moved.Name, Labels: moved.Labels, Annotations: moved.Annotations,
		Finalizers: moved.Finalizers, OwnerReferences: moved.OwnerReferences,
	}
	moved.Status = teapotv1.HostMachineStatus{}
	must(t, direct.Create(t.Context(), moved))
	p.hm = moved
	h.settle(t)
	movedClaim.ObjectMeta = metav1.ObjectMeta{
		Namespace: movedClaim.Namespace, Name: movedClaim.Name, Labels: movedClaim.Labels, Annotations: movedClaim.Annotations,
		Finalizers: []string{teapotv1.MachineClaimFinalizer},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: teapotv1.GroupVersion.String(), Kind: "HostMachine", Name: moved.Name, UID: moved.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
		}},
	}
	movedClaim.Status = teapotv1.MachineClaimStatus{}
	must(t, direct.Create(t.Context(), movedClaim))
	h.settle(t)

	p.pause(t, false)
	before := len(h.Kinds)
	h.settle(t)
	for _, write := range h.Kinds[before:] {
		if write != "patch status of HostMachine" {
			t.Errorf("after a move is written: %s", write)
		}
	}
	provision(t, movedClaim)
	h.settle(t)
	p.read(t)
	must(t, say(p.hm.Status.Conditions, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady))
	if p.hm.Spec.ProviderID != id || !ptr.Deref(p.hm.Status.Initialization.Provisioned, false) || p.hm.Status.Host == nil || h.ids != 1 {
		t.Errorf("after a move it is %+v", p.hm)
	}
	must(t, direct.Get(t.Context(), p.key(), movedClaim))
	if !movedClaim.DeletionTimestamp.IsZero() {
		t.Error("the host is released")
	}
}
