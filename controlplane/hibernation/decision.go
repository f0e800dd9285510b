package hibernation

import (
	"time"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// State is what a control plane is to be. The zero value: nothing was decided yet.
type State string

// Values of State.
const (
	Awake  = State(teapotv1.HibernationAwake)
	Asleep = State(teapotv1.HibernationAsleep)
)

// Reasons of a Decision, one word each, for status and conditions.
const (
	// ReasonDeleting: the control plane is being deleted, and stays what it is.
	ReasonDeleting = teapotv1.ReasonDeleting
	// ReasonKubeletCertificates: it is awake so that the machines that were kept renew their certificates.
	ReasonKubeletCertificates = "KubeletCertificates"
	// ReasonOperation: it is awake until an operation has been finished.
	ReasonOperation = "Operation"
	// ReasonWakeRequest: it is awake because a user came through the gateway while it slept.
	ReasonWakeRequest = "WakeRequest"
	// ReasonRequested: it sleeps because spec.hibernation.enabled says so.
	ReasonRequested = "Requested"
	// ReasonSchedule: it sleeps, or has come back, because of the last edge of a schedule.
	ReasonSchedule = "Schedule"
	// ReasonIdle: it sleeps because nobody used it for spec.hibernation.idleAfter.
	ReasonIdle = "Idle"
	// ReasonInUse: it is awake, and would sleep if nobody used it for spec.hibernation.idleAfter.
	ReasonInUse = "InUse"
	// ReasonResumed: it is awake because what had put it to sleep does so no more.
	ReasonResumed = "Resumed"
	// ReasonAwake: it is awake because nothing ever asked it to sleep.
	ReasonAwake = teapotv1.ReasonAwake
)

// Input is all that the decision depends on.
type Input struct {
	// Spec is what was asked for; nil: no hibernation.
	Spec *teapotv1.HibernationSpec
	// Deleting says that the control plane is being deleted.
	Deleting bool
	// Created is when the TenantControlPlane was made.
	Created time.Time
	// RequestedAt is when spec.hibernation.enabled was last meant (the annotation
	// teapot.dev/hibernation-requested-at); zero if it does not say. A moment in the future counts as now.
	RequestedAt time.Time
	// Record is what was decided before.
	Record Record
	// WakeRequested is when a user last asked for the control plane while it slept; zero if never. A
	// moment in the future counts as now, up to five minutes of it; later ones are not believed before.
	WakeRequested time.Time
	// Users is what the gateway knows of users.
	Users Users
	// Operation is an operation in progress that is finished before the control plane sleeps, as a
	// sentence without a full stop; empty if there is none. It does not hold a control plane that never ran.
	Operation string
	// Busy is what the tenant's cluster has to do; nil: it was not asked yet.
	Busy *Busy
	// WorkersKept says that there are machines which are kept, or switched off, during the sleep.
	WorkersKept bool
	// Now is the time.
	Now time.Time
}

// Record is what was decided before; the zero value: nothing yet.
type Record struct {
	// State is what was decided, and Since is when it became so.
	State State
	Since time.Time
	// AsleepSince is when it was last decided that the control plane sleeps, also after it has come
	// back: requests up to then wake nothing. Zero if it never slept.
	AsleepSince time.Time
	// Reason is the last decision's. A control plane that sleeps without one counts as idle.
	Reason string
	// EverRan says that the control plane has answered once.
	EverRan bool
}

// After is the record once a decision was made. wakeRequested and now are the Input's.
func (r Record) After(decision Decision, wakeRequested, now time.Time) Record {
	if decision.AskBusy {
		return r // Nothing is decided before the answer.
	}
	r.Reason = decision.Reason
	if r.State == decision.State {
		return r
	}
	r.State, r.Since = decision.State, now
	if decision.State == Asleep {
		r.AsleepSince = now
		// A request of a gateway whose clock is ahead must not wake what was put to sleep after it.
		if wakeRequested.After(now) && believable(wakeRequested, now) {
			r.AsleepSince = wakeRequested
		}
	}
	return r
}

// Users is what the gateway knows of a control plane's users.
type Users struct {
	// Connections is how many of their connections are open.
	Connections int
	// Last is the last moment with a user connected; zero if none is known.
	Last time.Time
}

// Busy is what a tenant's cluster was found to have to do.
type Busy struct {
	// At is when it was asked.
	At time.Time
	// Because names what was found, a sentence each without a full stop: unfinished Jobs, and pending
	// pods that a pool could serve.
	Because []string
	// Last is the last moment before At at which there was something to do: when it was last found, or when
	// the last Job was finished. Zero if none is known; then idleAfter does not begin anew when work
	// ends.
	Last time.Time
}

// Decision is what a control plane is to be, and why.
type Decision struct {
	State State
	// Reason is one of the constants above.
	Reason string
	// Message says it in sentences, with times in UTC and what to do. It does not change while nothing
	// else does.
	Message string
	// Next is the next time that a schedule changes the state; nil if none does.
	Next *teapotv1.HibernationChange
	// AwakeBecause are the grounds for not sleeping; only while awake with idleAfter set.
	AwakeBecause []string
	// Problem names the schedules that cannot be followed, and says what to do; empty if all can. They
	// count as left out.
	Problem string
	// RecheckAfter is when time alone may change the decision; 0: it does not.
	RecheckAfter time.Duration
	// AskBusy says that nothing else holds the control plane awake: its cluster is to be asked now what
	// it has to do.
	AskBusy bool
}
