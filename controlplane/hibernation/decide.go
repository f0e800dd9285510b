package hibernation

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Decide says what a control plane is to be, and why. The caller writes Record.After of it.
func Decide(in Input) Decision {
	v := look(in)
	said := precedence.decide(v)
	decision := Decision{State: said.state, Reason: said.reason, Message: said.message, AskBusy: said.askBusy}
	if v.Deleting {
		return decision
	}
	decision.Problem = v.problem
	decision.Next = v.next(said.state)
	decision.RecheckAfter = v.recheckAfter(said)
	if said.state == Awake && v.idleAfter > 0 {
		decision.AwakeBecause = v.awakeBecause(said)
	}
	return decision
}

// next is when a schedule next changes the state that was decided.
func (v *view) next(decided State) *teapotv1.HibernationChange {
	to := Asleep
	if decided == Asleep {
		to = Awake
	}
	if v.enabled {
		return nil
	}
	next := v.table.nextTo(v.Now, to)
	if next.at.IsZero() {
		return nil
	}
	return &teapotv1.HibernationChange{Time: metav1.NewTime(next.at.UTC()), Phase: teapotv1.HibernationPhase(to)}
}

// recheckAfter is how long it takes until time alone may change what was said.
func (v *view) recheckAfter(said verdict) time.Duration {
	moments := []time.Time{v.table.next(v.Now, "").at}
	if v.wakes && !believable(v.WakeRequested, v.Now) {
		moments = append(moments, v.WakeRequested.Add(-maxSkew))
	}
	switch {
	case said.state == Asleep && v.WorkersKept && v.Record.EverRan:
		moments = append(moments, v.since(Asleep).Add(maxSleepWithMachines))
	case said.state == Awake:
		moments = append(moments, v.wokenUntil)
		if said.reason == ReasonKubeletCertificates {
			moments = append(moments, v.since(Awake).Add(renewal))
		}
		if v.idleAfter > 0 {
			moments = append(moments, v.idleAt)
		}
		if said.askBusy {
			moments = append(moments, v.Now.Add(busyFresh))
		}
	}
	var after time.Duration
	for _, moment := range moments {
		if wait := moment.Sub(v.Now); wait > 0 && !moment.IsZero() && (after == 0 || wait < after) {
			after = wait
		}
	}
	return after
}

// maxWork is how many sentences about a tenant's work are shown: with the others there are never more
// than the 16 that status.hibernation.awakeBecause holds.
const maxWork = 8

// awakeBecause is why a control plane that could be idle is awake.
func (v *view) awakeBecause(said verdict) []string {
	var because []string
	recent := func(at time.Time) bool { return !at.IsZero() && v.Now.Before(at.Add(v.idleAfter)) }
	add := func(holds bool, format string, args ...any) {
		if holds {
			because = append(because, fmt.Sprintf(format, args...))
		}
	}
	add(said.reason == ReasonKubeletCertificates, "its machines renew their certificates until %s", stamp(v.since(Awake).Add(renewal)))
	add(v.Operation != "", "%s", v.Operation)
	add(!v.Record.EverRan, "it has not answered yet")
	if v.inUse() {
		connections := "1 user connection"
		if v.Users.Connections > 1 {
			connections = fmt.Sprintf("%d user connections", v.Users.Connections)
		}
		add(true, "%s; last at %s", connections, stamp(v.Users.Last)) // when a gateway last said so
	} else {
		add(recent(v.lastUser()), "a user was connected until %s", stamp(v.lastUser()))
	}
	add(v.wokenUntil.After(v.Now), "a user asked for it at %s", stamp(v.wakeAt))
	if busy := v.Busy; busy != nil {
		if recent(busy.At) {
			shown := busy.Because[:min(len(busy.Because), maxWork)]
			because = append(because, shown...)
			add(len(busy.Because) > maxWork, "%d more Jobs and pods like these", len(busy.Because)-maxWork)
		}
		add(!v.atWork() && recent(busy.Last), "there was work in it until %s", stamp(busy.Last))
	}
	add(v.lastEdge.to == Awake && recent(v.lastResume), "a schedule woke it at %s", stamp(v.lastResume))
	add(!v.enabled && recent(v.requestedAt), "it was asked at %s to be awake", stamp(v.RequestedAt))
	add(len(because) == 0 && !said.askBusy, "it is awake since %s", stamp(v.since(Awake)))
	add(said.askBusy, "its cluster has not told yet whether it has unfinished Jobs or pending pods")
	return because
}
