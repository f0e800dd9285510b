package hibernation

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Specs of the cases below.
var (
	nightly = teapotv1.HibernationSpec{Schedules: []teapotv1.HibernationSchedule{{HibernateAt: "20:00", ResumeAt: "06:00"}}}
	hourly  = teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: time.Hour}}
	// unused is nightly and hourly.
	unused = teapotv1.HibernationSpec{Schedules: nightly.Schedules, IdleAfter: hourly.IdleAfter}
)

func with(spec teapotv1.HibernationSpec, enabled bool) *teapotv1.HibernationSpec {
	spec.Enabled = ptr.To(enabled)
	return &spec
}

func TestDecide(t *testing.T) {
	// day is a time of the 20th of November 2026, a Friday, or of the day that is written before it.
	day := func(clock string) time.Time {
		if !strings.Contains(clock, "T") {
			clock = "20T" + clock
		}
		return at(t, "2026-11-"+clock+"Z")
	}
	awakeSince := func(since string) Record {
		return Record{State: Awake, Reason: ReasonAwake, Since: day(since), EverRan: true}
	}
	asleepSince := func(since, reason string) Record {
		return Record{State: Asleep, Reason: reason, Since: day(since), AsleepSince: day(since), EverRan: true}
	}
	woken := func(since, asleepSince string) Record {
		return Record{State: Awake, Reason: ReasonWakeRequest, Since: day(since), AsleepSince: day(asleepSince), EverRan: true}
	}
	created := day("01T00:00:00")

	for _, test := range []struct {
		name string
		in   Input
		// want is the state, the reason and the message; next and because are compared if given.
		state   State
		reason  string
		message string
		next    string
		because []string
		recheck time.Duration
		ask     bool
	}{
		{name: "no hibernation asked for", in: Input{Record: awakeSince("07:00:00"), Now: day("12:00:00")},
			state: Awake, reason: ReasonAwake, message: "Nothing has asked it to sleep."},
		{name: "hibernation no more asked for, while asleep", in: Input{Record: asleepSince("07:00:00", ReasonIdle), Now: day("12:00:00")},
			state: Awake, reason: ReasonResumed, message: "Nothing asks it to sleep any more."},

		// Schedules.
		{name: "a moment before the edge", in: Input{Spec: &nightly, Record: awakeSince("06:00:00"), Now: day("19:59:59")},
			state: Awake, reason: ReasonSchedule, message: "A schedule says since 2026-11-20T06:00:00Z that it is awake.",
			next: "2026-11-20T20:00:00Z Asleep", recheck: time.Second},
		{name: "at the edge", in: Input{Spec: &nightly, Record: awakeSince("06:00:00"), Now: day("20:00:00")},
			state: Asleep, reason: ReasonSchedule, message: "A schedule put it to sleep at 2026-11-20T20:00:00Z; `teapot resume` or the schedule at 2026-11-21T06:00:00Z wakes it.",
			next: "2026-11-21T06:00:00Z Awake", recheck: 10 * time.Hour},
		{name: "the manager was down at the edge, and for two days", in: Input{Spec: &nightly, Record: awakeSince("18T06:00:00"), Now: day("23:00:00")},
			state: Asleep, reason: ReasonSchedule, recheck: 7 * time.Hour},
		{name: "the manager was down for a whole night: nothing happens by day", in: Input{Spec: &nightly, Record: awakeSince("18T06:00:00"), Now: day("06:00:00")},
			state: Awake, reason: ReasonSchedule},
		{name: "the manager was down when it was to come back", in: Input{Spec: &nightly, Record: asleepSince("19T20:00:00", ReasonSchedule), Now: day("09:00:00")},
			state: Awake, reason: ReasonSchedule},
		{name: "schedules are taken away by night", in: Input{Spec: &hourly, Record: asleepSince("20:00:00", ReasonSchedule), Now: day("22:00:00")},
			state: Awake, reason: ReasonResumed},
		{name: "a user and the schedule may wake it", in: Input{Spec: &unused, Record: awakeSince("06:00:00"), Now: day("20:00:00")},
			state: Asleep, reason: ReasonSchedule, message: "A schedule put it to sleep at 2026-11-20T20:00:00Z; `teapot resume`, a user's request or the schedule at 2026-11-21T06:00:00Z wakes it."},
		{name: "it was resumed after the edge", in: Input{Spec: with(nightly, false), RequestedAt: day("20:30:00"), Record: asleepSince("20:00:00", ReasonSchedule), Now: day("20:30:01")},
			state: Awake, reason: ReasonResumed, message: "It was asked at 2026-11-20T20:30:00Z to be awake.", next: "2026-11-21T20:00:00Z Asleep"},
		{name: "it was resumed at the edge", in: Input{Spec: with(nightly, false), RequestedAt: day("20:00:00"), Record: awakeSince("06:00:00"), Now: day("20:00:00")},
			state: Awake, reason: ReasonResumed},
		{name: "it was resumed yesterday: tonight it sleeps", in: Input{Spec: with(nightly, false), RequestedAt: day("19T20:30:00"), Record: awakeSince("19T20:30:00"), Now: day("20:00:00")},
			state: Asleep, reason: ReasonSchedule},
		{name: "resumed by a clock that is ahead", in: Input{Spec: with(nightly, false), RequestedAt: day("20:31:00"), Record: asleepSince("20:00:00", ReasonSchedule), Now: day("20:30:01")},
			state: Awake, reason: ReasonResumed},
		{name: "a schedule that cannot be followed does nothing", in: Input{Spec: &teapotv1.HibernationSpec{Schedules: []teapotv1.HibernationSchedule{{HibernateAt: "00:00", TimeZone: "Mars/Olympus"}}}, Record: awakeSince("06:00:00"), Now: day("20:00:00")},
			state: Awake, reason: ReasonAwake},

		// Created hibernated, and hibernated while it is made.
		{name: "created hibernated: never started", in: Input{Spec: with(teapotv1.HibernationSpec{}, true), Created: day("12:00:00"), Now: day("12:00:01")},
			state: Asleep, reason: ReasonRequested, message: "spec.hibernation.enabled is true; `teapot resume` wakes it."},
		{name: "created at night: the user wants it", in: Input{Spec: &nightly, Created: day("22:00:00"), Now: day("22:00:01")},
			state: Awake, reason: ReasonAwake, next: "2026-11-21T20:00:00Z Asleep"},
		{name: "created by day, first looked at by night", in: Input{Spec: &nightly, Created: day("19:59:59"), Now: day("20:00:01")},
			state: Asleep, reason: ReasonSchedule},
		{name: "hibernated while it is made: that is not waited for", in: Input{Spec: with(teapotv1.HibernationSpec{}, true), Operation: "it is made",
			Created: day("12:00:00"), Record: Record{State: Awake, Since: day("12:00:01")}, Now: day("12:00:05")},
			state: Asleep, reason: ReasonRequested},
		{name: "what is being made is not idle, however long it takes", in: Input{Spec: &hourly, Created: day("12:00:00"), Record: Record{State: Awake, Since: day("12:00:00")}, Now: day("15:00:00")},
			state: Awake, reason: ReasonAwake, because: []string{"it has not answered yet"}},

		// Operations.
		{name: "an operation is finished first", in: Input{Spec: with(teapotv1.HibernationSpec{}, true), RequestedAt: day("12:00:00"), Operation: "version v1.35.4 is rolled out", Record: awakeSince("06:00:00"), Now: day("12:00:05")},
			state: Awake, reason: ReasonOperation, message: "It stays awake until this is finished: version v1.35.4 is rolled out."},
		{name: "changed while asleep: the change takes effect on waking", in: Input{Spec: with(teapotv1.HibernationSpec{}, true), RequestedAt: day("12:00:00"), Operation: "version v1.35.4 is rolled out", Record: asleepSince("12:00:00", ReasonRequested), Now: day("13:00:00")},
			state: Asleep, reason: ReasonRequested, message: "It was asked to sleep at 2026-11-20T12:00:00Z (spec.hibernation.enabled is true); `teapot resume` wakes it."},

		// Deletion.
		{name: "deleted while asleep: nothing is woken", in: Input{Deleting: true, Spec: &unused, WakeRequested: day("11:59:59"), Record: asleepSince("06:00:00", ReasonIdle), WorkersKept: true, Now: day("12:00:00")},
			state: Asleep, reason: ReasonDeleting, message: "It is being deleted, and stays as it is until it is gone."},
		{name: "deleted while it goes to sleep, and resumed", in: Input{Deleting: true, Spec: with(unused, false), RequestedAt: day("12:00:00"), Record: asleepSince("11:59:58", ReasonRequested), Now: day("12:00:00")},
			state: Asleep, reason: ReasonDeleting},
		{name: "deleted while it wakes, and hibernated", in: Input{Deleting: true, Spec: with(unused, true), RequestedAt: day("12:00:00"), Record: woken("11:59:58", "06:00:00"), Now: day("12:00:00")},
			state: Awake, reason: ReasonDeleting},

		// Requests of users.
		{name: "a user comes by night", in: Input{Spec: &unused, WakeRequested: day("22:00:00"), Record: asleepSince("20:00:00", ReasonSchedule), Now: day("22:00:00")},
			state: Awake, reason: ReasonWakeRequest, message: "A user asked for it at 2026-11-20T22:00:00Z; it may sleep at 2026-11-20T23:00:00Z, unless it is used until then. `teapot hibernate` puts it to sleep at once.",
			next: "2026-11-21T20:00:00Z Asleep", recheck: time.Hour, because: []string{"a user asked for it at 2026-11-20T22:00:00Z"}},
		{name: "and works on", in: Input{Spec: &unused, WakeRequested: day("22:00:00"), Users: Users{2, day("23:29:30")}, Record: woken("22:00:01", "20:00:00"), Now: day("23:30:00")},
			state: Awake, reason: ReasonWakeRequest, message: "A user asked for it at 2026-11-20T22:00:00Z, and it is used; it may sleep when nobody has used it for 1h0m0s. `teapot hibernate` puts it to sleep at once.",
			recheck: time.Hour, because: []string{"2 user connections; last at 2026-11-20T23:29:30Z", "a user asked for it at 2026-11-20T22:00:00Z"}},
		{name: "and goes", in: Input{Spec: &unused, WakeRequested: day("22:00:00"), Users: Users{0, day("23:30:00")}, Record: woken("22:00:01", "20:00:00"), Now: day("21T00:29:59")},
			state: Awake, reason: ReasonWakeRequest, recheck: time.Second, because: []string{"a user was connected until 2026-11-20T23:30:00Z", "a user asked for it at 2026-11-20T22:00:00Z"}},
		{name: "and an hour later it sleeps again", in: Input{Spec: &unused, WakeRequested: day("22:00:00"), Users: Users{0, day("23:30:00")}, Record: woken("22:00:01", "20:00:00"), Now: day("21T00:30:00")},
			state: Asleep, reason: ReasonSchedule},
		{name: "a user of last night, who is connected still, does not outdo the next night", in: Input{Spec: &unused, WakeRequested: day("19T22:00:00"), Users: Users{1, day("20:00:00")}, Record: woken("19T22:00:01", "19T20:00:00"), Now: day("20:00:00")},
			state: Asleep, reason: ReasonSchedule},
		{name: "a user wakes what was asked to sleep", in: Input{Spec: with(hourly, true), RequestedAt: day("10:00:00"), WakeRequested: day("12:00:00"), Record: asleepSince("10:00:00", ReasonRequested), Now: day("12:00:01")},
			state: Awake, reason: ReasonWakeRequest},
		{name: "hibernate after a user's request wins", in: Input{Spec: with(hourly, true), RequestedAt: day("12:05:00"), WakeRequested: day("12:00:00"), Users: Users{3, day("12:04:00")}, Record: woken("12:00:01", "10:00:00"), Now: day("12:05:00")},
			state: Asleep, reason: ReasonRequested},
		{name: "also within the second of the request", in: Input{Spec: with(hourly, true), RequestedAt: day("12:00:00"), WakeRequested: day("12:00:00.3"), Record: woken("12:00:00.4", "10:00:00"), Now: day("12:00:00.5")},
			state: Asleep, reason: ReasonRequested},
		{name: "also if the gateway's clock is ahead", in: Input{Spec: with(hourly, true), RequestedAt: day("12:01:00"), WakeRequested: day("12:02:00"), Record: woken("12:00:01", "10:00:00"), Now: day("12:01:01")},
			state: Asleep, reason: ReasonRequested},
		{name: "a request of before the sleep wakes nothing", in: Input{Spec: &hourly, WakeRequested: day("11:00:00"), Record: asleepSince("11:30:00", ReasonIdle), Now: day("11:30:01")},
			state: Asleep, reason: ReasonIdle},
		{name: "a request that was missed for long wakes nothing", in: Input{Spec: &hourly, WakeRequested: day("11:00:00"), Record: asleepSince("10:30:00", ReasonIdle), Now: day("12:00:00")},
			state: Asleep, reason: ReasonIdle},
		{name: "a clock that is an hour ahead is not believed", in: Input{Spec: &hourly, WakeRequested: day("13:00:00"), Record: asleepSince("10:30:00", ReasonIdle), Now: day("12:00:00")},
			state: Asleep, reason: ReasonIdle, recheck: 55 * time.Minute},
		{name: "a clock that is a minute ahead is", in: Input{Spec: &hourly, WakeRequested: day("12:01:00"), Record: asleepSince("10:30:00", ReasonIdle), Now: day("12:00:00")},
			state: Awake, reason: ReasonWakeRequest, recheck: time.Hour},
		{name: "wakeOnRequest is off", in: Input{Spec: &teapotv1.HibernationSpec{IdleAfter: hourly.IdleAfter, WakeOnRequest: ptr.To(false)}, WakeRequested: day("12:00:00"), Record: asleepSince("10:30:00", ReasonIdle), Now: day("12:00:00")},
			state: Asleep, reason: ReasonIdle, message: "Nobody had used it for 1h0m0s at 2026-11-20T10:30:00Z; `teapot resume` wakes it."},
		{name: "without idleAfter no request wakes", in: Input{Spec: with(teapotv1.HibernationSpec{}, true), WakeRequested: day("12:00:00"), Record: asleepSince("10:30:00", ReasonRequested), Now: day("12:00:00")},
			state: Asleep, reason: ReasonRequested},

		// Idle.
		{name: "nobody has used it for an hour: its cluster is asked", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Record: awakeSince("06:00:00"), Now: day("12:00:00")},
			state: Awake, reason: ReasonInUse, ask: true, recheck: time.Minute, because: []string{"its cluster has not told yet whether it has unfinished Jobs or pending pods"}},
		{name: "it has nothing to do", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Busy: &Busy{At: day("12:00:00")}, Record: awakeSince("06:00:00"), Now: day("12:00:01")},
			state: Asleep, reason: ReasonIdle, message: "Nobody had used it for 1h0m0s at 2026-11-20T12:00:01Z; `teapot resume` or a user's request wakes it."},
		{name: "it has", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Busy: &Busy{At: day("12:00:00"), Because: []string{"Job a/b is not finished", "pod a/c waits for a machine"}}, Record: awakeSince("06:00:00"), Now: day("12:00:01")},
			state: Awake, reason: ReasonInUse, message: "It is used. It may sleep when nobody has used it for 1h0m0s.",
			recheck: time.Hour - time.Second, because: []string{"Job a/b is not finished", "pod a/c waits for a machine"}},
		{name: "it had until a moment ago", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Busy: &Busy{At: day("12:00:00"), Last: day("11:50:00")}, Record: awakeSince("06:00:00"), Now: day("12:00:01")},
			state: Awake, reason: ReasonInUse, recheck: 50*time.Minute - time.Second, because: []string{"there was work in it until 2026-11-20T11:50:00Z"}},
		{name: "an answer of before counts no more", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Busy: &Busy{At: day("11:59:00")}, Record: awakeSince("06:00:00"), Now: day("12:00:00")},
			state: Awake, reason: ReasonInUse, ask: true},
		{name: "nor one that is two minutes old", in: Input{Spec: &hourly, Users: Users{0, day("11:00:00")}, Busy: &Busy{At: day("12:00:00")}, Record: awakeSince("06:00:00"), Now: day("12:02:00")},
			state: Awake, reason: ReasonInUse, ask: true},
		{name: "a user is connected for days", in: Input{Spec: &hourly, Users: Users{1, day("10T00:00:00")}, Record: awakeSince("06:00:00"), Now: day("12:00:00")},
			state: Awake, reason: ReasonInUse, message: "It is used. It may sleep when nobody has used it for 1h0m0s.", recheck: time.Hour, because: []string{"1 user connection; last at 2026-11-10T00:00:00Z"}},
		{name: "a schedule woke it: an hour to come", in: Input{Spec: &unused, Record: awakeSince("06:00:00"), Now: day("06:59:59")},
			state: Awake, reason: ReasonSchedule, recheck: time.Second, because: []string{"a schedule woke it at 2026-11-20T06:00:00Z"}},
		{name: "it sleeps for being idle, and not less for having been so since it sleeps", in: Input{Spec: &hourly, Busy: &Busy{At: day("12:00:00")}, Record: asleepSince("12:00:01", ReasonIdle), Now: day("12:00:02")},
			state: Asleep, reason: ReasonIdle},
		{name: "a gateway that is gone says still that somebody is connected", in: Input{Spec: &hourly, Users: Users{1, day("12:00:00")}, Record: asleepSince("12:00:01", ReasonIdle), Now: day("12:00:02")},
			state: Asleep, reason: ReasonIdle},
		{name: "asleep without a reason counts as idle", in: Input{Spec: &hourly, Record: asleepSince("10:00:00", ""), Now: day("12:00:00")},
			state: Asleep, reason: ReasonIdle},
		{name: "idle, and a schedule wakes it", in: Input{Spec: &unused, Record: asleepSince("05:00:00", ReasonIdle), Now: day("06:00:00")},
			state: Awake, reason: ReasonSchedule},
		{name: "idle, and resumed within the second", in: Input{Spec: with(hourly, false), RequestedAt: day("12:00:00"), Record: asleepSince("12:00:00.2", ReasonIdle), Now: day("12:00:00.9")},
			state: Awake, reason: ReasonResumed, message: "It was asked at 2026-11-20T12:00:00Z to be awake. It may sleep at 2026-11-20T13:00:00Z, unless it is used until then."},
		{name: "idleAfter is taken away", in: Input{Spec: &nightly, Record: asleepSince("10:00:00", ReasonIdle), Now: day("12:00:00")},
			state: Awake, reason: ReasonSchedule},
		{name: "enabled is taken away", in: Input{Spec: with(hourly, false), Record: asleepSince("10:00:00", ReasonRequested), Now: day("12:00:00")},
			state: Awake, reason: ReasonResumed},
		{name: "older than hibernation: an hour to come from now", in: Input{Spec: &hourly, Record: Record{EverRan: true}, Now: day("12:00:00")},
			state: Awake, reason: ReasonAwake, recheck: time.Hour, message: "Nothing has asked it to sleep. It may sleep at 2026-11-20T13:00:00Z, unless it is used until then."},

		// Certificates of machines that are kept.
		{name: "30 days without the machines' certificates", in: Input{Spec: with(hourly, true), WorkersKept: true, Record: asleepSince("01T00:00:00", ReasonRequested), Now: at(t, "2026-12-01T00:00:00Z")},
			state: Awake, reason: ReasonKubeletCertificates, message: "It slept for 30 days, and its machines renew their certificates now; it may sleep again at 2026-12-01T01:00:00Z.", recheck: time.Hour,
			because: []string{"its machines renew their certificates until 2026-12-01T01:00:00Z"}},
		{name: "a moment before", in: Input{Spec: with(hourly, true), WorkersKept: true, Record: asleepSince("01T00:00:00", ReasonRequested), Now: at(t, "2026-11-30T23:59:59Z")},
			state: Asleep, reason: ReasonRequested, recheck: time.Second},
		{name: "without machines", in: Input{Spec: with(hourly, true), Record: asleepSince("01T00:00:00", ReasonRequested), Now: at(t, "2027-12-01T00:00:00Z")},
			state: Asleep, reason: ReasonRequested},
		{name: "the renewal goes on for an hour, hibernate or not", in: Input{Spec: with(hourly, true), RequestedAt: day("12:10:00"), Operation: "a certificate is renewed",
			Record: Record{State: Awake, Reason: ReasonKubeletCertificates, Since: day("12:00:00"), AsleepSince: day("01T00:00:00"), EverRan: true}, Now: day("12:59:59")},
			state: Awake, reason: ReasonKubeletCertificates, recheck: time.Second},
		{name: "and not for longer", in: Input{Spec: with(hourly, true),
			Record: Record{State: Awake, Reason: ReasonKubeletCertificates, Since: day("12:00:00"), AsleepSince: day("01T00:00:00"), EverRan: true}, Now: day("13:00:00")},
			state: Asleep, reason: ReasonRequested},
		{name: "nor does idleAfter begin anew by it", in: Input{Spec: &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: 48 * time.Hour}}, Busy: &Busy{At: day("13:00:00")},
			Record: Record{State: Awake, Reason: ReasonKubeletCertificates, Since: day("12:00:00"), AsleepSince: day("01T00:00:00"), EverRan: true}, Now: day("13:00:00")},
			state: Asleep, reason: ReasonIdle},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.in.Created.IsZero() {
				test.in.Created = created
			}
			got := Decide(test.in)
			if got.State != test.state || got.Reason != test.reason || got.AskBusy != test.ask {
				t.Errorf("%s %s, ask %t; want %s %s, ask %t", got.State, got.Reason, got.AskBusy, test.state, test.reason, test.ask)
			}
			if test.message != "" && got.Message != test.message {
				t.Errorf("message\n%s\nwant\n%s", got.Message, test.message)
			}
			if test.recheck != 0 && got.RecheckAfter != test.recheck {
				t.Errorf("recheck after %s, want %s", got.RecheckAfter, test.recheck)
			}
			if next := got.Next; test.next != "" && (next == nil || stamp(next.Time.Time)+" "+string(next.Phase) != test.next) {
				t.Errorf("next is %v, want %s", next, test.next)
			}
			if test.because != nil && !slices.Equal(got.AwakeBecause, test.because) {
				t.Errorf("awake because %q, want %q", got.AwakeBecause, test.because)
			}
		})
	}
}

