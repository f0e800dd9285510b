package hibernation

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// moment is a time of the combinations below, in minutes before now; never: it did not happen. The
// smaller of two is the later one.
type moment int

const never moment = 1 << 30

// combination is a case of TestEveryCombination, in the words of the precedence.
type combination struct {
	deleting, operation bool
	wake                moment // request of a user
	wakeOn              bool
	enabled             *bool
	requested           moment
	hibernate, resume   moment // edges, today's
	idleAfter           bool   // an hour
	connections         int
	lastUser            moment
	busy                string // "", "old", "work", "none": the answer of the tenant's cluster
	record              string
	workersKept         bool
}

// records are what may have been decided before: state, reason, since, last asleep since, ever ran.
var records = map[string]struct {
	state              State
	reason             string
	since, asleepSince moment
	everRan            bool
}{
	"nothing, new":               {"", "", never, never, false},
	"nothing, older than Teapot": {"", "", never, never, true},
	"being made":                 {Awake, ReasonAwake, 45, never, false},
	"made asleep":                {Asleep, ReasonRequested, 240, 240, false},
	"awake, never slept":         {Awake, ReasonAwake, 150, never, true},
	"awake, just woken":          {Awake, ReasonWakeRequest, 9, 240, true},
	"awake, woken long ago":      {Awake, ReasonWakeRequest, 150, 240, true},
	"awake for renewal":          {Awake, ReasonKubeletCertificates, 50, 50000, true},
	"awake after renewal":        {Awake, ReasonKubeletCertificates, 70, 50000, true},
	"asleep, idle":               {Asleep, ReasonIdle, 240, 240, true},
	"asleep, requested":          {Asleep, ReasonRequested, 240, 240, true},
	"asleep, schedule":           {Asleep, ReasonSchedule, 240, 240, true},
	"made asleep, long ago":      {Asleep, ReasonRequested, 43200, 43200, false},
	"asleep for long":            {Asleep, ReasonIdle, 43200, 43200, true},
}

// want is the precedence told anew, in minutes: what issue 6 and the API's documentation say, without a look
// at how it is done.
func (c combination) want() (state State, reason string, ask bool) {
	r := records[c.record]
	asleep := r.state == Asleep
	since := r.since
	if r.state == "" {
		since = 0
	}
	enabled := c.enabled != nil && *c.enabled
	lastEdge := min(c.hibernate, c.resume)
	// Edges of before the control plane was made, 60 days ago, are not among the cases.
	used := c.lastUser
	connected := c.connections > 0 && !asleep
	if connected {
		used = 0
	}

	if c.deleting {
		if asleep {
			return Asleep, ReasonDeleting, false
		}
		return Awake, ReasonDeleting, false
	}
	if c.workersKept && asleep && r.everRan && since >= 30*24*60 {
		return Awake, ReasonKubeletCertificates, false
	}
	if r.reason == ReasonKubeletCertificates && since < 60 {
		return Awake, ReasonKubeletCertificates, false
	}
	if c.operation && !asleep && r.everRan {
		without := c
		without.operation = false
		if state, reason, ask := without.want(); state == Awake && !ask {
			return Awake, reason, false
		}
		return Awake, ReasonOperation, false
	}

	// A user's request: younger than the hour, or used since within the hour.
	if c.idleAfter && c.wakeOn && c.wake < r.asleepSince && r.asleepSince != never {
		age := c.wake
		if !asleep {
			age = max(age, since)
		}
		outdone := enabled && c.requested <= age
		over := c.resume < age || !enabled && c.requested < age
		if !outdone {
			if !asleep && !over {
				age = min(age, used)
			}
			if age < 60 {
				return Awake, ReasonWakeRequest, false
			}
		}
	}
	if enabled {
		return Asleep, ReasonRequested, false
	}
	if c.hibernate < c.resume && c.hibernate < c.requested {
		return Asleep, ReasonSchedule, false
	}
	worked := never
	if c.busy == "work" {
		worked = 1
	}
	if c.idleAfter && asleep && r.reason == ReasonIdle && c.resume > since && c.requested > since {
		return Asleep, ReasonIdle, false
	}
	if c.idleAfter && !asleep && r.everRan {
		idle := min(used, c.resume, c.requested, worked)
		if r.reason != ReasonKubeletCertificates {
			idle = min(idle, since)
		}
		if idle >= 60 {
			if c.busy != "none" {
				return Awake, ReasonInUse, true
			}
			return Asleep, ReasonIdle, false
		}
	}

	if asleep {
		since = 0 // It wakes now.
	}
	switch {
	case c.idleAfter && (connected || min(used, worked) < since):
		return Awake, ReasonInUse, false
	case lastEdge != never && c.resume <= c.hibernate && c.resume < c.requested:
		return Awake, ReasonSchedule, false
	case c.requested != never || r.asleepSince != never:
		return Awake, ReasonResumed, false
	}
	return Awake, ReasonAwake, false
}

