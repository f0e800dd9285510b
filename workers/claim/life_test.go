package claim

import (
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

const imageURL = "https://images.example.com/node.qcow2"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

type (
	claimChange = func(*teapotv1.MachineClaim)
	hostChange  = func(*host.Object)
)

// life is a claim and its host at a moment.
type life struct {
	claim []claimChange
	// host is nil where there is none; it is named "m".
	host   []hostChange
	choice *Choice
	// missing is a Secret that is not there.
	missing string
}

func (l life) observed() Observed {
	c := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "acme", Name: "worker-0", UID: "claim-0", Generation: 1, Annotations: map[string]string{},
	}}
	c.Spec.Image = teapotv1.Image{URL: imageURL}
	c.Spec.ProvisioningTimeout = "1h"
	for _, change := range l.claim {
		change(c)
	}
	o := Observed{Claim: c, Choice: l.choice, MissingSecret: l.missing, Now: noon}
	if l.host != nil {
		o.Host = machine("m", l.host...)
	}
	return o
}

// named: the claim names the host, and has the finalizer.
func signed(c *teapotv1.MachineClaim) {
	c.Annotations[teapotv1.HostAnnotation] = "machines/m"
	c.Finalizers = []string{teapotv1.MachineClaimFinalizer}
}

// apart: the claim's spread has a limit.
func apart(c *teapotv1.MachineClaim) {
	c.Spec.Spread = []teapotv1.HostSpread{{TopologyKey: "rack", MaxPerDomain: 1}}
}

// admitted: the claim was admitted to the host at revision 7.
func admitted(c *teapotv1.MachineClaim) {
	signed(c)
	c.Annotations[teapotv1.AdmittedAnnotation] = "host-0/7"
}

func revised(revision string) hostChange {
	return func(o *host.Object) { o.UID, o.ResourceVersion = "host-0", revision }
}

// bound: the status says since when the claim holds the host.
func bound(ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) {
		signed(c)
		c.Status.Host = &teapotv1.HostReference{Namespace: "machines", Name: "m"}
		condition(c, teapotv1.HostBoundCondition, metav1.ConditionTrue, teapotv1.ReasonReady, ago)
		c.Status.Phase, c.Status.PhaseSince = teapotv1.ClaimProvisioning, &metav1.Time{Time: noon.Add(-ago)}
	}
}

// ran: the machine ran the image before.
func ran(c *teapotv1.MachineClaim) {
	bound(time.Hour)(c)
	noted(c)
	condition(c, teapotv1.ProvisionedCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioned, time.Hour)
	condition(c, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady, time.Hour)
	c.Status.Phase, c.Status.PoweredOn = teapotv1.ClaimProvisioned, true
}

// wasOff: the machine ran before and was switched off, as asked for.
func wasOff(c *teapotv1.MachineClaim) {
	ran(c)
	c.Status.PoweredOn = false
}

// comesOnFor: and was asked to be on again some time ago.
func comesOnFor(ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) {
		wasOff(c)
		meta.RemoveStatusCondition(&c.Status.Conditions, teapotv1.ReadyCondition)
		condition(c, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, ago)
	}
}

// noted: it is known to have run the image.
func noted(c *teapotv1.MachineClaim) {
	signed(c)
	c.Annotations[teapotv1.ProvisionedAnnotation] = "machines/m"
}

// notReadyFor: and has not been Ready for some time.
func notReadyFor(ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) {
		ran(c)
		meta.RemoveStatusCondition(&c.Status.Conditions, teapotv1.ReadyCondition)
		condition(c, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonPoweredOff, ago)
	}
}

func condition(c *teapotv1.MachineClaim, kind string, status metav1.ConditionStatus, reason string, ago time.Duration) {
	meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(noon.Add(-ago)),
	})
}

func waitingFor(reason string, ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) {
		condition(c, teapotv1.ReadyCondition, metav1.ConditionFalse, reason, ago)
		c.Status.Phase, c.Status.PhaseSince = teapotv1.ClaimPending, &metav1.Time{Time: noon.Add(-ago)}
	}
}

