package hibernation

import (
	"fmt"
	"strings"
	"sync"
	"time"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// edge is a moment at which a schedule changes what a control plane is to be.
type edge struct {
	// at is the moment; zero: there is no edge.
	at time.Time
	// skipped orders the clock times that one change of the clocks left out, which all count at the
	// same moment: by how much each comes before the time that the clocks show then. 0 for a time that was
	// not left out, and negative otherwise.
	skipped time.Duration
	// to is the state from then on.
	to State
}

// after says whether e outweighs other: the later one does, and of two at the same moment the one that
// comes later by the clock, and then the one that wakes.
func (e edge) after(other edge) bool {
	switch {
	case !e.at.Equal(other.at):
		return e.at.After(other.at)
	case e.skipped != other.skipped:
		return e.skipped > other.skipped
	}
	return e.to == Awake && other.to == Asleep
}

// weekly is a clock time on days of the week.
type weekly struct {
	// days has bit 1<<time.Weekday set for each day.
	days uint8
	// hour and minute are the clock time in location.
	hour, minute int
	location     *time.Location
	to           State
}

// timetable is all clock times of a control plane's schedules.
type timetable []weekly

// newTimetable reads schedules. Those that cannot be followed are left out, and problem names them.
func newTimetable(schedules []teapotv1.HibernationSchedule) (table timetable, problem string) {
	var problems []string
	for i, schedule := range schedules {
		entries, err := read(schedule)
		if err != nil {
			problems = append(problems, fmt.Sprintf("spec.hibernation.schedules[%d].%s", i, err))
			continue
		}
		table = append(table, entries...)
	}
	return table, strings.Join(problems, "; ")
}

// read reads one schedule. Its errors begin with the field's name.
func read(schedule teapotv1.HibernationSchedule) ([]weekly, error) {
	location, err := loadLocation(schedule.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("timeZone: this version of Teapot does not know %q, and does not follow the schedule: use another name of the IANA database, for example Europe/Berlin", schedule.TimeZone)
	}
	days, err := daysOf(schedule.Days)
	if err != nil {
		return nil, err
	}
	entries := make([]weekly, 0, 2)
	for _, entry := range [...]struct {
		field, clock string
		to           State
	}{{"hibernateAt", schedule.HibernateAt, Asleep}, {"resumeAt", schedule.ResumeAt, Awake}} {
		if entry.clock == "" {
			continue
		}
		clock, err := time.Parse("15:04", entry.clock)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a time of day: use 00:00 to 23:59", entry.field, entry.clock)
		}
		entries = append(entries, weekly{days: days, hour: clock.Hour(), minute: clock.Minute(), location: location, to: entry.to})
	}
	return entries, nil
}

// daysOf is the set of days, every day if none is named.
func daysOf(days []teapotv1.Day) (uint8, error) {
	if len(days) == 0 {
		return 1<<7 - 1, nil
	}
	var set uint8
	for _, day := range days {
		weekday := time.Sunday
		for weekday <= time.Saturday && weekday.String() != string(day) {
			weekday++
		}
		if weekday > time.Saturday {
			return 0, fmt.Errorf("days: %q is not a day of the week: use Monday to Sunday", day)
		}
		set |= 1 << weekday
	}
	return set, nil
}

// locations remembers the time zones that were used, by name: to read one takes longer than all the
// rest of a decision. The names that can be loaded are those of the IANA database, about 600.
var locations sync.Map

func loadLocation(name string) (*time.Location, error) {
	if known, ok := locations.Load(name); ok {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	locations.Store(name, location)
	return location, nil
}

// last is the last edge to state at or before now, or to any state if it is empty.
func (t timetable) last(now time.Time, to State) edge {
	var last edge
	for _, entry := range t {
		if to != "" && entry.to != to {
			continue
		}
		if e := entry.last(now); !e.at.IsZero() && e.after(last) {
			last = e
		}
	}
	return last
}

// next is the first edge after now to a state, or to any state if it is empty. Of several at the same
// moment it is the one that counts among them.
func (t timetable) next(now time.Time, to State) edge {
	var next edge
	for _, entry := range t {
		if to != "" && entry.to != to {
			continue
		}
		e := entry.next(now)
		if e.at.IsZero() {
			continue
		}
		if next.at.IsZero() || e.at.Before(next.at) || e.at.Equal(next.at) && e.after(next) {
			next = e
		}
	}
	return next
}

// nextTo is the first edge after now to a state which no other edge at the same moment outweighs.
func (t timetable) nextTo(now time.Time, to State) edge {
	for e := t.next(now, to); !e.at.IsZero() && e.at.Sub(now) <= span*24*time.Hour; e = t.next(e.at, to) {
		if t.next(e.at.Add(-1), "").to == to {
			return e
		}
	}
	return edge{}
}

// span is how many days are looked at in each direction: a week, and one for clocks that are
// changed by a whole day.
const span = 8

// last is the last edge at or before now. Edges come in the order of their dates, so the first that is
// found backwards is it. When the clocks have been set back over midnight, that may be tomorrow's.
func (w weekly) last(now time.Time) edge {
	year, month, day := now.In(w.location).Date()
	for offset := 1; offset >= -span; offset-- {
		if e := w.on(year, month, day+offset); !e.at.IsZero() && !e.at.After(now) {
			return e
		}
	}
	return edge{}
}

// next is the first edge after now.
func (w weekly) next(now time.Time) edge {
	year, month, day := now.In(w.location).Date()
	for offset := -1; offset <= span; offset++ {
		if e := w.on(year, month, day+offset); e.at.After(now) {
			return e
		}
	}
	return edge{}
}

// on is the edge of a date; there is none on other days of the week.
func (w weekly) on(year int, month time.Month, day int) edge {
	clock := time.Date(year, month, day, w.hour, w.minute, 0, 0, time.UTC)
	if w.days&(1<<clock.Weekday()) == 0 {
		return edge{}
	}
	at, skipped := firstAt(clock, w.location)
	return edge{at: at, skipped: skipped, to: w.to}
}

// firstAt is the first moment at which the clocks of a place show what clock shows in UTC. If a change of
// the clocks leaves that out, it is the moment of the change, and skipped says how far before the
// time shown then it lies. (time.Date gives either of two moments in both cases, the other one
// east of Greenwich than west of it.)
func firstAt(clock time.Time, location *time.Location) (at time.Time, skipped time.Duration) {
	at = time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), 0, 0, location)
	start, end := at.ZoneBounds()
	if off := shown(at).Sub(clock); off != 0 {
		change := end
		if off > 0 {
			change = start
		}
		return change, clock.Sub(shown(change))
	}
	if start.IsZero() {
		return at, 0
	}
	_, offset := at.Zone()
	_, before := start.Add(-1).Zone()
	if first := at.Add(time.Duration(offset-before) * time.Second); first.Before(start) && before > offset {
		return first, 0
	}
	return at, 0
}

// shown is what the clocks show at a moment in its location, as a time in UTC.
func shown(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}
