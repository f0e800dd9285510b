package routes

import (
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/teapot-cloud/teapot/controlplane/route"
)

var (
	start   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	console = netip.MustParseAddr("198.51.100.1")
	another = netip.MustParseAddr("198.51.100.2")
)

// at is a time so long after the start.
func at(d time.Duration) time.Time { return start.Add(d) }

func awake(since time.Time) route.Route {
	return route.Route{Host: "acme.red.example.org", Backend: netip.MustParseAddrPort("192.0.2.1:6443"), Since: since, WakeOnRequest: true}
}

func asleep(since time.Time) route.Route {
	r := awake(since)
	r.Asleep, r.AsleepSince = true, since
	return r
}

// known is a control plane of which the controllers said this at the start.
func known(r route.Route) *Tenant {
	tenant := newTenant(types.NamespacedName{Namespace: "tcp-acme", Name: route.LeaseName})
	tenant.update(r, time.Time{}, start)
	return tenant
}

// TestMayWake: one request a minute, of clients that may, for a control plane that sleeps.
func TestMayWake(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func() *Tenant
		at    time.Duration
		want  bool
	}{
		{"asleep", func() *Tenant { return known(asleep(at(-time.Hour))) }, 0, true},
		{"awake", func() *Tenant { return known(awake(at(-time.Hour))) }, 0, false},
		{"not to be woken by requests", func() *Tenant {
			r := asleep(at(-time.Hour))
			r.WakeOnRequest = false
			return known(r)
		}, 0, false},
		{"gone", func() *Tenant { x := known(asleep(start)); x.remove(start); return x }, 0, false},
		{"asked for a moment ago", func() *Tenant { x := known(asleep(at(-time.Hour))); x.mayWake(another, start); return x }, 59 * time.Second, false},
		{"asked for a minute ago", func() *Tenant { x := known(asleep(at(-time.Hour))); x.mayWake(another, start); return x }, time.Minute, true},
		{"asked for by another gateway", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.update(asleep(at(-time.Hour)), start, start)
			return x
		}, time.Second, false},
		{"asked for before it went to sleep again", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.mayWake(another, start)
			x.update(awake(at(time.Second)), start, at(time.Second))
			x.update(asleep(at(2*time.Second)), start, at(2*time.Second))
			return x
		}, 3 * time.Second, true},
		{"of one who is still connected", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(console)
			x.update(asleep(start), time.Time{}, start)
			return x
		}, time.Hour, false},
		{"of one whose last connection ended a moment ago", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(console)
			x.opened(console)
			x.update(asleep(start), time.Time{}, start)
			x.closed(console, start)
			x.closed(console, at(time.Minute))
			return x
		}, time.Minute + QuietPeriod - 1, false},
		{"of one whose last connection ended two minutes ago", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(console)
			x.update(asleep(start), time.Time{}, start)
			x.closed(console, at(time.Minute))
			return x
		}, time.Minute + QuietPeriod, true},
		{"of one who left before it went to sleep", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(console)
			x.closed(console, start)
			x.update(asleep(start), time.Time{}, start)
			return x
		}, time.Second, true},
		{"while another is quiet", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(another)
			x.update(asleep(start), time.Time{}, start)
			return x
		}, time.Second, true},
		{"of one who was quiet the last time", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.opened(console)
			x.update(asleep(start), time.Time{}, start)
			x.closed(console, start)
			x.update(awake(at(time.Second)), time.Time{}, at(time.Second))
			x.update(asleep(at(2*time.Second)), time.Time{}, at(2*time.Second))
			return x
		}, 3 * time.Second, true},
		{"that could not be asked for a moment ago", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.mayWake(another, start)
			x.wakeFailed(at(time.Second))
			return x
		}, time.Second - 1, false},
		{"that could not be asked for a second ago", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.mayWake(another, start)
			x.wakeFailed(at(time.Second))
			return x
		}, time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := tt.given()
			if _, got := x.mayWake(console, at(tt.at)); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestServes: an API server that may be starting is asked before it is passed on to.
