package machineclaim

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func freeHost(rack, version string) *host.Object {
	o := &host.Object{ObjectMeta: metav1.ObjectMeta{
		Namespace: "machines", Name: "machine-0", ResourceVersion: version, Labels: map[string]string{"rack": rack},
	}}
	o.Status.OperationalStatus, o.Status.Provisioning.State = metal3v1.OperationalStatusOK, metal3v1.StateAvailable
	return o
}

func held(o *host.Object, by string) *host.Object {
	holder := host.Holder{}
	holder.Namespace, holder.Name = "acme", by
	host.Take(o, holder, "")
	return o
}

// waitsFor is a claim in the line, so many seconds old, that wants a host of a rack.
func waitsFor(t *testing.T, l *line, name, rack string, old int, namespaces ...string) {
	t.Helper()
	c := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}}
	c.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{"rack": teapotv1.LabelValue(rack)}
	request, err := claim.NewRequest(c, "")
	if err != nil {
		t.Fatal(err)
	}
	l.join(types.NamespacedName{Namespace: "acme", Name: name}, place{
		created: noon.Add(-time.Duration(old) * time.Second), request: request, namespaces: sets.New(namespaces...),
	})
}

// woken are the claims that an event of a host wakes, in order.
func woken(r *Reconciler, send func(queue)) []string {
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	send(q)
	var names []string
	for q.Len() > 0 {
		request, _ := q.Get()
		names = append(names, request.Name)
		q.Done(request)
	}
	return names
}

