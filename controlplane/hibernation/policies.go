package hibernation

import (
	"fmt"
	"time"
)

// verdict is what one policy says.
type verdict struct {
	state   State
	reason  string
	message string
	// askBusy says that the tenant's cluster must be asked before the policy can say Asleep.
	askBusy bool
}

// policy is one ground for sleeping or being awake. decided false: it has no opinion.
type policy func(v *view) (said verdict, decided bool)

// chain is policies from the highest; the first that has an opinion decides.
type chain []policy

func (c chain) decide(v *view) verdict {
	for _, policy := range c {
		if said, decided := policy(v); decided {
			return said
		}
	}
	return verdict{}
}

// wishes are what people asked for; awake always has an opinion.
var wishes = chain{
	wakeRequest,
	enabled,
	schedule,
	idle,
	awake,
}

// precedence is all policies.
var precedence = append(chain{
	deletion,
	kubeletCertificates,
	operation,
}, wishes...)

// deletion leaves the state as it is: deleting wakes nothing, and does not wait for anything to sleep.
func deletion(v *view) (verdict, bool) {
	if !v.Deleting {
		return verdict{}, false
	}
	state := Awake
	if v.asleep {
		state = Asleep
	}
	return verdict{state: state, reason: ReasonDeleting, message: "It is being deleted, and stays as it is until it is gone."}, true
}

const (
	// maxSleepWithMachines is how long a control plane with machines of its own sleeps at a stretch. A
	// kubelet renews its client certificate when between 70 and 90 % of its life are over (jitteryDuration
	// in client-go's util/certificate/certificate_manager.go), so at least a tenth is left when a sleep
	// begins: 36 days of the year for which controller-manager signs.
	maxSleepWithMachines = 30 * 24 * time.Hour
	// renewal is how long it is awake then. Machines that were switched off boot in minutes; a kubelet
	// that failed to renew tries again within 15 minutes (certificateWaitTimeout in the same file).
	renewal = time.Hour
)

// kubeletCertificates wakes a control plane whose machines were kept before their certificates run out.
// It stands above the operations, so that one of these does not cut the hour short.
func kubeletCertificates(v *view) (verdict, bool) {
	due := v.asleep && v.WorkersKept && v.Record.EverRan && !v.Now.Before(v.Record.Since.Add(maxSleepWithMachines))
	if !due && !v.renewing() {
		return verdict{}, false
	}
	return verdict{state: Awake, reason: ReasonKubeletCertificates, message: fmt.Sprintf(
		"It slept for %d days, and its machines renew their certificates now; it may sleep again at %s.",
		int(maxSleepWithMachines.Hours()/24), stamp(v.since(Awake).Add(renewal)))}, true
}

// operation keeps awake what is to sleep until the operation has been finished. It wakes nothing, and a
// control plane that has never run has nothing to finish.
func operation(v *view) (verdict, bool) {
	if v.Operation == "" || v.asleep || !v.Record.EverRan {
		return verdict{}, false
	}
	if wish := wishes.decide(v); wish.state == Awake && !wish.askBusy {
		return verdict{}, false
	}
	return verdict{state: Awake, reason: ReasonOperation, message: fmt.Sprintf("It stays awake until this is finished: %s.", v.Operation)}, true
}

// wakeRequest keeps a control plane awake, or wakes it, for the user who asked for it.
func wakeRequest(v *view) (verdict, bool) {
	if !v.wokenUntil.After(v.Now) {
		return verdict{}, false
	}
	message := fmt.Sprintf("A user asked for it at %s; it may sleep at %s, unless it is used until then.", stamp(v.wakeAt), stamp(v.wokenUntil))
	if v.inUse() && v.wakeExtends() {
		message = fmt.Sprintf("A user asked for it at %s, and it is used; it may sleep when nobody has used it for %s.", stamp(v.wakeAt), v.idleAfter)
	}
	return verdict{state: Awake, reason: ReasonWakeRequest, message: message + " `teapot hibernate` puts it to sleep at once."}, true
}