// input is the same for Decide.
func (c combination) input() Input {
	// A Saturday, and long after a change of the clocks.
	now := time.Date(2026, 11, 21, 12, 0, 0, 1000, time.UTC)
	ago := func(m moment) time.Time {
		if m == never {
			return time.Time{}
		}
		return now.Add(-time.Duration(m) * time.Minute)
	}
	r := records[c.record]
	in := Input{
		Spec: &teapotv1.HibernationSpec{Enabled: c.enabled}, Deleting: c.deleting, Created: now.AddDate(0, 0, -60),
		RequestedAt: ago(c.requested), WakeRequested: ago(c.wake), WorkersKept: c.workersKept, Now: now,
		Record: Record{State: r.state, Reason: r.reason, Since: ago(r.since), AsleepSince: ago(r.asleepSince), EverRan: r.everRan},
		Users:  Users{Connections: c.connections, Last: ago(c.lastUser)},
	}
	if c.operation {
		in.Operation = "version v1.35.4 is rolled out"
	}
	if c.idleAfter {
		in.Spec.IdleAfter = &metav1.Duration{Duration: time.Hour}
		in.Spec.WakeOnRequest = ptr.To(c.wakeOn)
	}
	clock := func(m moment, schedule teapotv1.HibernationSchedule) {
		if m != never {
			schedule.Days = []teapotv1.Day{teapotv1.Day(ago(m).Weekday().String())}
			in.Spec.Schedules = append(in.Spec.Schedules, schedule)
		}
	}
	clock(c.hibernate, teapotv1.HibernationSchedule{HibernateAt: ago(c.hibernate).Format("15:04")})
	clock(c.resume, teapotv1.HibernationSchedule{ResumeAt: ago(c.resume).Format("15:04")})
	switch c.busy {
	case "old":
		in.Busy = &Busy{At: ago(300)}
	case "work":
		in.Busy = &Busy{At: ago(1), Because: []string{"Job default/backup is not finished"}}
	case "none":
		in.Busy = &Busy{At: ago(0)}
	}
	return in
}

func TestEveryCombination(t *testing.T) {
	seen := map[string]int{}
	check := func(c combination) {
		state, reason, ask := c.want()
		in := c.input()
		got := Decide(in)
		if got.State != state || got.Reason != reason || got.AskBusy != ask {
			enabled := "nil"
			if c.enabled != nil {
				enabled = fmt.Sprint(*c.enabled)
			}
			t.Errorf("%+v, enabled %s: %s %s, ask %t; want %s %s, ask %t", c, enabled, got.State, got.Reason, got.AskBusy, state, reason, ask)
		}
		seen[fmt.Sprintf("%s %s, ask %t", state, reason, ask)]++

		if got.Message == "" {
			t.Errorf("%+v: no message", c)
		}
		if (len(got.AwakeBecause) > 0) != (got.State == Awake && c.idleAfter && !c.deleting) {
			t.Errorf("%+v: %s, awake because %q", c, got.State, got.AwakeBecause)
		}
		again := in
		if again.Record = in.Record.After(got, in.WakeRequested, in.Now); again.Record == in.Record {
			return
		}
		if second := Decide(again); second.State != got.State || second.AskBusy != got.AskBusy {
			t.Errorf("%+v: %s %s, and then at the same moment %s %s", c, got.State, got.Reason, second.State, second.Reason)
		}
	}

	both := []bool{false, true}
	for record := range records {
		for _, deleting := range both {
			for _, operation := range both {
				for _, kept := range both {
					for _, enabled := range []*bool{nil, ptr.To(false), ptr.To(true)} {
						// Of before and after everything else, and of between a request and an edge.
						for _, requested := range []moment{never, 300, 20, 5} {
							for _, wake := range []moment{never, 10, 180, 280, 44000} {
								for _, edges := range [][2]moment{{never, never}, {30, never}, {never, 30}, {30, 230}, {230, 30}, {30, 30}, {250, 300}, {300, 250}} {
									for _, use := range []combination{
										{},
										{idleAfter: true, lastUser: never},
										{idleAfter: true, lastUser: never, wakeOn: true},
										{idleAfter: true, lastUser: 40, wakeOn: true, busy: "none"},
										{idleAfter: true, lastUser: 170, wakeOn: true, busy: "none"},
										{idleAfter: true, lastUser: 170, wakeOn: true, busy: "work"},
										{idleAfter: true, lastUser: 170, wakeOn: true, busy: "old"},
										{idleAfter: true, lastUser: 2, connections: 2, wakeOn: true, busy: "none"},
									} {
										c := use
										if !c.idleAfter {
											c.lastUser = never
										}
										c.record, c.deleting, c.operation, c.workersKept = record, deleting, operation, kept
										c.enabled, c.requested, c.wake = enabled, requested, wake
										c.hibernate, c.resume = edges[0], edges[1]
										check(c)
										if t.Failed() {
											return
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
	for _, verdict := range []string{
		"Asleep Deleting, ask false", "Awake Deleting, ask false", "Awake KubeletCertificates, ask false", "Awake Operation, ask false",
		"Awake WakeRequest, ask false", "Asleep Requested, ask false", "Asleep Schedule, ask false", "Asleep Idle, ask false",
		"Awake InUse, ask true", "Awake InUse, ask false", "Awake Schedule, ask false", "Awake Resumed, ask false", "Awake Awake, ask false",
	} {
		if seen[verdict] < 100 {
			t.Errorf("%q came up %d times only: the cases do not cover it", verdict, seen[verdict])
		}
	}
}
