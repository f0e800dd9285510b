package claim

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

const (
	// MaxAttempts is how many hosts a claim tries. An image that cannot be written spoils a claim
	// and not a room of hosts.
	MaxAttempts = 3

	// ReleasePatience is how long a host may take from being given back to being clean. Cleaning
	// by metadata takes minutes, most of them the machine's own start.
	//
	// After it a claim that is being deleted goes, so that a host that is paused, detached or
	// cannot be cleaned does not hold up the deletion of a cluster. The host stays fenced:
	// consumerRef goes on naming the claim that is gone, so no other claim takes it, its image
	// stays removed, so it is cleaned as soon as the operator can, and the sweep of
	// controllers/orphans frees it once it is clean. A claim that is not being deleted is Failed.
	ReleasePatience = 30 * time.Minute

	// TroublePatience is how long a trouble that may end by itself is waited for before the claim
	// is Stalled: a person should look.
	TroublePatience = 10 * time.Minute

	// secretPoll is how often a Secret that does not exist is looked for: Teapot does not watch
	// the Secrets of tenants.
	secretPoll = 10 * time.Second

	// Resync is how often a claim that waits for a host looks at all of them again. A host that
	// becomes free wakes claims before that.
	Resync = 5 * time.Minute

	// ReservationTime is how long a host that a claim has chosen is kept from others of the same
	// manager, so that claims that come at once do not all want the cheapest one. It is a
	// courtesy: the lock is the host's consumerRef.
	ReservationTime = 30 * time.Second

	// defaultProvisioningTimeout is the schema's default of spec.provisioningTimeout.
	defaultProvisioningTimeout = time.Hour
)

// Step is what is done next. Each is one change, or one look at more than is known.
type Step string

// Steps.
const (
	// Wait: nothing is to be done now. The plan's status says what is waited for.
	Wait Step = "wait"
	// Choose: all hosts are to be looked at (Observed.Choice).
	Choose Step = "choose"
	// Intend: the host is written into the claim's annotation, and the finalizer with it.
	Intend Step = "intend"
	// Withdraw: the host is removed from the claim's annotation.
	Withdraw Step = "withdraw"
	// Admit: the claim is admitted to the host that it named, if its spread has room for it.
	Admit Step = "admit"
	// Take: consumerRef of the host is set.
	Take Step = "take"
	// Note: that the host runs the image is written into the claim's annotation.
	Note Step = "note"
	// Adopt: the claim's UID in consumerRef is brought up to date.
	Adopt Step = "adopt"
	// Provision: Secrets are put beside the host, and the image is asked for.
	Provision Step = "provision"
	// SetPower: the host is switched on or off.
	SetPower Step = "set power"
	// GiveUp: the host is written into the annotation of those that failed, which makes the claim
	// give it back.
	GiveUp Step = "give up"
	// Deprovision: the image is taken away, and the host deprovisioned and cleaned.
	Deprovision Step = "deprovision"
	// Free: the Secrets are removed, and then consumerRef.
	Free Step = "free"
	// LetGo: the claim's finalizer is removed.
	LetGo Step = "let go"
)

// Observed is what a decision stands on.
type Observed struct {
	Claim *teapotv1.MachineClaim
	// Host is the host that the claim holds, or else the one that its annotation names; nil if
	// there is neither.
	Host *host.Object
	// Choice is what came of looking at all hosts, if that was done.
	Choice *Choice
	// MissingSecret says which Secret or key that the claim names is not there; empty: none is.
	MissingSecret string
	Now           time.Time
}

// Event is told to whoever describes the claim.
type Event struct {
	Warning         bool
	Reason, Message string
}

// Plan is a decision.
type Plan struct {
	Step Step
	// Host is the host that the step is about.
	Host types.NamespacedName
	// Event is told once the step is done.
	Event *Event
	// Status is what the claim's status is, if this is where it ends.
	Status teapotv1.MachineClaimStatus
	// After is when to look again; 0: when something changes.
	After time.Duration
}

// Next is the one next step of a claim's life.
func Next(o Observed) Plan {
	p := newPlanner(o)
	deleting := !o.Claim.DeletionTimestamp.IsZero()
	switch {
	case p.held && deleting:
		p.release(o.Claim.DeletionTimestamp.Time)
	case deleting && p.admitted():
		p.step(Take, p.host.Key) // somebody may be about to; then it is given back
	case deleting:
		p.goneFrom()
	case p.held && !p.signed(p.host.Key):
		p.step(Intend, p.host.Key)
	case p.held && p.failed.Has(p.host.Key.String()):
		p.release(p.releasingSince())
	case p.held:
		p.keep()
	case p.wasProvisioned:
		p.lost(p.whyNotHeld())
	case p.failed.Len() >= MaxAttempts:
		p.exhausted()
	default:
		p.find()
	}
	return p.finish()
}