func TestToAskWhatIsToDoIsNoUse(t *testing.T) {
	// Its hour for the machines' certificates is over, and nobody has used it.
	now := at(t, "2026-11-20T12:00:00Z")
	in := Input{Spec: &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: 48 * time.Hour}}, Created: now.AddDate(0, -2, 0), Now: now,
		Record: Record{State: Awake, Reason: ReasonKubeletCertificates, Since: now.Add(-renewal), AsleepSince: now.AddDate(0, -1, 0), EverRan: true}}
	first := Decide(in)
	if !first.AskBusy || first.State != Awake {
		t.Fatalf("%s %s, ask %t; want it to ask", first.State, first.Reason, first.AskBusy)
	}
	in.Record, in.Busy = in.Record.After(first, time.Time{}, now), &Busy{At: now}
	if second := Decide(in); second.State != Asleep || second.Reason != ReasonIdle {
		t.Errorf("with the answer it is %s %s", second.State, second.Reason)
	}
}

func TestNothingToComeNeedsNoClock(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	record := Record{State: Asleep, Reason: ReasonRequested, Since: now, AsleepSince: now, EverRan: true}
	for name, in := range map[string]Input{
		"no hibernation":         {Record: Record{State: Awake, Since: now, EverRan: true}},
		"asleep until asked":     {Spec: with(hourly, true), Record: record},
		"being deleted":          {Spec: &unused, Deleting: true, Record: record},
		"awake without a reason": {Spec: with(teapotv1.HibernationSpec{}, false), RequestedAt: now, Record: Record{State: Awake, Since: now, EverRan: true}},
	} {
		in.Now = now.Add(time.Minute)
		if got := Decide(in); got.RecheckAfter != 0 || got.Next != nil {
			t.Errorf("%s: recheck after %s, next %v; want neither", name, got.RecheckAfter, got.Next)
		}
	}
}

