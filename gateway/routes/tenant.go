package routes

import (
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/teapot-cloud/teapot/controlplane/route"
)

const (
	// QuietPeriod is how long a client that was connected when its control plane went down does not
	// wake it, from the end of its last connection on: a console or a watch connects again by itself.
	QuietPeriod = 2 * time.Minute

	// settledAfter is how long after it was decided that a control plane is awake its API server is
	// taken to be one that serves. Before, it is asked first: one that starts answers for a moment, and
	// what it answers is 403.
	settledAfter = 10 * time.Minute

	// afterDecision is how long after the decision to sleep a request is made at the earliest, whatever
	// this gateway's clock says: the controllers take one of before for one that they have heard. A
	// second, since `teapot hibernate` names the second that it asks in, and wins within it.
	afterDecision = time.Second
)

// Answer is what an API server said when it was asked whether it is ready.
type Answer int

// Values of Answer. The zero value is that it said nothing, or was not asked yet.
const (
	NoAnswer Answer = iota
	NotReady
	Ready
)

// Tenant is a control plane as this gateway knows it: the controllers' word, and who is connected. All
// that is here is forgotten with the process. It has no clock and does nothing: it is told the time,
// and says what is to be done.
type Tenant struct {
	// Lease is the name of the Lease.
	Lease types.NamespacedName

	mu        sync.Mutex
	route     route.Route
	decidedAt time.Time // when this gateway heard of the last decision, by its own clock
	gone      bool
	goneAt    time.Time
	changed   chan struct{} // closed when something changes that a held connection waits for

	admitted int // connections of any kind, for the limit

	// users are the connections that were passed on, by client.
	users     map[netip.Addr]int
	open      int
	lastEnded time.Time
	quiet     map[netip.Addr]time.Time // until when, of those whose connections have ended since it sleeps

	reported     time.Time // when activity was last written
	ended        bool      // a connection has ended since
	toldOfUsers  bool      // what was last written says that there are some
	requested    time.Time // when a wake was last asked for according to whoever did, whichever gateway
	requestedAt  time.Time // the same by this gateway's own clock, as near as it knows
	unanswered   bool      // the API server has to be asked whether it is ready
	wasReady     bool      // it was, since it woke
	answersSince time.Time // when it first said that it is not ready, since it woke
	held         int
	asking       bool // somebody asks it
	refusedUntil time.Time
}

func newTenant(lease types.NamespacedName) *Tenant {
	return &Tenant{Lease: lease, changed: make(chan struct{}), users: map[netip.Addr]int{}, quiet: map[netip.Addr]time.Time{}}
}

// State is what a connection to a control plane is decided by.
type State struct {
	Route route.Route
	// Gone: there is no such control plane any more.
	Gone bool
	// Serves: its API server may be dialled. Otherwise it sleeps, or is to be asked first.
	Serves bool
	// Settled: its API server has not started lately, so that one that is not ready is better than none.
	Settled bool
	// Changed is closed when any of this changes, but for Settled.
	Changed <-chan struct{}
}

// State returns the present state.
func (t *Tenant) State(now time.Time) State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return State{
		Route: t.route, Gone: t.gone, Serves: !t.route.Asleep && !t.unanswered,
		Settled: t.settled(now), Changed: t.changed,
	}
}

// settled: an API server that was ready is one that has started. One that never was may have been
// waiting for its machine or its image until now, however long ago it was decided that it is awake; its
// first answers would be 403. So that one has to be in trouble for as long by its own answers.
func (t *Tenant) settled(now time.Time) bool {
	if t.route.Asleep {
		return false
	}
	if t.wasReady {
		return now.Sub(t.route.Since) >= settledAfter
	}
	return !t.answersSince.IsZero() && now.Sub(t.answersSince) >= settledAfter
}

// announce tells those who wait. The caller holds the lock.
func (t *Tenant) announce() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// update takes the controllers' word, and when a wake was last asked for according to the Lease.
func (t *Tenant) update(r route.Route, requested, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if requested.After(t.requested) {
		t.requested, t.requestedAt = requested, requested
		if requested.After(now) {
			t.requestedAt = now
		}
	}
	was, wasGone := t.route, t.gone
	if was == r && !wasGone {
		return
	}
	t.route = r
	if wasGone {
		// What was written of its users may be gone with the Lease.
		t.gone, t.reported = false, time.Time{}
	}
	first := t.decidedAt.IsZero()
	decided := first || !was.Since.Equal(r.Since)
	if decided {
		t.decidedAt = now
	}
	switch {
	case r.Asleep && !was.Asleep:
		for client := range t.users {
			t.quiet[client] = time.Time{} // as long as it is connected
		}
	case !r.Asleep:
		clear(t.quiet)
		if !was.Asleep && !decided && was.Backend == r.Backend {
			break
		}
		t.unanswered = was.Asleep || now.Sub(r.Since) < settledAfter
		if was.Asleep || decided {
			// A gateway that has just started and finds one long awake takes it that it was ready: it
			// cannot know, and otherwise each restart of a gateway would shut out the users of API
			// servers in trouble.
			t.wasReady, t.answersSince = !t.unanswered, time.Time{}
		}
	}
	t.announce()
}

// remove says that the control plane is gone.
func (t *Tenant) remove(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone, t.goneAt = true, now
	t.announce()
}

// forgettable says of a control plane that is gone that nothing is known of it any more that would
// matter if it came back: nobody is connected, and nobody who was is to be quiet.
func (t *Tenant) forgettable(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open == 0 && now.Sub(t.goneAt) >= QuietPeriod
}

