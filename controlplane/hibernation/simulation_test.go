package hibernation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// world is a control plane, its users and its manager, with a clock of their own.
type world struct {
	t       *testing.T
	in      Input
	jobs    int
	visits  map[int]bool // connected (true), or waiting for it to wake
	events  []event
	changes []string
	last    Decision
	decided time.Time // when last
}

// event is something that happens, whatever the control plane does then.
type event struct {
	at   time.Time
	name string
	do   func(w *world)
}

// run lets the manager look at each event and as RecheckAfter tells it, and at each tick as well if tick
// is not 0. It returns the changes of state.
func (w *world) run(until time.Time, tick time.Duration) []string {
	start := w.in.Now
	w.decide("start")
	for w.in.Now.Before(until) && !w.t.Failed() {
		next := until
		if w.last.RecheckAfter > 0 {
			next = earlier(next, w.in.Now.Add(w.last.RecheckAfter))
		}
		if tick > 0 {
			next = earlier(next, start.Add((w.in.Now.Sub(start)/tick+1)*tick))
		}
		if len(w.events) > 0 && !w.events[0].at.After(next) {
			happens := w.events[0]
			w.events, w.in.Now = w.events[1:], later(w.in.Now, happens.at)
			happens.do(w)
			w.decide(happens.name)
			continue
		}
		w.in.Now = next
		w.decide("")
	}
	return w.changes
}

// decide does what the manager does, and checks what must hold after each decision. cause is what has
// happened; empty: time has passed.
func (w *world) decide(cause string) {
	before, asked := w.in.Record, false
	d := Decide(w.in)
	if d.AskBusy {
		asked = true
		w.in.Busy = &Busy{At: w.in.Now, Because: slices.Repeat([]string{"a Job is not finished"}, w.jobs)}
		d = Decide(w.in)
	}
	fail := func(format string, args ...any) {
		w.t.Errorf("%s, after %q, %s %s of %+v: "+format, append([]any{stamp(w.in.Now), cause, d.State, d.Reason, w.in}, args...)...)
	}
	if d.AskBusy {
		fail("it asks again for what it was just told")
	}
	w.in.Record = before.After(d, w.in.WakeRequested, w.in.Now)
	if cause == "" && w.in.Record == before {
		// A look at what has not changed: the same for as long as the time is.
	} else if again := Decide(w.in); again.State != d.State || again.Reason != d.Reason || again.Message != d.Message {
		fail("asked again it is %s %s: %q, and was %q", again.State, again.Reason, again.Message, d.Message)
	}
	if cause == "" && !asked && d.State == w.last.State && d.Reason == w.last.Reason && d.Message != w.last.Message && w.in.Record.Since != w.in.Now &&
		!newTable(w.in.Spec).last(w.in.Now, "").at.After(w.decided) {
		fail("the message changed from %q to %q, and nothing had happened", w.last.Message, d.Message)
	}
	if woken := w.in.WakeRequested; cause == "a user comes" && WakesOnRequest(w.in.Spec) && !w.in.Deleting && before.State == Asleep && d.State == Asleep &&
		woken.After(before.AsleepSince) && woken.Sub(w.in.Now) < time.Minute && woken.After(w.in.RequestedAt.Add(2*time.Second)) {
		fail("a user asked for it")
	}
	if d.State == Asleep && w.in.WorkersKept && before.EverRan && w.in.Now.Sub(w.in.Record.Since) >= 30*24*time.Hour && !w.in.Deleting {
		fail("its machines' certificates run out")
	}
	if d.RecheckAfter < 0 {
		fail("recheck after %s", d.RecheckAfter)
	}
	spec := ptr.Deref(w.in.Spec, teapotv1.HibernationSpec{})
	if (len(d.AwakeBecause) > 0) != (d.State == Awake && spec.IdleAfter != nil && !w.in.Deleting) {
		fail("awake because %q", d.AwakeBecause)
	}
	if d.State == Asleep && spec.Enabled == nil && spec.IdleAfter == nil && len(spec.Schedules) == 0 && !w.in.Deleting {
		fail("nothing asks for it")
	}
	w.last, w.decided = d, w.in.Now
	if before.State == d.State {
		return
	}

	// What may change a state, and what may not.
	w.changes = append(w.changes, fmt.Sprintf("%s %s %s", w.in.Now.Format(time.RFC3339Nano), d.State, d.Reason))
	switch {
	case w.in.Deleting && before.State != "":
		fail("it is being deleted")
	case d.State == Asleep && w.in.Users.Connections > 0 && d.Reason != ReasonRequested && d.Reason != ReasonSchedule:
		fail("with users")
	case d.State == Asleep && w.in.Operation != "" && before.State == Awake && before.EverRan:
		fail("with an operation in progress")
	case d.Reason == ReasonIdle && (w.jobs > 0 || w.in.Now.Sub(before.Since) < spec.IdleAfter.Duration && before.Reason != ReasonKubeletCertificates):
		fail("with %d Jobs, and awake since %s", w.jobs, stamp(before.Since))
	}
	switch d.State {
	case Asleep:
		clear(w.visits)
		w.users()
	case Awake:
		w.events = append(w.events, event{w.in.Now.Add(10 * time.Second), "it answers", func(w *world) {
			if w.in.Record.State == Asleep {
				return
			}
			w.in.Record.EverRan = true
			for visit := range w.visits {
				w.visits[visit] = true
			}
			w.users()
		}})
		slices.SortStableFunc(w.events, func(a, b event) int { return a.at.Compare(b.at) })
	}
}