func TestAClockThatIsAheadDoesNotWakeWhatIsPutToSleepAfterwards(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	in := Input{Spec: with(hourly, true), Created: now.AddDate(0, 0, -1), RequestedAt: now, WakeRequested: now.Add(2 * time.Minute),
		Record: Record{State: Awake, Reason: ReasonWakeRequest, Since: now.Add(-time.Minute), AsleepSince: now.Add(-time.Hour), EverRan: true}, Now: now}
	for range 300 {
		got := Decide(in)
		if got.State != Asleep {
			t.Fatalf("%s after `teapot hibernate` it is %s %s", in.Now.Sub(now), got.State, got.Reason)
		}
		in.Record = in.Record.After(got, in.WakeRequested, in.Now)
		in.Now = in.Now.Add(time.Second)
	}
}

func TestWorkIsShownUpToALimit(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	in := Input{Spec: with(unused, false), Created: now, RequestedAt: now, WakeRequested: now, Operation: "an operation", Now: now,
		Users: Users{Connections: 1}, Busy: &Busy{At: now, Because: slices.Repeat([]string{"a Job"}, 1000)},
		Record: Record{State: Awake, Since: now, AsleepSince: now.Add(-time.Hour), EverRan: true}}
	got := Decide(in)
	if len(got.AwakeBecause) > 16 {
		t.Errorf("%d sentences, and status.hibernation.awakeBecause holds 16", len(got.AwakeBecause))
	}
	if !slices.Contains(got.AwakeBecause, "992 more Jobs and pods like these") {
		t.Errorf("awake because %q", got.AwakeBecause)
	}
}