// find gets a claim without a host to one.
func (p *planner) find() {
	name, named := HostOf(p.Claim)
	limited := Limited(p.Claim)
	switch {
	case p.admitted():
		p.take(name)
	case limited && named && (p.MissingSecret != "" || p.Choice != nil && p.Choice.Host == nil):
		p.step(Withdraw, name) // its siblings count it
	case p.MissingSecret != "":
		p.pending(teapotv1.ReasonWaitingForSecret, p.MissingSecret)
		p.lookAfter(secretPoll)
	case p.Choice == nil:
		p.step(Choose, types.NamespacedName{})
	case p.Choice.Host == nil:
		p.pending(teapotv1.ReasonNoHost, p.Choice.String())
		p.lookAfter(Resync)
		if p.Choice.Refused[Reserved] > 0 || p.Choice.Refused[FullDomain] > 0 && p.Choice.Unsettled {
			p.lookAfter(ReservationTime)
		}
	case !p.signed(p.Choice.Host.Key):
		p.step(Intend, p.Choice.Host.Key)
	case limited:
		p.step(Admit, p.Choice.Host.Key)
	default:
		p.take(p.Choice.Host.Key)
	}
}

// admitted says whether the claim was admitted to the host that it names and does not hold yet.
func (p *planner) admitted() bool {
	return p.Host != nil && p.signed(p.host.Key) && Admitted(p.Claim, &p.host)
}

func (p *planner) take(name types.NamespacedName) {
	p.step(Take, name)
	p.tell(false, teapotv1.ReasonBinding, "took host %s", name)
}

// keep gets a host that the claim holds to run the image, and looks after it then.
func (p *planner) keep() {
	h := p.host
	p.bound()
	switch {
	case h.Holder.UID != p.Claim.UID:
		p.step(Adopt, h.Key)
	case h.Deleting && p.wasProvisioned:
		p.lost(fmt.Sprintf("host %s is being deleted", h.Key))
	case h.Deleting:
		p.giveUp("it is being deleted")
	case h.Provisioned(p.Claim.Spec.Image.URL) && !ranOn(p.Claim):
		p.step(Note, h.Key)
	case h.Provisioned(p.Claim.Spec.Image.URL):
		p.provisioned()
	case p.wasProvisioned:
		p.lost(fmt.Sprintf("host %s was taken out of service by somebody else: it is %s, and its image is %q", h.Key, h.State, h.Asked))
	default:
		p.provision()
	}
}

// provision gets the image onto the host, within a time.
func (p *planner) provision() {
	h := p.host
	asked := h.Asked == p.Claim.Spec.Image.URL && h.Online // no image is written without power
	due := p.boundSince().Add(p.provisioningTimeout())
	stuck := h.Stuck()
	switch {
	case h.ProvisioningFailed():
		p.giveUp(h.Error)
		return
	case asked && h.Deprovisioning():
		// The operator's answer to a failure that was over before anybody saw it.
		p.giveUp("its image could not be written")
		return
	case !p.Now.Before(due):
		p.giveUp(fmt.Sprintf("it did not run the image within %s", p.provisioningTimeout()))
		return
	case asked:
		p.phase(teapotv1.ClaimProvisioning)
	case p.MissingSecret != "":
		p.phase(teapotv1.ClaimBound)
	case h.Available() && stuck == "" && h.Error == "":
		p.step(Provision, h.Key)
		return
	default:
		p.phase(teapotv1.ClaimBound)
	}

	reason, message := teapotv1.ReasonProvisioning, fmt.Sprintf("host %s is %s", h.Key, h.State)
	switch {
	case stuck != "":
		reason, message = teapotv1.ReasonHostPaused, fmt.Sprintf("host %s makes no progress: it is %s", h.Key, stuck)
	case h.Error != "":
		reason, message = teapotv1.ReasonHostFailed, fmt.Sprintf("host %s: %s: %s", h.Key, h.ErrorKind, h.Error)
	case p.MissingSecret != "" && !asked:
		reason, message = teapotv1.ReasonWaitingForSecret, p.MissingSecret
		p.lookAfter(secretPoll)
	}
	p.notProvisioned(reason, message)
	p.notReady(reason, message)
	p.lookAfter(due.Sub(p.Now))
}