func deleted(ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) { c.DeletionTimestamp = &metav1.Time{Time: noon.Add(-ago)} }
}

func failedOn(hosts string) claimChange {
	return func(c *teapotv1.MachineClaim) { c.Annotations[teapotv1.FailedHostsAnnotation] = hosts }
}

func since(phase teapotv1.MachineClaimPhase, ago time.Duration) claimChange {
	return func(c *teapotv1.MachineClaim) {
		c.Status.Phase, c.Status.PhaseSince = phase, &metav1.Time{Time: noon.Add(-ago)}
	}
}

func off(c *teapotv1.MachineClaim) { c.Spec.PoweredOn = ptr.To(false) }

func ours(o *host.Object) {
	o.Spec.ConsumerRef = &corev1.ObjectReference{
		APIVersion: teapotv1.GroupVersion.String(), Kind: host.HolderKind, Namespace: "acme", Name: "worker-0", UID: "claim-0",
	}
}

// asked: the image is asked for.
func asked(o *host.Object) {
	ours(o)
	o.Spec.Image, o.Spec.Online = &metal3v1.Image{URL: imageURL}, true
}

func inState(state metal3v1.ProvisioningState) hostChange {
	return func(o *host.Object) { o.Status.Provisioning.State = state }
}

// runs: the host runs the image.
func runs(o *host.Object) {
	asked(o)
	inState(metal3v1.StateProvisioned)(o)
	o.Status.Provisioning.Image.URL, o.Status.PoweredOn = imageURL, true
}

func leaving(o *host.Object) { o.DeletionTimestamp = &metav1.Time{Time: noon} }

func failing(kind metal3v1.ErrorType, message string) hostChange {
	return func(o *host.Object) {
		o.Status.OperationalStatus, o.Status.ErrorType, o.Status.ErrorMessage = metal3v1.OperationalStatusError, kind, message
	}
}

func paused(o *host.Object) { o.Annotations[metal3v1.PausedAnnotation] = "" }

func powerless(o *host.Object) { o.Status.PoweredOn = false }

func chosen(name string) *Choice {
	return &Choice{Host: &host.Host{Key: types.NamespacedName{Namespace: "machines", Name: name}}, Total: 1}
}

var noHost = &Choice{Total: 1, Refused: map[host.Refusal]int{host.Taken: 1}}

// want is a plan in brief. Of a step nothing else is looked at.
type want struct {
	step  Step
	on    string // the host that the step is about
	tells string // the event's reason

	phase   teapotv1.MachineClaimPhase
	ready   metav1.ConditionStatus
	reason  string
	says    string // in Ready's message, wholly
	stalled bool
	after   time.Duration
}

func step(step Step, on, tells string) want { return want{step: step, on: on, tells: tells} }

func wait(phase teapotv1.MachineClaimPhase, reason string, after time.Duration) want {
	return want{step: Wait, phase: phase, ready: metav1.ConditionFalse, reason: reason, after: after}
}

func (w want) saying(message string) want { w.says = message; return w }
func (w want) isStalled() want            { w.stalled = true; return w }