// newTable is the schedules of a spec, or none.
func newTable(spec *teapotv1.HibernationSpec) timetable {
	table, _ := newTimetable(ptr.Deref(spec, teapotv1.HibernationSpec{}).Schedules)
	return table
}

// users is what the gateway tells of the visits.
func (w *world) users() {
	connected := 0
	for _, is := range w.visits {
		if is {
			connected++
		}
	}
	if w.in.Users.Connections > 0 || connected > 0 {
		w.in.Users.Last = w.in.Now
	}
	w.in.Users.Connections = connected
}

// specs are what people change spec.hibernation to.
func specs(random *rand.Rand) *teapotv1.HibernationSpec {
	zones := []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	clock := func() string { return fmt.Sprintf("%02d:%02d", random.IntN(24), 15*random.IntN(4)) }
	spec := &teapotv1.HibernationSpec{}
	for range random.IntN(4) {
		schedule := teapotv1.HibernationSchedule{HibernateAt: clock(), ResumeAt: clock(), TimeZone: zones[random.IntN(len(zones))]}
		switch random.IntN(4) {
		case 0:
			schedule.ResumeAt = ""
		case 1:
			schedule.Days = []teapotv1.Day{"Sunday", "Wednesday"}
		case 2:
			schedule.HibernateAt = "02:15"
		}
		spec.Schedules = append(spec.Schedules, schedule)
	}
	if random.IntN(4) > 0 {
		idleAfter := []time.Duration{time.Minute, 20 * time.Minute, time.Hour, 30 * time.Hour}[random.IntN(4)]
		spec.IdleAfter = &metav1.Duration{Duration: idleAfter}
		if random.IntN(4) == 0 {
			spec.WakeOnRequest = ptr.To(false)
		}
	}
	if random.IntN(6) == 0 {
		spec.Enabled = ptr.To(random.IntN(2) == 0)
	}
	return spec
}