// provisioned looks after a machine that runs.
func (p *planner) provisioned() {
	h := p.host
	wantsPower := p.Claim.Spec.PoweredOn == nil || *p.Claim.Spec.PoweredOn
	p.phase(teapotv1.ClaimProvisioned)
	p.setTrue(teapotv1.ProvisionedCondition, teapotv1.ReasonProvisioned, "host %s runs %s", h.Key, h.Written)
	stuck := h.Stuck()
	switch {
	case h.Online != wantsPower && !(h.KeepsPower && !wantsPower):
		p.step(SetPower, h.Key)
	case stuck != "":
		p.unknown(teapotv1.ReadyCondition, teapotv1.ReasonHostPaused, "host %s is %s: how it is now is not known", h.Key, stuck)
	case h.Error != "" || h.ErrorKind != "":
		p.notReady(teapotv1.ReasonHostFailed, fmt.Sprintf("host %s: %s: %s", h.Key, h.ErrorKind, h.Error))
	case wantsPower && !h.PoweredOn && p.comesOn():
		p.notReady(teapotv1.ReasonProgressing, fmt.Sprintf("host %s is being switched on", h.Key))
	case wantsPower && !h.PoweredOn:
		p.notReady(teapotv1.ReasonPoweredOff, fmt.Sprintf("the power of host %s is off; the operator switches it on again", h.Key))
	case !wantsPower && h.PoweredOn && !h.KeepsPower:
		p.notReady(teapotv1.ReasonProgressing, fmt.Sprintf("host %s is being switched off", h.Key))
	case !wantsPower && h.PoweredOn:
		p.setTrue(teapotv1.ReadyCondition, teapotv1.ReasonReady, "host %s runs %s and stays on, though it should be off: its disablePowerOff is true", h.Key, h.Written)
	case !wantsPower:
		p.setTrue(teapotv1.ReadyCondition, teapotv1.ReasonReady, "host %s runs %s and is off, as asked for", h.Key, h.Written)
	default:
		p.setTrue(teapotv1.ReadyCondition, teapotv1.ReasonReady, "host %s runs %s", h.Key, h.Written)
	}
}

// comesOn says that the power is off since the claim asked for that, and was asked for again not long ago.
// A status that was lost makes it a loss of power, for as long as it takes to come on.
func (p *planner) comesOn() bool {
	was := meta.FindStatusCondition(p.Claim.Status.Conditions, teapotv1.ReadyCondition)
	if was == nil || p.Claim.Status.PoweredOn {
		return false
	}
	if was.Status == metav1.ConditionTrue {
		p.lookAfter(TroublePatience)
		return true // as asked for, until now
	}
	due := was.LastTransitionTime.Add(TroublePatience)
	if was.Reason != teapotv1.ReasonProgressing || !p.Now.Before(due) {
		return false
	}
	p.lookAfter(due.Sub(p.Now))
	return true
}

// giveUp ends the attempt with this host.
func (p *planner) giveUp(why string) {
	p.step(GiveUp, p.host.Key)
	p.tell(true, teapotv1.ReasonProvisioningFailed, "host %s is given back, attempt %d of %d: %s", p.host.Key, p.failed.Len()+1, MaxAttempts, why)
}

// lost is the end of a machine that ran: another host would be another machine.
func (p *planner) lost(why string) {
	p.phase(teapotv1.ClaimFailed)
	p.notProvisioned(teapotv1.ReasonHostLost, why)
	if !p.held {
		p.setFalse(teapotv1.HostBoundCondition, teapotv1.ReasonHostLost, "%s", why)
	}
	p.notReady(teapotv1.ReasonHostLost, why+"; delete the claim, or the machine that made it")
	p.stall()
}

func (p *planner) whyNotHeld() string {
	name := p.Claim.Annotations[teapotv1.HostAnnotation]
	switch {
	case p.Host == nil:
		return fmt.Sprintf("host %s is not there", name)
	case p.host.Holder == nil:
		return fmt.Sprintf("consumerRef of host %s was removed by somebody else", name)
	default:
		return fmt.Sprintf("host %s was taken by %s %s/%s", name, p.host.Holder.Kind, p.host.Holder.Namespace, p.host.Holder.Name)
	}
}

// exhausted is the end of a claim whose hosts all failed.
func (p *planner) exhausted() {
	message := fmt.Sprintf("%d hosts could not be provisioned (%s); see the claim's events, and delete the claim, or the machine that made it",
		p.failed.Len(), p.Claim.Annotations[teapotv1.FailedHostsAnnotation])
	p.phase(teapotv1.ClaimFailed)
	p.setFalse(teapotv1.HostBoundCondition, teapotv1.ReasonProvisioningFailed, "%s", message)
	p.notProvisioned(teapotv1.ReasonProvisioningFailed, message)
	p.notReady(teapotv1.ReasonProvisioningFailed, message)
	p.stall()
}