// enabled puts to sleep what is asked to.
func enabled(v *view) (verdict, bool) {
	if !v.enabled {
		return verdict{}, false
	}
	message := "spec.hibernation.enabled is true"
	if !v.RequestedAt.IsZero() {
		message = fmt.Sprintf("It was asked to sleep at %s (spec.hibernation.enabled is true)", stamp(v.RequestedAt))
	}
	return verdict{state: Asleep, reason: ReasonRequested, message: message + "; " + v.wokenBy() + "."}, true
}

// schedule puts to sleep what the last edge of the schedules says, unless a user has asked for
// something else since, or made the control plane since.
func schedule(v *view) (verdict, bool) {
	if v.lastEdge.to != Asleep || !v.lastEdge.at.After(v.requestedAt) || !v.lastEdge.at.After(v.Created) {
		return verdict{}, false
	}
	return verdict{state: Asleep, reason: ReasonSchedule, message: fmt.Sprintf(
		"A schedule put it to sleep at %s; %s.", stamp(v.lastEdge.at), v.wokenBy())}, true
}

// idle puts to sleep what nobody has used for a while, once its cluster was asked for work that waits;
// and what it has put to sleep stays so until somebody asks for it.
func idle(v *view) (verdict, bool) {
	if v.idleAfter == 0 {
		return verdict{}, false
	}
	asleep := verdict{state: Asleep, reason: ReasonIdle, message: fmt.Sprintf(
		"Nobody had used it for %s at %s; %s.", v.idleAfter, stamp(v.since(Asleep)), v.wokenBy())}
	if v.asleep {
		byItself := v.Record.Reason == ReasonIdle || v.Record.Reason == ""
		resumed := v.lastResume.After(v.Record.Since) || v.requestedAt.After(v.Record.Since)
		return asleep, byItself && !resumed
	}
	if !v.Record.EverRan || v.inUse() || v.Now.Before(v.idleAt) {
		return verdict{}, false
	}
	if v.Busy == nil || v.Busy.At.Before(v.idleAt) || v.Now.Sub(v.Busy.At) > busyFresh {
		return verdict{state: Awake, reason: ReasonInUse, askBusy: true,
			message: "Nobody uses it; it sleeps when its cluster has answered that no Job is unfinished and no pod waits for a machine."}, true
	}
	return asleep, true
}

// busyFresh is how long an answer of the tenant's cluster counts: long enough for a decision, and not
// for a new Job.
const busyFresh = time.Minute

// awake is what a control plane is if nothing else decides.
func awake(v *view) (verdict, bool) {
	said := verdict{state: Awake, reason: ReasonAwake, message: "Nothing has asked it to sleep."}
	switch since := v.since(Awake); {
	case v.idleAfter > 0 && (v.inUse() || v.lastUse().After(since)):
		said.reason, said.message = ReasonInUse, "It is used."
	case v.lastEdge.to == Awake && v.lastEdge.at.After(v.requestedAt) && v.lastEdge.at.After(v.Created):
		said.reason, said.message = ReasonSchedule, fmt.Sprintf("A schedule says since %s that it is awake.", stamp(v.lastEdge.at))
	case v.Spec != nil && !v.RequestedAt.IsZero():
		said.reason, said.message = ReasonResumed, fmt.Sprintf("It was asked at %s to be awake.", stamp(v.RequestedAt))
	case v.asleep || !v.Record.AsleepSince.IsZero():
		said.reason, said.message = ReasonResumed, "Nothing asks it to sleep any more."
	}
	if v.idleAfter > 0 {
		said.message += " " + v.sleepsWhen()
	}
	return said, true
}

// sleepsWhen says in a sentence when a control plane that is awake may be idle.
func (v *view) sleepsWhen() string {
	if v.inUse() || v.atWork() || !v.Record.EverRan {
		return fmt.Sprintf("It may sleep when nobody has used it for %s.", v.idleAfter)
	}
	return fmt.Sprintf("It may sleep at %s, unless it is used until then.", stamp(v.idleAt))
}

// wokenBy says in a clause what wakes a control plane that sleeps.
func (v *view) wokenBy() string {
	by := "`teapot resume`"
	next := v.next(Asleep)
	switch {
	case v.wakes && next != nil:
		by += ", a user's request"
	case v.wakes:
		by += " or a user's request"
	}
	if next != nil {
		by += " or the schedule at " + stamp(next.Time.Time)
	}
	return by + " wakes it"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