// happenings are count events between two times.
func happenings(random *rand.Rand, from, until time.Time, count int) []event {
	var events []event
	add := func(at time.Time, name string, do func(w *world)) {
		events = append(events, event{at, name, do})
	}
	request := func(enabled bool) func(w *world) {
		return func(w *world) {
			if w.in.Spec == nil {
				w.in.Spec = &teapotv1.HibernationSpec{}
			}
			w.in.Spec = with(*w.in.Spec, enabled)
			w.in.RequestedAt = w.in.Now.Truncate(time.Second)
		}
	}
	for i := range count {
		at := from.Add(time.Duration(random.Int64N(int64(until.Sub(from))))).Truncate(time.Millisecond)
		end := at.Add(time.Duration(random.ExpFloat64() * float64(time.Hour)))
		switch random.IntN(12) {
		case 0:
			spec := specs(random)
			add(at, "another spec", func(w *world) { w.in.Spec = spec })
		case 1:
			add(at, "teapot hibernate", request(true))
			add(end, "teapot resume", request(false))
		case 2:
			add(at, "a Job starts", func(w *world) { w.jobs++ })
			add(end, "a Job is finished", func(w *world) { w.jobs-- })
		case 3:
			add(at, "an operation", func(w *world) { w.in.Operation = "an operation" })
			add(end, "the operation is finished", func(w *world) { w.in.Operation = "" })
		case 4:
			add(at, "teapot resume", request(false))
		default:
			// The gateways' clocks are off by seconds, and one by hours.
			skew := time.Duration(random.Int64N(int64(20*time.Second))) - 10*time.Second
			if random.IntN(20) == 0 {
				skew = 3 * time.Hour
			}
			add(at, "a user comes", func(w *world) {
				if w.visits[i] = w.in.Record.State == Awake; !w.visits[i] {
					w.in.WakeRequested = w.in.Now.Add(skew)
				}
				w.users()
			})
			add(end, "the user goes", func(w *world) {
				delete(w.visits, i)
				w.users()
			})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	return events
}

func TestWeeksGoBy(t *testing.T) {
	for _, test := range []struct {
		name   string
		from   string
		days   int
		tick   time.Duration
		events int
		rounds int
		kept   bool
		want   string // comes up
	}{
		{name: "spring weeks, minute by minute", from: "2026-03-05T00:00:00Z", days: 28, tick: time.Minute, events: 300, rounds: 2, want: ReasonWakeRequest},
		{name: "autumn weeks, minute by minute", from: "2026-10-20T00:00:00Z", days: 16, tick: time.Minute, events: 150, rounds: 2, want: ReasonSchedule},
		{name: "days, by seconds", from: "2026-11-20T00:00:00Z", days: 2, tick: 7 * time.Second, events: 150, rounds: 2, want: ReasonIdle},
		{name: "years with machines that are kept, by hours", from: "2026-01-01T00:00:00Z", days: 365, tick: 3 * time.Hour, events: 20, rounds: 8, kept: true, want: ReasonKubeletCertificates},
	} {
		t.Run(test.name, func(t *testing.T) {
			var changes []string
			for round := range test.rounds {
				from := at(t, test.from)
				until := from.AddDate(0, 0, test.days)
				simulate := func(tick time.Duration) []string {
					random := rand.New(rand.NewPCG(uint64(round), uint64(test.days)))
					w := &world{t: t, visits: map[int]bool{}}
					w.in = Input{Now: from, Created: from, Spec: specs(random), WorkersKept: test.kept}
					w.events = happenings(random, from, until, test.events)
					w.events = append(w.events, event{until.Add(-time.Hour), "it is deleted", func(w *world) { w.in.Deleting = true }})
					slices.SortStableFunc(w.events, func(a, b event) int { return a.at.Compare(b.at) })
					return w.run(until, tick)
				}
				told, looked := simulate(0), simulate(test.tick)
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
				if i := firstDifference(told, looked); i >= 0 {
					t.Fatalf("round %d: change %d is %q if RecheckAfter is followed, and %q if one looks every %s", round, i, told[i:min(i+1, len(told))], looked[i:min(i+1, len(looked))], test.tick)
				}
				changes = append(changes, told...)
			}
			if len(changes) < 20 || !strings.Contains(strings.Join(changes, "\n"), test.want) {
				t.Errorf("%d changes of state, and %s must be among the reasons: too little to tell anything by", len(changes), test.want)
			}
		})
	}
}

// firstDifference is where two lists differ; -1 if they do not.
func firstDifference(a, b []string) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}