func TestNothingIsSaidAnewWhileNothingChanges(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	said := now.Add(-time.Second) // by a gateway
	awake := Record{State: Awake, Reason: ReasonInUse, Since: now.Add(-24 * time.Hour), AsleepSince: now.Add(-25 * time.Hour), EverRan: true}
	asleep := Record{State: Asleep, Reason: ReasonIdle, Since: now.Add(-time.Hour), AsleepSince: now.Add(-time.Hour), EverRan: true}
	for name, in := range map[string]func(now time.Time) Input{
		"a Job": func(now time.Time) Input {
			return Input{Record: awake, Busy: &Busy{At: now.Add(-time.Second), Last: now.Add(-time.Second), Because: []string{"Job a/b is not finished"}}}
		},
		"users": func(now time.Time) Input {
			return Input{Record: awake, Users: Users{Connections: 2, Last: said}}
		},
		"users of a request": func(now time.Time) Input {
			return Input{Record: awake, WakeRequested: awake.Since.Add(-time.Second), Users: Users{Connections: 2, Last: said}}
		},
		"a user who has gone": func(time.Time) Input {
			return Input{Record: awake, Users: Users{Last: now}}
		},
		"an operation": func(now time.Time) Input {
			return Input{Record: awake, Operation: "an operation", Busy: &Busy{At: now}}
		},
		"asleep": func(time.Time) Input { return Input{Record: asleep} },
	} {
		var first Decision
		for i := range 50 {
			moment := now.Add(time.Duration(i) * time.Minute)
			input := in(moment)
			input.Spec, input.Created, input.Now = &unused, now.AddDate(0, -1, 0), moment
			got := Decide(input)
			if i == 0 {
				first = got
			}
			if got.Message != first.Message || !slices.Equal(got.AwakeBecause, first.AwakeBecause) || got.Next.Time != first.Next.Time {
				t.Errorf("%s, after %d minutes: %q, %q, %v; at first %q, %q, %v", name, i, got.Message, got.AwakeBecause, got.Next, first.Message, first.AwakeBecause, first.Next)
				break
			}
		}
	}
}