// Admit takes one more connection, unless there are as many as there may be.
func (t *Tenant) Admit(limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.admitted >= limit {
		return false
	}
	t.admitted++
	return true
}

// Leave gives back what Admit took.
func (t *Tenant) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.admitted--
}

// opened notes a connection that is passed on.
func (t *Tenant) opened(client netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users[client]++
	t.open++
}

// closed notes the end of a connection that was passed on.
func (t *Tenant) closed(client netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.ended, t.lastEnded = true, now
	if t.users[client]--; t.users[client] > 0 {
		return
	}
	delete(t.users, client)
	if _, connectedThen := t.quiet[client]; connectedThen {
		t.quiet[client] = now.Add(QuietPeriod)
	}
}

// mayWake says whether a connection of this client is a reason to ask for a wake now, and as of when;
// it notes that it is asked for if so.
func (t *Tenant) mayWake(client netip.Addr, now time.Time) (as time.Time, may bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone || !t.route.Asleep || !t.route.WakeOnRequest || now.Before(t.refusedUntil) {
		return time.Time{}, false
	}
	if until, connectedThen := t.quiet[client]; connectedThen && (t.users[client] > 0 || now.Before(until)) {
		return time.Time{}, false
	}
	// What was asked for before it went to sleep has been heard.
	if t.requested.After(t.asleepSince()) && now.Sub(t.requestedAt) < route.ActivityEvery {
		return time.Time{}, false
	}
	t.requested, t.requestedAt = t.timeOfRequest(now), now
	return t.requested, true
}

// asleepSince is when it was decided that it sleeps. Requests up to then count for nothing, and where
// a gateway's clock was ahead, that is later than the decision.
func (t *Tenant) asleepSince() time.Time {
	if t.route.AsleepSince.After(t.route.Since) {
		return t.route.AsleepSince
	}
	return t.route.Since
}

// timeOfRequest is now, as the controllers understand it. If this gateway's clock is behind theirs, as
// much time has passed since the decision as since this gateway heard of it, at least; what passes is
// right also where the clock is set meanwhile.
func (t *Tenant) timeOfRequest(now time.Time) time.Time {
	at := now
	if theirs := t.route.Since.Add(now.Sub(t.decidedAt)); theirs.After(at) {
		at = theirs
	}
	if earliest := t.asleepSince().Add(afterDecision); earliest.After(at) {
		at = earliest
	}
	return at
}

// wakeFailed says that the wake that was to be asked for could not be, and until when not to try.
func (t *Tenant) wakeFailed(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requested, t.requestedAt, t.refusedUntil = time.Time{}, time.Time{}, until
}

// tryAgain lets held connections ask once more.
func (t *Tenant) tryAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.announce()
}

// Hold notes a connection that waits for the API server, until release is called.
func (t *Tenant) Hold() (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.held--
	}
}

// Unanswered says that the API server could not be reached: it is asked before the next connection
// is passed on.
func (t *Tenant) Unanswered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unanswered = true
}

// BeginAsking says whether the caller is the one to ask the API server whether it is ready. One who is
// goes on until KeepAsking says no.
func (t *Tenant) BeginAsking() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking || !t.toBeAsked() {
		return false
	}
	t.asking = true
	return true
}

// KeepAsking says whether the API server is still to be asked, at which address, and takes note of its
// last answer.
func (t *Tenant) KeepAsking(last Answer, now time.Time) (route.Route, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.route.Asleep || last == NoAnswer:
	case last == NotReady:
		if t.answersSince.IsZero() {
			t.answersSince = now
		}
	case t.unanswered:
		t.unanswered, t.wasReady = false, true
		t.announce()
	}
	t.asking = t.toBeAsked()
	return t.route, t.asking
}

func (t *Tenant) toBeAsked() bool {
	return !t.gone && !t.route.Asleep && t.unanswered && t.held > 0
}

// activity says what is to be written about users now; or else how long until there may be something
// to write, zero if not before something changes.
func (t *Tenant) activity(now time.Time) (activity route.Activity, write bool, again time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone || t.route.Asleep || t.open == 0 && !t.ended {
		return route.Activity{}, false, 0
	}
	if wait := t.reported.Add(route.ActivityEvery).Sub(now); wait > 0 {
		return route.Activity{}, false, wait
	}
	return t.present(now), true, 0
}

func (t *Tenant) present(now time.Time) route.Activity {
	if t.open == 0 {
		return route.Activity{At: t.lastEnded}
	}
	return route.Activity{Connections: t.open, At: now}
}

// wrote notes that activity was written. It returns how long until it is to be written again.
func (t *Tenant) wrote(activity route.Activity, now time.Time) (again time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reported, t.toldOfUsers = now, activity.Connections > 0
	if activity.At.Equal(t.lastEnded) || activity.At.After(t.lastEnded) {
		t.ended = false
	}
	if t.open > 0 || t.ended {
		return route.ActivityEvery
	}
	return 0
}

// last is what is to be written when this gateway ends: that it has no users any more.
func (t *Tenant) last(now time.Time) (route.Activity, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone || t.route.Asleep || t.open == 0 && !t.ended && !t.toldOfUsers {
		return route.Activity{}, false
	}
	if t.open > 0 {
		return route.Activity{At: now}, true
	}
	return route.Activity{At: t.lastEnded}, true
}