func TestServes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func() *Tenant
		want  bool
	}{
		{"long awake", func() *Tenant { return known(awake(at(-settledAfter))) }, true},
		{"of whom is not said since when", func() *Tenant { return known(awake(time.Time{})) }, true},
		{"awake for a while", func() *Tenant { return known(awake(at(-settledAfter + 1))) }, false},
		{"asleep", func() *Tenant { return known(asleep(at(-time.Hour))) }, false},
		{"back", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.update(awake(at(-settledAfter)), time.Time{}, start)
			return x
		}, false},
		{"back and ready", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.update(awake(start), time.Time{}, start)
			x.KeepAsking(Ready, start)
			return x
		}, true},
		{"asleep again before it said that it is ready", func() *Tenant {
			x := known(asleep(at(-time.Hour)))
			x.update(awake(start), time.Time{}, start)
			x.update(asleep(start), time.Time{}, start)
			x.KeepAsking(Ready, start)
			x.update(awake(start), time.Time{}, start)
			return x
		}, false},
		{"that did not answer", func() *Tenant { x := known(awake(at(-time.Hour))); x.Unanswered(); return x }, false},
		{"whose address has changed", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			r := awake(at(-time.Hour))
			r.Backend = netip.MustParseAddrPort("192.0.2.2:6443")
			x.update(r, time.Time{}, start)
			return x
		}, true},
		{"of whom something else is said meanwhile", func() *Tenant {
			x := known(awake(at(-time.Hour)))
			x.Unanswered()
			r := awake(at(-time.Hour))
			r.WakeOnRequest = false
			x.update(r, time.Time{}, start)
			return x
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.given().State(start).Serves; got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestSettled: who is not ready is passed on to in the end if it is in trouble, not if it starts.
func TestSettled(t *testing.T) {
	back := func() *Tenant {
		x := known(asleep(at(-2 * settledAfter)))
		x.update(awake(at(-settledAfter)), time.Time{}, at(-settledAfter))
		return x
	}
	for _, tt := range []struct {
		name  string
		given func() *Tenant
		want  bool
	}{
		{"found long awake", func() *Tenant { return known(awake(at(-settledAfter))) }, true},
		{"of whom is not said since when", func() *Tenant { return known(awake(time.Time{})) }, true},
		{"found awake for a while", func() *Tenant { return known(awake(at(-settledAfter + 1))) }, false},
		{"asleep", func() *Tenant { return known(asleep(at(-time.Hour))) }, false},
		{"back for long, and never ready", back, false},
		{"back for long, and was ready", func() *Tenant {
			x := back()
			x.KeepAsking(Ready, at(-time.Minute))
			x.Unanswered()
			return x
		}, true},
		{"back for long, and started lately", func() *Tenant {
			x := back()
			x.KeepAsking(NoAnswer, at(-settledAfter))
			x.KeepAsking(NotReady, at(-settledAfter+1))
			return x
		}, false},
		{"back for long, and never ready for as long", func() *Tenant {
			x := back()
			x.KeepAsking(NotReady, at(-settledAfter))
			x.KeepAsking(NotReady, at(-time.Second))
			return x
		}, true},
		{"that was ready before it slept", func() *Tenant {
			x := known(awake(at(-3 * settledAfter)))
			x.update(asleep(at(-2*settledAfter)), time.Time{}, at(-2*settledAfter))
			x.update(awake(at(-settledAfter)), time.Time{}, at(-settledAfter))
			return x
		}, false},
		{"that slept while the management cluster was away", func() *Tenant {
			x := known(awake(at(-3 * settledAfter)))
			x.update(awake(at(-settledAfter+1)), time.Time{}, at(-settledAfter+1))
			return x
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.given().State(start).Settled; got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestAsking: one asks, while somebody waits and there is something to ask.
func TestAsking(t *testing.T) {
	x := known(awake(start))
	if x.BeginAsking() {
		t.Error("it is asked although nobody waits")
	}
	release := x.Hold()
	if !x.BeginAsking() || x.BeginAsking() {
		t.Error("not exactly one asks")
	}
	if _, goOn := x.KeepAsking(NoAnswer, start); !goOn {
		t.Error("it is not asked again")
	}
	changed := x.State(start).Changed
	x.update(asleep(at(time.Second)), time.Time{}, at(time.Second))
	<-changed
	if _, goOn := x.KeepAsking(NoAnswer, start); goOn || x.BeginAsking() {
		t.Error("it is asked although it sleeps")
	}
	x.update(awake(at(2*time.Second)), time.Time{}, at(2*time.Second))
	if !x.BeginAsking() {
		t.Error("it is not asked after it has come back")
	}
	release()
	if _, goOn := x.KeepAsking(NoAnswer, start); goOn {
		t.Error("it is asked although nobody waits any more")
	}
}

// TestActivity: while there are users at most once a minute, and when the last one has left; nothing
// about a control plane that sleeps.
func TestActivity(t *testing.T) {
	x := known(awake(at(-time.Hour)))
	expect := func(after time.Duration, write bool, connections int, last, again time.Duration) {
		t.Helper()
		now := at(after)
		activity, wrote, wait := x.activity(now)
		if wrote != write || write && (activity.Connections != connections || !activity.At.Equal(at(last))) || wait != again {
			t.Fatalf("after %s: got %+v, %t, again in %s", after, activity, wrote, wait)
		}
		if wrote {
			x.wrote(activity, now)
		}
	}
	expect(0, false, 0, 0, 0) // nobody has been here
	x.opened(console)
	expect(0, true, 1, 0, 0)
	x.opened(another)
	expect(time.Second, false, 0, 0, 59*time.Second)
	expect(time.Minute, true, 2, time.Minute, 0) // and every minute
	expect(2*time.Minute, true, 2, 2*time.Minute, 0)
	x.closed(console, at(121*time.Second))
	x.closed(another, at(122*time.Second))
	expect(122*time.Second, false, 0, 0, 58*time.Second) // in the same minute
	expect(3*time.Minute, true, 0, 122*time.Second, 0)
	expect(4*time.Minute, false, 0, 0, 0) // nobody is here
	x.opened(console)
	x.closed(console, at(5*time.Minute))
	expect(5*time.Minute, true, 0, 5*time.Minute, 0) // has come and gone
	x.opened(console)
	x.update(asleep(at(6*time.Minute)), time.Time{}, at(6*time.Minute))
	expect(7*time.Minute, false, 0, 0, 0)
	x.update(awake(at(8*time.Minute)), time.Time{}, at(8*time.Minute))
	expect(8*time.Minute, true, 1, 8*time.Minute, 0) // never left
}

// TestLast: what is written when this gateway ends.
func TestLast(t *testing.T) {
	x := known(awake(at(-time.Hour)))
	if _, write := x.last(start); write {
		t.Error("something is written of a control plane that nobody used")
	}
	x.opened(console)
	activity, _, _ := x.activity(start)
	x.wrote(activity, start)
	if got, write := x.last(at(time.Second)); !write || got != (route.Activity{At: at(time.Second)}) {
		t.Errorf("with a connection: %+v, %t", got, write)
	}
	x.closed(console, at(2*time.Second))
	if got, write := x.last(at(time.Minute)); !write || got != (route.Activity{At: at(2 * time.Second)}) {
		t.Errorf("after the last one: %+v, %t", got, write)
	}
	x.update(asleep(at(3*time.Second)), time.Time{}, at(3*time.Second))
	if _, write := x.last(at(time.Minute)); write {
		t.Error("something is written of a control plane that sleeps")
	}
}

func TestAdmit(t *testing.T) {
	x := known(awake(start))
	if !x.Admit(2) || !x.Admit(2) || x.Admit(2) {
		t.Error("not exactly two are admitted")
	}
	x.Leave()
	if !x.Admit(2) {
		t.Error("nobody is admitted in place of one who has left")
	}
}