func TestAFreeHostWakesAFew(t *testing.T) {
	ctx := context.Background()
	r, known := &Reconciler{}, &roster{}
	for i := range 100 {
		waitsFor(t, &r.waiting, fmt.Sprintf("claim-%02d", i), "a", i, "machines")
	}
	waitsFor(t, &r.waiting, "other-rack", "b", 1000, "machines")
	waitsFor(t, &r.waiting, "other-room", "a", 1000, "elsewhere")
	update := func(before, after *host.Object) []string {
		return woken(r, func(q queue) {
			r.onHost(known).Update(ctx, event.TypedUpdateEvent[*host.Object]{ObjectOld: before, ObjectNew: after}, q)
		})
	}
	for _, test := range []struct {
		name string
		got  func() []string
		want []string
	}{
		{"its holder until now, and the oldest that it suits", func() []string { return update(held(freeHost("a", "1"), "x"), freeHost("a", "2")) }, []string{"x", "claim-99", "claim-98", "claim-97"}},
		{"the next host wakes the next ones", func() []string {
			return woken(r, func(q queue) {
				r.onHost(known).Create(ctx, event.TypedCreateEvent[*host.Object]{Object: freeHost("a", "1")}, q)
			})
		}, []string{"claim-96", "claim-95", "claim-94"}},
		{"one that suits another", func() []string { return update(freeHost("c", "1"), freeHost("b", "2")) }, []string{"other-rack"}},
		{"one that suits nobody", func() []string { return update(freeHost("a", "1"), freeHost("c", "2")) }, nil},
		{"a host that did not change", func() []string { return update(freeHost("a", "1"), freeHost("a", "1")) }, nil},
		{"one that is taken wakes its holder", func() []string { return update(freeHost("a", "1"), held(freeHost("a", "2"), "x")) }, []string{"x"}},
		{"one that was stolen wakes both", func() []string { return update(held(freeHost("a", "1"), "x"), held(freeHost("a", "2"), "y")) }, []string{"x", "y"}},
		{"what was seen last is known", func() []string {
			all, _ := known.all(ctx)
			return []string{fmt.Sprintf("%d, of %s", len(all), all[0].Holder.Name)}
		}, []string{"1, of y"}},
		{"one that is deleted wakes its holder", func() []string {
			return woken(r, func(q queue) {
				r.onHost(known).Delete(ctx, event.TypedDeleteEvent[*host.Object]{Object: held(freeHost("a", "1"), "x")}, q)
			})
		}, []string{"x"}},
		{"and is not known any more", func() []string {
			all, _ := known.all(ctx)
			return []string{fmt.Sprint(len(all))}
		}, []string{"0"}},
		{"a policy wakes all that wait", func() []string {
			var names []string
			for _, request := range r.onPolicy(ctx, nil) {
				names = append(names, request.Name)
			}
			return []string{fmt.Sprint(len(names), slices.Contains(names, "other-room"))}
		}, []string{"95 true"}},
	} {
		if got := test.got(); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestAFreeHostWakesEachPoolWithALimit shows that pools whose domain is full keep no host from others.
func TestAFreeHostWakesEachPoolWithALimit(t *testing.T) {
	l := &line{}
	waits := func(name string, old int, apart *claim.Group) {
		waitsFor(t, l, name, "a", old, "machines")
		key := types.NamespacedName{Namespace: "acme", Name: name}
		at := l.places[key]
		at.apart = apart
		l.join(key, at)
	}
	web, db := &claim.Group{Namespace: "acme", Pool: "web"}, &claim.Group{Namespace: "acme", Pool: "db"}
	for i := range 3 {
		waits(fmt.Sprintf("web-%d", i), 100-i, web)
		waits(fmt.Sprintf("db-%d", i), 50-i, db)
		waits(fmt.Sprintf("any-%d", i), 10-i, nil)
	}
	h := host.Of(freeHost("a", "1"))
	for _, want := range [][]string{{"web-0", "web-1", "db-0", "db-1", "any-0", "any-1"}, {"web-2", "db-2", "any-2"}, nil} {
		var got []string
		for _, name := range l.next(&h, 2) {
			got = append(got, name.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestSiblingsOfOneManager shows that what claims reserve counts for their siblings at once.
func TestSiblingsOfOneManager(t *testing.T) {
	asks := func(name, pool string) *teapotv1.MachineClaim {
		return &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: "acme", Name: name, CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{teapotv1.PoolLabel: pool},
		}}
	}
	r := &reservations{}
	var p claim.Pool
	var saw claim.Siblings
	first := func(p claim.Pool) claim.Choice {
		saw = p.Siblings
		for i := range p.Hosts {
			if !p.Reserved.Has(p.Hosts[i].Key) {
				return claim.Choice{Host: &p.Hosts[i]}
			}
		}
		return claim.Choice{}
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		p.Hosts = append(p.Hosts, host.Host{Key: types.NamespacedName{Namespace: "machines", Name: name}})
	}
	for _, step := range []struct {
		name, claim, pool string
		after             time.Duration
		hosts, yielding   int
	}{
		{"alone", "web-1", "web", 0, 0, 0},
		{"of another pool", "db-0", "db", 0, 0, 0},
		{"the younger one counts the older one's", "web-2", "web", 0, 1, 0},
		{"the older one counts both as giving way", "web-0", "web", 0, 2, 2},
		{"who looks again does not count its own", "web-1", "web", 0, 2, 1},
		{"what was reserved long ago does not count", "web-3", "web", claim.ReservationTime + time.Second, 0, 0},
		{"who has waited long waits for nobody to give way", "web-1", "web", claim.ReservationTime + time.Second, 1, 0},
	} {
		r.choose(asks(step.claim, step.pool), noon.Add(step.after), p, first)
		if len(saw.Hosts) != step.hosts || len(saw.Yielding) != step.yielding {
			t.Errorf("%s: it saw %+v, want %d hosts, of which %d give way", step.name, saw, step.hosts, step.yielding)
		}
	}
}

func TestReservations(t *testing.T) {
	hosts := func(names ...string) claim.Pool {
		var p claim.Pool
		for _, name := range names {
			p.Hosts = append(p.Hosts, host.Host{Key: types.NamespacedName{Namespace: "machines", Name: name}})
		}
		return p
	}
	first := func(p claim.Pool) claim.Choice {
		for i := range p.Hosts {
			if p.Hosts[i].Holder == nil && !p.Reserved.Has(p.Hosts[i].Key) {
				return claim.Choice{Host: &p.Hosts[i]}
			}
		}
		return claim.Choice{}
	}
	r := &reservations{}
	choose := func(name string, after time.Duration, p claim.Pool) string {
		if choice := r.choose(&teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}, noon.Add(after), p, first); choice.Host != nil {
			return choice.Host.Key.Name
		}
		return ""
	}
	taken := hosts("a", "b")
	taken.Hosts[0].Holder = held(freeHost("a", "1"), "x").Spec.ConsumerRef
	for _, step := range []struct {
		name, got, want string
	}{
		{"the first claim's choice", choose("x", 0, hosts("a", "b")), "a"},
		{"another gets another", choose("y", 0, hosts("a", "b")), "b"},
		{"a third gets none", choose("z", 0, hosts("a", "b")), ""},
		{"who looks again may have the same", choose("x", 0, hosts("a", "b")), "a"},
		{"a host that is taken needs no reservation", choose("z", 0, taken), ""},
		{"after its time a reservation ends", choose("z", claim.ReservationTime+time.Second, hosts("a", "b")), "a"},
	} {
		if step.got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, step.got, step.want)
		}
	}
	r.drop(types.NamespacedName{Name: "z"})
	if got := choose("y", claim.ReservationTime+time.Second, hosts("a")); got != "a" {
		t.Errorf("what a claim reserved that is gone: got %q, want a", got)
	}
}
