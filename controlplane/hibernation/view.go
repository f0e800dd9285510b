package hibernation

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// WakesOnRequest says whether a user's request wakes the control plane when it sleeps.
func WakesOnRequest(spec *teapotv1.HibernationSpec) bool {
	return spec != nil && spec.IdleAfter != nil && ptr.Deref(spec.WakeOnRequest, true)
}

// view is an Input and what policies have in common to say of it.
type view struct {
	Input
	// asleep says that the last decision was so; one that was never decided on counts as awake.
	asleep bool
	// enabled, idleAfter (0: not asked for) and wakes are the spec's.
	enabled   bool
	idleAfter time.Duration
	wakes     bool
	// requestedAt is the end of the second that RequestedAt names: whoever asks comes after what was
	// in the same second. Not after now.
	requestedAt time.Time
	// table is the schedules, problem what is wrong with them.
	table   timetable
	problem string
	// lastEdge is the last edge of all schedules, lastResume the last that wakes.
	lastEdge   edge
	lastResume time.Time
	// wakeAt is when a user's request that counts was made, and wokenUntil how long it keeps the
	// control plane awake; both zero if none counts.
	wakeAt, wokenUntil time.Time
	// idleAt is when the control plane is idle if it is not used before.
	idleAt time.Time
}

func look(in Input) *view {
	v := &view{Input: in, asleep: in.Record.State == Asleep, wakes: WakesOnRequest(in.Spec)}
	v.requestedAt = earlier(endOfSecond(in.RequestedAt), in.Now)
	if in.Spec != nil {
		v.enabled = ptr.Deref(in.Spec.Enabled, false)
		v.idleAfter = ptr.Deref(in.Spec.IdleAfter, metav1.Duration{}).Duration
		v.table, v.problem = newTimetable(in.Spec.Schedules)
		v.lastEdge, v.lastResume = v.table.last(in.Now, ""), v.table.last(in.Now, Awake).at
	}
	if wakeAt, counts := v.request(); counts {
		v.wakeAt, v.wokenUntil = wakeAt, wakeAt.Add(v.idleAfter)
		if v.wakeExtends() {
			v.wokenUntil = later(wakeAt, v.lastUser()).Add(v.idleAfter)
		}
	}
	v.idleAt = later(v.lastUse(), v.Created, v.lastResume, v.requestedAt).Add(v.idleAfter)
	// To be awake for the certificates is nobody's use.
	if v.Record.Reason != ReasonKubeletCertificates {
		v.idleAt = later(v.idleAt, v.since(Awake).Add(v.idleAfter))
	}
	return v
}

// request is when a user's request was made that woke the control plane or is to wake it. One of before
// it fell asleep does not count, nor one of before a user asked it to sleep.
func (v *view) request() (at time.Time, counts bool) {
	if !v.wakes || v.Record.AsleepSince.IsZero() || !v.WakeRequested.After(v.Record.AsleepSince) || !believable(v.WakeRequested, v.Now) {
		return time.Time{}, false
	}
	at = earlier(v.WakeRequested, v.Now)
	if !v.asleep {
		// What has woken it was before it woke, whatever the gateway's clock said.
		at = earlier(at, v.Record.Since)
	}
	return at, !v.enabled || at.After(v.requestedAt)
}

// wakeExtends says that use makes the request that counts last longer: it has woken the control
// plane, and no schedule or user has since.
func (v *view) wakeExtends() bool {
	return !v.asleep && !v.lastResume.After(v.wakeAt) && !v.requestedAt.After(v.wakeAt)
}

// inUse says that users are connected. Nobody is connected to what sleeps, whatever a gateway said last.
func (v *view) inUse() bool { return v.Users.Connections > 0 && !v.asleep }

// lastUser is the last moment with a user connected.
func (v *view) lastUser() time.Time {
	if v.inUse() {
		return v.Now
	}
	return earlier(v.Users.Last, v.Now)
}

// lastUse is the last moment with a user connected, or with work of the tenant's.
func (v *view) lastUse() time.Time {
	last := v.lastUser()
	if v.Busy == nil {
		return last
	}
	last = later(last, earlier(v.Busy.Last, v.Now))
	if v.atWork() {
		last = later(last, earlier(v.Busy.At, v.Now))
	}
	return last
}

// atWork says that the tenant's cluster had something to do when it was last asked.
func (v *view) atWork() bool { return v.Busy != nil && len(v.Busy.Because) > 0 }

// since is when it was decided that the control plane is in a state; now, if it is decided now.
func (v *view) since(state State) time.Time {
	if v.Record.State == state {
		return v.Record.Since
	}
	return v.Now
}

// renewing says that the control plane is awake for the sake of its machines' certificates.
func (v *view) renewing() bool {
	return v.Record.State == Awake && v.Record.Reason == ReasonKubeletCertificates && v.Now.Before(v.Record.Since.Add(renewal))
}

// maxSkew is how far ahead the clock of a gateway may be. Requests from further ahead are not believed:
// they would keep a control plane awake for all that time.
const maxSkew = 5 * time.Minute

func believable(request, now time.Time) bool { return request.Sub(now) <= maxSkew }

// earlier is the earlier one of two moments.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// later is the latest of some moments.
func later(first time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if other.After(first) {
			first = other
		}
	}
	return first
}

// endOfSecond is the last moment of the second that a time without fractions names.
func endOfSecond(t time.Time) time.Time {
	if t.IsZero() || t.Nanosecond() != 0 {
		return t
	}
	return t.Add(time.Second - 1)
}
