package hibernation

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// at reads a time in RFC 3339, in UTC.
func at(t testing.TB, value string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, value)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.UTC()
}

func table(t testing.TB, schedules ...teapotv1.HibernationSchedule) timetable {
	t.Helper()
	read, problem := newTimetable(schedules)
	if problem != "" {
		t.Fatal(problem)
	}
	return read
}

func TestClockTimesOnDaysWhenClocksChange(t *testing.T) {
	for _, test := range []struct {
		name, zone, clock string
		// from is where to look from; want are the next three moments.
		from string
		want [3]string
	}{
		{"Berlin, in the hour left out: when the clocks have changed", "Europe/Berlin", "02:30", "2026-03-27T12:00:00Z",
			[3]string{"2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"Berlin, at the start of the hour left out", "Europe/Berlin", "02:00", "2026-03-27T12:00:00Z",
			[3]string{"2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
		{"Berlin, at its end", "Europe/Berlin", "03:00", "2026-03-27T12:00:00Z",
			[3]string{"2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
		{"Berlin, in the evening before and after", "Europe/Berlin", "20:00", "2026-03-27T22:00:00Z",
			[3]string{"2026-03-28T19:00:00Z", "2026-03-29T18:00:00Z", "2026-03-30T18:00:00Z"}},
		{"Berlin, in the hour that comes twice: the first time", "Europe/Berlin", "02:30", "2026-10-23T12:00:00Z",
			[3]string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"Berlin, at the start of the hour that comes twice", "Europe/Berlin", "02:00", "2026-10-23T12:00:00Z",
			[3]string{"2026-10-24T00:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"}},
		{"Berlin, after it", "Europe/Berlin", "03:00", "2026-10-23T12:00:00Z",
			[3]string{"2026-10-24T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"}},
		{"New York, in the hour left out", "America/New_York", "02:30", "2026-03-06T12:00:00Z",
			[3]string{"2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}},
		{"New York, in the hour that comes twice", "America/New_York", "01:30", "2026-10-30T12:00:00Z",
			[3]string{"2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		{"Lord Howe, in the half hour left out", "Australia/Lord_Howe", "02:15", "2026-10-02T00:00:00Z",
			[3]string{"2026-10-02T15:45:00Z", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		{"Lord Howe, in the half hour that comes twice", "Australia/Lord_Howe", "01:45", "2026-04-03T00:00:00Z",
			[3]string{"2026-04-03T14:45:00Z", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
		{"Kathmandu, which changes nothing", "Asia/Kathmandu", "02:30", "2026-03-28T00:00:00Z",
			[3]string{"2026-03-28T20:45:00Z", "2026-03-29T20:45:00Z", "2026-03-30T20:45:00Z"}},
		{"Kathmandu, on the day of its quarter of an hour", "Asia/Kathmandu", "00:05", "1985-12-30T00:00:00Z",
			[3]string{"1985-12-30T18:35:00Z", "1985-12-31T18:30:00Z", "1986-01-01T18:20:00Z"}},
		{"Apia, on the day left out", "Pacific/Apia", "20:00", "2011-12-29T07:00:00Z",
			[3]string{"2011-12-30T06:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T06:00:00Z"}},
		{"Havana, whose clocks go back over midnight", "America/Havana", "00:30", "2026-10-31T12:00:00Z",
			[3]string{"2026-11-01T04:30:00Z", "2026-11-02T05:30:00Z", "2026-11-03T05:30:00Z"}},
		{"St. John's, whose clocks went back to the day before", "America/St_Johns", "00:00", "2010-11-06T12:00:00Z",
			[3]string{"2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z", "2010-11-09T03:30:00Z"}},
		{"UTC is the default", "", "02:30", "2026-03-28T00:00:00Z",
			[3]string{"2026-03-28T02:30:00Z", "2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			times := table(t, teapotv1.HibernationSchedule{HibernateAt: test.clock, TimeZone: test.zone})
			now := at(t, test.from)
			for _, want := range test.want {
				next := times.next(now, "")
				if got := stamp(next.at); got != want {
					t.Fatalf("next after %s: %s, want %s", stamp(now), got, want)
				}
				if got := times.last(next.at.Add(-1), ""); got.at.After(now) {
					t.Errorf("last before %s: %s, which next did not name", want, stamp(got.at))
				}
				if got := times.last(next.at, ""); !got.at.Equal(next.at) {
					t.Errorf("last at %s: %s", want, stamp(got.at))
				}
				now = next.at
			}
		})
	}
}

func TestEveryEdgeIsFoundFromBothSides(t *testing.T) {
	for zone, year := range map[string]int{
		"Europe/Berlin": 2026, "America/New_York": 2026, "Australia/Lord_Howe": 2026, "Pacific/Apia": 2011, "America/St_Johns": 2010,
	} {
		times := table(t,
			teapotv1.HibernationSchedule{HibernateAt: "02:15", ResumeAt: "02:45", TimeZone: zone},
			teapotv1.HibernationSchedule{HibernateAt: "23:30", ResumeAt: "00:00", TimeZone: zone, Days: []teapotv1.Day{"Saturday", "Sunday"}})
		now := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		last, next := times.last(now, ""), times.next(now, "")
		for ; now.Year() == year; now = now.Add(11 * time.Minute) {
			for !next.at.After(now) {
				last, next = next, times.next(next.at, "")
			}
			if got := times.last(now, ""); got != last {
				t.Fatalf("%s at %s: last is %v, and going forward it was %v", zone, stamp(now), got, last)
			}
			if got := times.next(now, ""); got != next {
				t.Fatalf("%s at %s: next is %v, and going forward it was %v", zone, stamp(now), got, next)
			}
		}
	}
}

func TestWhichEdgeCounts(t *testing.T) {
	const night = "2026-11-21T00:00:00Z" // a Saturday
	for _, test := range []struct {
		name      string
		schedules []teapotv1.HibernationSchedule
		now       string
		last      State
		lastAt    string
		nextSleep string
		nextWake  string
	}{
		{"an hour of sleep each day", []teapotv1.HibernationSchedule{{HibernateAt: "20:00", ResumeAt: "06:00"}}, night,
			Asleep, "2026-11-20T20:00:00Z", "2026-11-21T20:00:00Z", "2026-11-21T06:00:00Z"},
		{"at an edge it counts", []teapotv1.HibernationSchedule{{HibernateAt: "00:00", ResumeAt: "06:00"}}, night,
			Asleep, night, "2026-11-22T00:00:00Z", "2026-11-21T06:00:00Z"},
		{"working days", []teapotv1.HibernationSchedule{{Days: []teapotv1.Day{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}, HibernateAt: "20:00", ResumeAt: "06:00"}}, "2026-11-21T12:00:00Z",
			Asleep, "2026-11-20T20:00:00Z", "2026-11-23T20:00:00Z", "2026-11-23T06:00:00Z"},
		{"once a week", []teapotv1.HibernationSchedule{{Days: []teapotv1.Day{"Saturday"}, HibernateAt: "00:01"}}, night,
			Asleep, "2026-11-14T00:01:00Z", "2026-11-21T00:01:00Z", ""},
		{"days are the zone's", []teapotv1.HibernationSchedule{{Days: []teapotv1.Day{"Saturday"}, ResumeAt: "01:00", TimeZone: "Pacific/Auckland"}}, night,
			Awake, "2026-11-20T12:00:00Z", "", "2026-11-27T12:00:00Z"},
		{"both at once, of two schedules: it comes back", []teapotv1.HibernationSchedule{{HibernateAt: "20:00"}, {ResumeAt: "21:00", TimeZone: "Europe/Berlin"}, {HibernateAt: "12:00"}}, "2026-11-20T20:30:00Z",
			Awake, "2026-11-20T20:00:00Z", "2026-11-21T12:00:00Z", "2026-11-21T20:00:00Z"},
		{"both at once, to come: it does not sleep then", []teapotv1.HibernationSchedule{{HibernateAt: "20:00"}, {ResumeAt: "21:00", TimeZone: "Europe/Berlin"}, {HibernateAt: "12:00"}}, "2026-11-20T12:30:00Z",
			Asleep, "2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z", "2026-11-20T20:00:00Z"},
		{"both in the hour left out: the clock's order, to sleep", []teapotv1.HibernationSchedule{{HibernateAt: "02:45", ResumeAt: "02:15", TimeZone: "Europe/Berlin"}}, "2026-03-29T01:00:00Z",
			Asleep, "2026-03-29T01:00:00Z", "2026-03-30T00:45:00Z", "2026-03-30T00:15:00Z"},
		{"both in the hour left out: the clock's order, to come back", []teapotv1.HibernationSchedule{{HibernateAt: "02:15", ResumeAt: "02:45", TimeZone: "Europe/Berlin"}}, "2026-03-29T01:00:00Z",
			Awake, "2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z", "2026-03-30T00:45:00Z"},
		{"sleep from within the hour left out, back at its end", []teapotv1.HibernationSchedule{{HibernateAt: "02:59", ResumeAt: "03:00", TimeZone: "Europe/Berlin"}}, "2026-03-29T01:00:00Z",
			Awake, "2026-03-29T01:00:00Z", "2026-03-30T00:59:00Z", "2026-03-30T01:00:00Z"},
		{"back within the hour left out, sleep at its end", []teapotv1.HibernationSchedule{{HibernateAt: "03:00", ResumeAt: "02:59", TimeZone: "Europe/Berlin"}}, "2026-03-29T01:00:00Z",
			Asleep, "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z", "2026-03-30T00:59:00Z"},
		{"a night over a day left out goes on", []teapotv1.HibernationSchedule{{HibernateAt: "20:00", ResumeAt: "06:00", TimeZone: "Pacific/Apia"}}, "2011-12-30T10:00:00Z",
			Asleep, "2011-12-30T10:00:00Z", "2011-12-31T06:00:00Z", "2011-12-30T16:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			times, now := table(t, test.schedules...), at(t, test.now)
			last := times.last(now, "")
			if last.to != test.last || stamp(last.at) != test.lastAt {
				t.Errorf("last is %s at %s, want %s at %s", last.to, stamp(last.at), test.last, test.lastAt)
			}
			for to, want := range map[State]string{Asleep: test.nextSleep, Awake: test.nextWake} {
				next, got := times.nextTo(now, to), ""
				if !next.at.IsZero() {
					got = stamp(next.at)
				}
				if got != want {
					t.Errorf("next to %s is at %q, want %q", to, got, want)
				}
			}
		})
	}
}

func TestNoEdgesWithoutSchedules(t *testing.T) {
	now := at(t, "2026-11-21T00:00:00Z")
	none := table(t)
	if got := none.last(now, ""); got != (edge{}) {
		t.Errorf("last is %v", got)
	}
	if got := none.nextTo(now, Awake); got != (edge{}) {
		t.Errorf("next is %v", got)
	}
}

func TestSchedulesThatCannotBeFollowed(t *testing.T) {
	good := teapotv1.HibernationSchedule{HibernateAt: "20:00"}
	times, problem := newTimetable([]teapotv1.HibernationSchedule{
		good, {HibernateAt: "20:00", TimeZone: "Mars/Olympus"}, {HibernateAt: "24:00"}, {ResumeAt: "6"}, {HibernateAt: "20:00", Days: []teapotv1.Day{"Someday"}}})
	if len(times) != 1 {
		t.Errorf("%d clock times are followed, want the one that can be", len(times))
	}
	for _, want := range []string{
		`spec.hibernation.schedules[1].timeZone: this version of Teapot does not know "Mars/Olympus"`,
		`spec.hibernation.schedules[2].hibernateAt: "24:00" is not a time of day: use 00:00 to 23:59`,
		`spec.hibernation.schedules[3].resumeAt: "6" is not a time of day`,
		`spec.hibernation.schedules[4].days: "Someday" is not a day of the week: use Monday to Sunday`,
	} {
		if !strings.Contains(problem, want) {
			t.Errorf("the problem %q does not say %q", problem, want)
		}
	}
}
