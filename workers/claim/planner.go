package claim

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// planner collects a plan.
type planner struct {
	Observed
	host   host.Host // of Observed.Host, if there is one
	held   bool
	failed sets.Set[string]
	// wasProvisioned says that the claim's host ran the image before.
	wasProvisioned bool

	plan    Plan
	stalled bool
}

func newPlanner(o Observed) *planner {
	p := &planner{Observed: o, failed: sets.New(failedHosts(o.Claim)...)}
	p.plan = Plan{Step: Wait, Status: *o.Claim.Status.DeepCopy()}
	if o.Host != nil {
		p.host = host.Of(o.Host)
		p.held = p.host.HeldBy(host.HolderOf(o.Claim))
	}
	provisioned := meta.FindStatusCondition(o.Claim.Status.Conditions, teapotv1.ProvisionedCondition)
	p.wasProvisioned = ranOn(o.Claim) || provisioned != nil &&
		(provisioned.Status == metav1.ConditionTrue || provisioned.Reason == teapotv1.ReasonHostLost)
	p.observe()
	return p
}

// observe writes what is seen of the host.
func (p *planner) observe() {
	status := &p.plan.Status
	status.Host, status.HostState, status.Hardware = nil, "", nil
	status.FailureDomain, status.Addresses, status.PoweredOn = "", nil, false
	if !p.held {
		return
	}
	status.Host = &teapotv1.HostReference{Namespace: p.host.Key.Namespace, Name: p.host.Key.Name}
	status.HostState = p.host.State
	status.Hardware = p.host.Hardware()
	status.FailureDomain = p.host.FailureDomain
	status.Addresses = host.Addresses(p.Host)
	status.PoweredOn = p.host.PoweredOn
}

// signed says that the claim names the host and will not go without it.
func (p *planner) signed(about types.NamespacedName) bool {
	return p.Claim.Annotations[teapotv1.HostAnnotation] == about.String() &&
		slices.Contains(p.Claim.Finalizers, teapotv1.MachineClaimFinalizer)
}

func (p *planner) step(step Step, about types.NamespacedName) {
	p.plan.Step, p.plan.Host = step, about
}

func (p *planner) tell(warning bool, reason, format string, args ...any) {
	p.plan.Event = &Event{Warning: warning, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (p *planner) lookAfter(d time.Duration) {
	if p.plan.After == 0 || d < p.plan.After {
		p.plan.After = d
	}
}

func (p *planner) phase(phase teapotv1.MachineClaimPhase) {
	if p.plan.Status.Phase != phase {
		p.plan.Status.Phase, p.plan.Status.PhaseSince = phase, &metav1.Time{Time: p.Now}
	}
}

// pending says what a claim without a host waits for.
func (p *planner) pending(reason, message string) {
	p.phase(teapotv1.ClaimPending)
	p.setFalse(teapotv1.HostBoundCondition, reason, "%s", message)
	p.notProvisioned(reason, message)
	p.notReady(reason, message)
}

// bound says that a host is held. With another host than before the time begins anew.
func (p *planner) bound() {
	before := p.Claim.Status.Host
	if before == nil || before.Namespace != p.host.Key.Namespace || before.Name != p.host.Key.Name {
		meta.RemoveStatusCondition(&p.plan.Status.Conditions, teapotv1.HostBoundCondition)
	}
	p.setTrue(teapotv1.HostBoundCondition, teapotv1.ReasonReady, "holds host %s", p.host.Key)
}

// boundSince is since when this host is held, as far as the status knows.
func (p *planner) boundSince() time.Time {
	return meta.FindStatusCondition(p.plan.Status.Conditions, teapotv1.HostBoundCondition).LastTransitionTime.Time
}

// releasingSince is since when a host is being given back by a claim that goes on.
func (p *planner) releasingSince() time.Time {
	status := p.Claim.Status
	switch {
	case status.PhaseSince == nil:
		return p.Now
	case status.Phase == teapotv1.ClaimReleasing:
		return status.PhaseSince.Time
	case status.Phase == teapotv1.ClaimFailed:
		return status.PhaseSince.Add(-ReleasePatience) // that is why it failed
	default:
		return p.Now
	}
}

func (p *planner) provisioningTimeout() time.Duration {
	timeout, err := time.ParseDuration(p.Claim.Spec.ProvisioningTimeout)
	if err != nil {
		return defaultProvisioningTimeout
	}
	return timeout
}

func (p *planner) set(kind string, status metav1.ConditionStatus, reason, format string, args ...any) {
	meta.SetStatusCondition(&p.plan.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...),
		ObservedGeneration: p.Claim.Generation, LastTransitionTime: metav1.NewTime(p.Now),
	})
}

func (p *planner) setTrue(kind, reason, format string, args ...any) {
	p.set(kind, metav1.ConditionTrue, reason, format, args...)
}

func (p *planner) setFalse(kind, reason, format string, args ...any) {
	p.set(kind, metav1.ConditionFalse, reason, format, args...)
}

func (p *planner) unknown(kind, reason, format string, args ...any) {
	p.set(kind, metav1.ConditionUnknown, reason, format, args...)
}

func (p *planner) notReady(reason, message string) {
	p.setFalse(teapotv1.ReadyCondition, reason, "%s", message)
}

func (p *planner) notProvisioned(reason, message string) {
	p.setFalse(teapotv1.ProvisionedCondition, reason, "%s", message)
}

// stall says that waiting does not help.
func (p *planner) stall() { p.stalled = true }

// mayEnd are the reasons of troubles that may end by themselves, and are a person's to look at if
// they do not.
var mayEnd = sets.New(
	teapotv1.ReasonNoHost, teapotv1.ReasonWaitingForSecret, teapotv1.ReasonHostPaused,
	teapotv1.ReasonHostFailed, teapotv1.ReasonPoweredOff,
)

// finish writes Stalled, and what was looked at.
func (p *planner) finish() Plan {
	status := &p.plan.Status
	status.ObservedGeneration = p.Claim.Generation
	if p.plan.Step != Wait {
		return p.plan
	}
	ready := meta.FindStatusCondition(status.Conditions, teapotv1.ReadyCondition)
	if !p.stalled && mayEnd.Has(ready.Reason) {
		since := ready.LastTransitionTime.Time
		if status.PhaseSince != nil && status.PhaseSince.After(since) {
			since = status.PhaseSince.Time
		}
		if due := since.Add(TroublePatience); p.Now.Before(due) {
			p.lookAfter(due.Sub(p.Now))
		} else {
			p.stalled = true
		}
	}
	if p.stalled {
		p.setTrue(teapotv1.StalledCondition, ready.Reason, "%s", ready.Message)
	} else {
		p.setFalse(teapotv1.StalledCondition, teapotv1.ReasonProgressing, "")
	}
	return p.plan
}