func TestNext(t *testing.T) {
	with := func(claim []claimChange, host ...hostChange) life { return life{claim: claim, host: host} }
	c := func(changes ...claimChange) []claimChange { return changes }
	ready := want{step: Wait, phase: teapotv1.ClaimProvisioned, ready: metav1.ConditionTrue, reason: teapotv1.ReasonReady}
	lost := want{step: Wait, phase: teapotv1.ClaimFailed, ready: metav1.ConditionFalse, reason: teapotv1.ReasonHostLost, stalled: true}

	for _, test := range []struct {
		name string
		life life
		want want
	}{
		// To a host.
		{"a new claim looks for a host", life{}, step(Choose, "", "")},
		{"not before its data are there", life{missing: "Secret x does not exist"},
			wait(teapotv1.ClaimPending, teapotv1.ReasonWaitingForSecret, secretPoll).saying("Secret x does not exist")},
		{"where there is none it says why, and looks again", life{choice: noHost},
			wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, Resync).saying("1 host: 1 taken")},
		{"sooner if one was about to be taken", life{choice: &Choice{Total: 1, Refused: map[host.Refusal]int{Reserved: 1}}},
			wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, ReservationTime)},
		{"and is stalled after a while", life{claim: c(waitingFor(teapotv1.ReasonNoHost, TroublePatience)), choice: noHost},
			wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, Resync).isStalled()},
		{"its choice is noted before the host is touched", life{choice: chosen("m")}, step(Intend, "m", "")},
		{"with the finalizer", life{claim: c(signed, func(c *teapotv1.MachineClaim) { c.Finalizers = nil }), choice: chosen("m")}, step(Intend, "m", "")},
		{"a choice that was noted is taken", life{claim: c(signed), host: []hostChange{}, choice: chosen("m")}, step(Take, "m", teapotv1.ReasonBinding)},
		{"one that somebody else took meanwhile is chosen anew", with(c(signed), heldBy("other")), step(Choose, "", "")},
		{"one that is gone is chosen anew", life{claim: c(signed)}, step(Choose, "", "")},
		{"not if it ran the image: after a move it may come later", life{claim: c(noted)}, lost},
		{"nor if it is somebody else's here", with(c(noted), heldBy("other")), lost},
		{"another choice is noted in its place", life{claim: c(signed), choice: chosen("n")}, step(Intend, "n", "")},
		{"a host that it holds and does not name is named again", with(nil, ours), step(Intend, "m", "")},
		{"after a move its new UID is written", with(c(signed), ours, func(o *host.Object) { o.Spec.ConsumerRef.UID = "before the move" }), step(Adopt, "m", "")},

		// To a host, with siblings that it is to be kept apart from.
		{"it is admitted before it takes its choice", life{claim: c(apart, signed), host: []hostChange{}, choice: chosen("m")}, step(Admit, "m", "")},
		{"which is noted before", life{claim: c(apart), choice: chosen("m")}, step(Intend, "m", "")},
		{"once admitted it takes it, whatever else there is", life{claim: c(apart, admitted), host: []hostChange{revised("7")}, choice: chosen("n"), missing: "Secret x does not exist"}, step(Take, "m", teapotv1.ReasonBinding)},
		{"if it changed since, it is chosen anew", with(c(apart, admitted), revised("8")), step(Choose, "", "")},
		{"also if it was made anew", with(c(apart, admitted), revised("7"), func(o *host.Object) { o.UID = "another" }), step(Choose, "", "")},
		{"one that it held is provisioned", with(c(apart, admitted), revised("8"), ours), step(Provision, "m", "")},
		{"if none is left it withdraws", life{claim: c(apart, signed), choice: noHost}, step(Withdraw, "m", "")},
		{"also without its data", life{claim: c(apart, signed), missing: "Secret x does not exist"}, step(Withdraw, "m", "")},
		{"and waits then", life{claim: c(apart), choice: noHost}, wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, Resync)},
		{"for siblings that are about to take one", life{claim: c(apart), choice: &Choice{Total: 1, Refused: map[host.Refusal]int{FullDomain: 1}, Unsettled: true}},
			wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, ReservationTime)},
		{"not for those that hold theirs", life{claim: c(apart), choice: &Choice{Total: 1, Refused: map[host.Refusal]int{FullDomain: 1}}},
			wait(teapotv1.ClaimPending, teapotv1.ReasonNoHost, Resync)},
		{"deleted, it takes what it was admitted to, to give it back", with(c(apart, admitted, deleted(0)), revised("7")), step(Take, "m", "")},
		{"which it cannot take any more if it changed", with(c(apart, admitted, deleted(0)), revised("8")), step(LetGo, "", "")},
		{"nor if it is gone", life{claim: c(apart, admitted, deleted(0))}, step(LetGo, "", "")},

		// To a machine.
		{"a host that is held is provisioned", with(c(signed), ours), step(Provision, "m", "")},
		{"not before its data are there", life{claim: c(bound(0)), host: []hostChange{ours}, missing: "Secret x does not exist"},
			wait(teapotv1.ClaimBound, teapotv1.ReasonWaitingForSecret, secretPoll)},
		{"not while it is busy", with(c(bound(0)), ours, inState(metal3v1.StatePreparing)),
			wait(teapotv1.ClaimBound, teapotv1.ReasonProvisioning, time.Hour).saying("host machines/m is preparing")},
		{"one whose image is asked for is waited for", with(c(bound(time.Minute)), asked), wait(teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning, 59*time.Minute)},
		{"an image without power is asked for again", with(c(bound(0)), asked, func(o *host.Object) { o.Spec.Online = false }), step(Provision, "m", "")},
		{"one that is written is waited for", with(c(bound(0)), asked, inState(metal3v1.StateProvisioning)),
			wait(teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning, time.Hour).saying("host machines/m is provisioning")},
		{"without a status the time begins anew", with(c(signed), asked), wait(teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning, time.Hour)},
		{"with another host, too", with(c(bound(2*time.Hour), func(c *teapotv1.MachineClaim) { c.Status.Host.Name = "n" }), asked),
			wait(teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning, time.Hour)},
		{"that one runs the image is noted", with(c(bound(time.Minute)), runs), step(Note, "m", "")},
		{"and it is ready then", with(c(bound(time.Minute), noted), runs), ready.saying("host machines/m runs " + imageURL)},
		{"also without a status", with(c(noted), runs), ready},
		{"power that is not wanted is switched off", with(c(ran, off), runs), step(SetPower, "m", "")},
		{"until it is off that is waited for", with(c(ran, off), runs, func(o *host.Object) { o.Spec.Online = false }),
			wait(teapotv1.ClaimProvisioned, teapotv1.ReasonProgressing, 0)},
		{"and is then as it should be", with(c(ran, off), runs, powerless, func(o *host.Object) { o.Spec.Online = false }),
			ready.saying("host machines/m runs " + imageURL + " and is off, as asked for")},
		{"power that somebody switched off by hand is switched on", with(c(ran), runs, func(o *host.Object) { o.Spec.Online = false }), step(SetPower, "m", "")},
		{"switched on again it takes its time", with(c(wasOff), runs, powerless),
			wait(teapotv1.ClaimProvisioned, teapotv1.ReasonProgressing, TroublePatience).saying("host machines/m is being switched on")},
		{"for a while", with(c(comesOnFor(time.Minute)), runs, powerless), wait(teapotv1.ClaimProvisioned, teapotv1.ReasonProgressing, 9*time.Minute)},
		{"then a person is told", with(c(comesOnFor(TroublePatience)), runs, powerless), wait(teapotv1.ClaimProvisioned, teapotv1.ReasonPoweredOff, 0).isStalled()},
		{"which is asked for first", with(c(wasOff), runs, powerless, func(o *host.Object) { o.Spec.Online = false }), step(SetPower, "m", "")},
		{"a host that must keep its power keeps it", with(c(ran, off), runs, func(o *host.Object) { o.Spec.DisablePowerOff = true }), ready.saying("host machines/m runs " + imageURL + " and stays on, though it should be off: its disablePowerOff is true")},
		{"a machine that is to be off is provisioned with its power on", with(c(signed, off), ours), step(Provision, "m", "")},

		// Troubles on the way to a machine: each ends, with another host or with the claim.
		{"an image that cannot be written: another host", with(c(bound(0)), asked, inState(metal3v1.StateProvisioning), failing(metal3v1.ProvisioningError, "no such image")),
			step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"also if only its removal was seen", with(c(bound(0)), asked, inState(metal3v1.StateDeprovisioning)), step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"a host that takes too long: another host", with(c(bound(time.Hour)), asked, inState(metal3v1.StateProvisioning)), step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"a host whose controller does not answer is waited for", with(c(bound(5*time.Minute)), ours, failing(metal3v1.RegistrationError, "no answer")),
			want{step: Wait, phase: teapotv1.ClaimBound, ready: metav1.ConditionFalse, reason: teapotv1.ReasonHostFailed,
				says: "host machines/m: registration error: no answer", after: 10 * time.Minute}},
		{"for its time", with(c(bound(time.Hour)), ours, failing(metal3v1.RegistrationError, "no answer")), step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"a host that is paused is waited for", with(c(bound(0)), asked, paused),
			want{step: Wait, phase: teapotv1.ClaimProvisioning, ready: metav1.ConditionFalse, reason: teapotv1.ReasonHostPaused,
				says: "host machines/m makes no progress: it is paused (annotation baremetalhost.metal3.io/paused)", after: 10 * time.Minute}},
		{"for its time", with(c(bound(time.Hour)), asked, paused), step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"a host that is unmanaged is waited for", with(c(bound(0)), ours, inState(metal3v1.StateUnmanaged)), wait(teapotv1.ClaimBound, teapotv1.ReasonHostPaused, 10*time.Minute)},
		{"a host that is being deleted: another host", with(c(bound(0)), asked, leaving), step(GiveUp, "m", teapotv1.ReasonProvisioningFailed)},
		{"a host that was deleted: another host", life{claim: c(bound(0))}, step(Choose, "", "")},
		{"a host that somebody else took: another host", with(c(bound(0)), heldBy("other")), step(Choose, "", "")},
		{"a host that failed is given back", with(c(bound(0), failedOn("machines/m")), asked, inState(metal3v1.StateProvisioning)), step(Deprovision, "m", "")},
		{"and waited for until it is clean", with(c(bound(0), failedOn("machines/m")), ours, inState(metal3v1.StateDeprovisioning)),
			wait(teapotv1.ClaimReleasing, teapotv1.ReasonReleasing, ReleasePatience)},
		{"then freed", with(c(bound(0), failedOn("machines/m")), ours), step(Free, "m", teapotv1.ReasonReleasing)},
		{"then another is looked for", with(c(bound(0), failedOn("machines/m")), nothing), step(Choose, "", "")},
		{"if it cannot be cleaned, a person is told at once", with(c(bound(0), failedOn("machines/m"), since(teapotv1.ClaimReleasing, time.Minute)), ours, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")),
			wait(teapotv1.ClaimReleasing, teapotv1.ReasonCleaningFailed, ReleasePatience-time.Minute).isStalled()},
		{"and the claim fails after a while", with(c(bound(0), failedOn("machines/m"), since(teapotv1.ClaimReleasing, ReleasePatience)), ours, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")),
			wait(teapotv1.ClaimFailed, teapotv1.ReasonCleaningFailed, 0).isStalled()},
		{"and stays so", with(c(bound(0), failedOn("machines/m"), since(teapotv1.ClaimFailed, time.Second)), ours, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")),
			wait(teapotv1.ClaimFailed, teapotv1.ReasonCleaningFailed, 0).isStalled()},
		{"three hosts are tried", life{claim: c(failedOn("machines/a,machines/b"))}, step(Choose, "", "")},
		{"and no more", life{claim: c(failedOn("machines/a,machines/b,machines/c"))},
			wait(teapotv1.ClaimFailed, teapotv1.ReasonProvisioningFailed, 0).isStalled()},
		{"the third is given back as well", with(c(bound(0), failedOn("machines/a,machines/b,machines/m")), asked), step(Deprovision, "m", "")},

		// Troubles of a machine that runs: another host would be another machine.
		{"a machine without power is not ready", with(c(ran), runs, powerless), wait(teapotv1.ClaimProvisioned, teapotv1.ReasonPoweredOff, TroublePatience)},
		{"and is stalled after a while", with(c(notReadyFor(TroublePatience)), runs, powerless), wait(teapotv1.ClaimProvisioned, teapotv1.ReasonPoweredOff, 0).isStalled()},
		{"a host with an error is not ready", with(c(ran), runs, failing(metal3v1.PowerManagementError, "no answer")),
			wait(teapotv1.ClaimProvisioned, teapotv1.ReasonHostFailed, TroublePatience).saying("host machines/m: power management error: no answer")},
		{"how a paused host is is not known", with(c(ran), runs, paused),
			want{step: Wait, phase: teapotv1.ClaimProvisioned, ready: metav1.ConditionUnknown, reason: teapotv1.ReasonHostPaused, after: TroublePatience}},
		{"nor how a detached one is", with(c(ran), runs, func(o *host.Object) { o.Status.OperationalStatus = metal3v1.OperationalStatusDetached }),
			want{step: Wait, phase: teapotv1.ClaimProvisioned, ready: metav1.ConditionUnknown, reason: teapotv1.ReasonHostPaused, after: TroublePatience}},
		{"a host that is being deleted is lost", with(c(ran), runs, leaving),
			lost.saying("host machines/m is being deleted; delete the claim, or the machine that made it")},
		{"a host that was deleted is lost", life{claim: c(ran)}, lost.saying("host machines/m is not there; delete the claim, or the machine that made it")},
		{"and stays so", life{claim: c(ran, func(c *teapotv1.MachineClaim) {
			condition(c, teapotv1.ProvisionedCondition, metav1.ConditionFalse, teapotv1.ReasonHostLost, time.Hour)
			c.Status.Phase = teapotv1.ClaimFailed
		})}, lost},
		{"a host that somebody else took is lost", with(c(ran), runs, heldBy("other")),
			lost.saying("host machines/m was taken by MachineClaim acme/other; delete the claim, or the machine that made it")},
		{"a host that somebody freed is lost", with(c(ran), runs, nothing), lost},
		{"a host whose image somebody changed is lost", with(c(ran), runs, func(o *host.Object) { o.Spec.Image.URL = "http://other" }), lost},
		{"a host that somebody deprovisioned is lost", with(c(ran), ours, inState(metal3v1.StateDeprovisioning)), lost},

		// Back.
		{"a claim without a host just goes", life{claim: c(deleted(0))}, step(LetGo, "", "")},
		{"also with a host in mind", with(c(signed, deleted(0)), []hostChange{}...), step(LetGo, "", "")},
		{"also if its host was deleted", life{claim: c(ran, deleted(0))}, step(LetGo, "", "")},
		{"also if somebody else has its host, and tells of it", with(c(ran, deleted(0)), runs, heldBy("other")), step(LetGo, "", teapotv1.ReasonHostLost)},
		{"a host is deprovisioned first", with(c(ran, deleted(0)), runs), step(Deprovision, "m", "")},
		{"whatever it is doing", with(c(bound(0), deleted(0)), asked, inState(metal3v1.StateProvisioning)), step(Deprovision, "m", "")},
		{"even if it was never provisioned and is on", with(c(bound(0), deleted(0)), ours, func(o *host.Object) { o.Spec.Online = true }), step(Deprovision, "m", "")},
		{"one that was not touched is freed at once", with(c(bound(0), deleted(0)), ours), step(Free, "m", teapotv1.ReasonReleasing)},
		{"cleaning is waited for", with(c(ran, deleted(time.Minute)), ours, inState(metal3v1.StateDeprovisioning)),
			wait(teapotv1.ClaimReleasing, teapotv1.ReasonReleasing, ReleasePatience-time.Minute).saying("host machines/m is being given back: it is deprovisioning")},
		{"so is power", with(c(ran, deleted(time.Minute)), ours, func(o *host.Object) { o.Status.PoweredOn = true }),
			wait(teapotv1.ClaimReleasing, teapotv1.ReasonReleasing, ReleasePatience-time.Minute).saying("host machines/m is being given back: its power is on")},
		{"a host that cannot be cleaned is a person's to look at", with(c(ran, deleted(time.Minute)), ours, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")),
			wait(teapotv1.ClaimReleasing, teapotv1.ReasonCleaningFailed, ReleasePatience-time.Minute).isStalled().
				saying("host machines/m could not be cleaned: provisioning error: erasing failed")},
		{"after a while the claim goes without it", with(c(ran, deleted(ReleasePatience)), ours, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")),
			step(LetGo, "m", teapotv1.ReasonCleaningFailed)},
		{"a host that is paused is waited for", with(c(ran, deleted(0)), ours, inState(metal3v1.StateProvisioned), paused),
			want{step: Wait, phase: teapotv1.ClaimReleasing, ready: metav1.ConditionFalse, reason: teapotv1.ReasonHostPaused, after: TroublePatience}},
		{"after a while the claim goes without it", with(c(ran, deleted(ReleasePatience)), ours, inState(metal3v1.StateProvisioned), paused), step(LetGo, "m", teapotv1.ReasonHostPaused)},
		{"one that is merely slow is left to the sweep, too", with(c(ran, deleted(ReleasePatience)), ours, inState(metal3v1.StateDeprovisioning)), step(LetGo, "m", teapotv1.ReasonReleasing)},
		{"its image is removed even so", with(c(ran, deleted(ReleasePatience)), runs, paused), step(Deprovision, "m", "")},
		{"a claim that gave up is deleted as any other", with(c(bound(0), failedOn("machines/m"), deleted(0)), asked), step(Deprovision, "m", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := Next(test.life.observed())
			if plan.Step != test.want.step {
				t.Fatalf("next is to %s, want %s; ready is %+v", plan.Step, test.want.step, meta.FindStatusCondition(plan.Status.Conditions, teapotv1.ReadyCondition))
			}
			told := ""
			if plan.Event != nil {
				told = plan.Event.Reason
			}
			if plan.Host.Name != test.want.on || told != test.want.tells {
				t.Errorf("it is about %q and tells of %q, want %q and %q", plan.Host.Name, told, test.want.on, test.want.tells)
			}
			if plan.Step == Wait {
				test.want.check(t, plan)
			}
		})
	}
}

func nothing(o *host.Object) { o.Spec.ConsumerRef = nil }

func (w want) check(t *testing.T, plan Plan) {
	t.Helper()
	ready := meta.FindStatusCondition(plan.Status.Conditions, teapotv1.ReadyCondition)
	if ready.Status != w.ready || ready.Reason != w.reason || w.says != "" && ready.Message != w.says {
		t.Errorf("Ready is %s, %s: %s; want %s, %s: %s", ready.Status, ready.Reason, ready.Message, w.ready, w.reason, w.says)
	}
	if plan.Status.Phase != w.phase || plan.After != w.after {
		t.Errorf("the phase is %s and it is looked at after %s; want %s and %s", plan.Status.Phase, plan.After, w.phase, w.after)
	}
	stalled := meta.FindStatusCondition(plan.Status.Conditions, teapotv1.StalledCondition)
	if got := stalled.Status == metav1.ConditionTrue; got != w.stalled {
		t.Errorf("Stalled is %v, want %v", got, w.stalled)
	}
	for _, kind := range []string{teapotv1.HostBoundCondition, teapotv1.ProvisionedCondition} {
		if meta.FindStatusCondition(plan.Status.Conditions, kind) == nil {
			t.Errorf("nothing is said of %s", kind)
		}
	}
}

// TestSteadyStateSaysNothingNew shows that a plan made from its own outcome is the same, however
// late: the API server is not written to.
func TestSteadyStateSaysNothingNew(t *testing.T) {
	for name, l := range map[string]life{
		"ready":        {claim: []claimChange{signed}, host: []hostChange{runs}},
		"no host":      {choice: noHost},
		"provisioning": {claim: []claimChange{signed}, host: []hostChange{asked, inState(metal3v1.StateProvisioning)}},
		"given up":     {claim: []claimChange{failedOn("machines/a,machines/b,machines/c")}},
		"lost":         {claim: []claimChange{ran}},
		"releasing":    {claim: []claimChange{ran, deleted(0)}, host: []hostChange{ours, inState(metal3v1.StateDeprovisioning)}},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.observed()
			first := Next(o)
			o.Claim.Status = first.Status
			o.Now = o.Now.Add(5 * time.Minute)
			second := Next(o)
			if !equal(first.Status, second.Status) {
				t.Errorf("first %+v\nthen  %+v", first.Status, second.Status)
			}
		})
	}
}

func equal(a, b teapotv1.MachineClaimStatus) bool { return apiequality.Semantic.DeepEqual(a, b) }