func TestWakesOnRequest(t *testing.T) {
	for name, test := range map[string]struct {
		spec *teapotv1.HibernationSpec
		want bool
	}{
		"no hibernation":    {nil, false},
		"without idleAfter": {&nightly, false},
		"with idleAfter":    {&hourly, true},
		"off":               {&teapotv1.HibernationSpec{IdleAfter: hourly.IdleAfter, WakeOnRequest: ptr.To(false)}, false},
	} {
		if got := WakesOnRequest(test.spec); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	week := []teapotv1.Day{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
	schedules := []teapotv1.HibernationSchedule{{Days: week, HibernateAt: "20:00", ResumeAt: "06:00", TimeZone: "Europe/Berlin"}}
	now := at(b, "2026-11-20T12:00:00Z")
	for name, spec := range map[string]*teapotv1.HibernationSpec{
		"none": nil, "one schedule": {Schedules: schedules, IdleAfter: hourly.IdleAfter},
		"16 schedules": {Schedules: slices.Repeat(schedules, 16), IdleAfter: hourly.IdleAfter},
	} {
		in := Input{Spec: spec, Created: now.AddDate(-1, 0, 0), Record: Record{State: Asleep, Reason: ReasonIdle, Since: now, AsleepSince: now, EverRan: true}, Now: now.Add(time.Hour)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(in)
			}
		})
	}
}
