package routes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/hibernation"
	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

const within = time.Minute // for what happens at once on a machine that is not overloaded

// rights are all that a gateway may do.
var rights = []rbacv1.PolicyRule{
	{APIGroups: []string{coordinationv1.GroupName}, Resources: []string{"leases"}, Verbs: []string{"list", "watch"}},
	{APIGroups: []string{coordinationv1.GroupName}, Resources: []string{"leases"}, ResourceNames: []string{route.LeaseName}, Verbs: []string{"patch"}},
}

// environment is a gateway's routes with the rights of one, at a time of the test's own.
type environment struct {
	*Routes
	t     *testing.T
	admin kubernetes.Interface
	clock *clocktesting.FakeClock

	mu     sync.Mutex
	writes map[What]int
	failed map[What]int
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	config := apiserver.Config(t)
	e := &environment{t: t, admin: client(t, config), clock: clocktesting.NewFakeClock(start), writes: map[What]int{}, failed: map[What]int{}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "gateway-"}, Rules: rights}
	role, err := e.admin.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role.Name}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config.Impersonate = rest.ImpersonationConfig{UserName: role.Name}
	e.Routes = New(Options{
		Leases: client(t, config).CoordinationV1(), Pod: "gateway-0", Clock: e.clock, Log: logr.Discard(),
		Wrote: func(what What, err error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.writes[what]++
			if err != nil {
				e.failed[what]++
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if len(e.failed) > 0 {
			t.Errorf("writes failed: %v", e.failed)
		}
	})
	apiserver.Eventually(t, within, "the routes to be known", func() error {
		if !e.Known() {
			return errors.New("they are not")
		}
		return nil
	})
	return e
}

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tenant makes a control plane and returns it when it is known.
func (e *environment) tenant(name string, r route.Route) *Tenant {
	e.t.Helper()
	r.Owner = types.NamespacedName{Namespace: "red", Name: name}
	r.Host = name + ".red.example.org"
	namespace := controlplane.Namespace(r.Owner)
	if _, err := e.admin.CoreV1().Namespaces().Create(e.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		e.t.Fatal(err)
	}
	leases := e.admin.CoordinationV1().Leases(namespace)
	if _, err := leases.Create(e.t.Context(), r.Lease(), metav1.CreateOptions{}); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := leases.Delete(context.Background(), route.LeaseName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			e.t.Error(err)
		}
	})
	var tenant *Tenant
	apiserver.Eventually(e.t, within, r.Host, func() error {
		found := false
		if tenant, found = e.Lookup(r.Host); !found {
			return errors.New("it is not known")
		}
		return nil
	})
	return tenant
}

func (e *environment) lease(x *Tenant) *coordinationv1.Lease {
	e.t.Helper()
	lease, err := e.admin.CoordinationV1().Leases(x.Lease.Namespace).Get(e.t.Context(), x.Lease.Name, metav1.GetOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	return lease
}

// wrote waits until so many writes were tried.
func (e *environment) wrote(what What, want int) {
	e.t.Helper()
	apiserver.Eventually(e.t, within, fmt.Sprint("write ", want, " of ", what), func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if got := e.writes[what]; got != want {
			return fmt.Errorf("there were %d", got)
		}
		return nil
	})
}

// TestWakeOnceAMinute, whoever asks, and with no more than a gateway's rights.
func TestWakeOnceAMinute(t *testing.T) {
	e := newEnvironment(t)
	x := e.tenant("wake", asleep(at(-time.Hour)))
	for range 10 {
		e.Wake(t.Context(), x, console)
		e.Wake(t.Context(), x, another)
	}
	e.wrote(Wake, 1)
	if lease := e.lease(x); !route.WakeRequested(lease).Equal(start) || *lease.Spec.HolderIdentity != "gateway-0" {
		t.Errorf("the Lease says %v", lease.Spec)
	}
	e.clock.Step(route.ActivityEvery - time.Second)
	e.Wake(t.Context(), x, console)
	e.clock.Step(time.Second)
	e.Wake(t.Context(), x, console)
	e.wrote(Wake, 2)
	if got, want := route.WakeRequested(e.lease(x)), at(time.Minute); !got.Equal(want) {
		t.Errorf("asked for at %s, want %s", got, want)
	}
}

// TestAClockThatIsBehind: what such a gateway asks for counts for the controllers at once, also for a
// control plane that a user put to sleep within the second, and is asked for once a minute.
func TestAClockThatIsBehind(t *testing.T) {
	e := newEnvironment(t)
	const behind = 10 * time.Minute
	since := at(behind + 300*time.Millisecond)
	x := e.tenant("behind", asleep(since))
	heard := func(controllers time.Duration) {
		t.Helper()
		got := hibernation.Decide(hibernation.Input{
			Spec:        &teapotv1.HibernationSpec{Enabled: ptr.To(true), IdleAfter: &metav1.Duration{Duration: 2 * time.Minute}},
			RequestedAt: at(behind), WakeRequested: route.WakeRequested(e.lease(x)), Now: at(controllers),
			Record: hibernation.Record{State: hibernation.Asleep, Since: since, AsleepSince: since, Reason: hibernation.ReasonRequested, EverRan: true},
		})
		if got.State != hibernation.Awake {
			t.Errorf("asked for as of %s, the controllers at %s go on with %s: %s", route.WakeRequested(e.lease(x)), at(controllers), got.State, got.Message)
		}
	}
	for range 10 {
		e.Wake(t.Context(), x, console)
	}
	e.wrote(Wake, 1)
	heard(behind + 2*time.Second)
	e.clock.Step(route.ActivityEvery - 1)
	e.Wake(t.Context(), x, console)
	e.clock.Step(1)
	e.Wake(t.Context(), x, console)
	e.wrote(Wake, 2)
	heard(behind + time.Minute + time.Second)
	e.clock.Step(4 * time.Minute)
	e.Wake(t.Context(), x, console)
	e.wrote(Wake, 3)
	heard(behind + 5*time.Minute + time.Second)

	// Where another gateway's clock was ahead, requests up to then count for nothing.
	ahead := asleep(at(-time.Minute))
	ahead.AsleepSince = at(time.Minute)
	y := e.tenant("ahead", ahead)
	e.Wake(t.Context(), y, console)
	e.Wake(t.Context(), y, another)
	e.wrote(Wake, 4)
	if got := route.WakeRequested(e.lease(y)); !got.After(ahead.AsleepSince) {
		t.Errorf("asked for as of %s", got)
	}
}

// TestUsersWhoNeverLeft are told of again when the Lease of their control plane is back.
func TestUsersWhoNeverLeft(t *testing.T) {
	e := newEnvironment(t)
	r := awake(at(-time.Hour))
	x := e.tenant("lost", r)
	e.Opened(x, console)
	e.Opened(x, another)
	e.wrote(Activity, 1)
	if err := e.admin.CoordinationV1().Leases(x.Lease.Namespace).Delete(t.Context(), x.Lease.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, within, "the Lease to be gone", func() error {
		if !x.State(start).Gone {
			return errors.New("it is not")
		}
		return nil
	})
	e.Closed(x, another)
	e.tenant("lost", r)
	e.wrote(Activity, 2)
	if n, _ := route.Users(e.lease(x), e.clock.Now()); n != 1 {
		t.Errorf("the controllers know of %d users, want 1", n)
	}
}

// TestActivityIsWritten as the controllers read it, once a minute, and at the end of this gateway.
func TestActivityIsWritten(t *testing.T) {
	e := newEnvironment(t)
	x, unused := e.tenant("used", awake(at(-time.Hour))), e.tenant("unused", awake(at(-time.Hour)))
	users := func(connections int, last time.Duration) {
		t.Helper()
		if n, at_ := route.Users(e.lease(x), e.clock.Now()); n != connections || !at_.Equal(at(last)) {
			t.Errorf("%d users, the last at %s; want %d, %s", n, at_, connections, at(last))
		}
	}
	for range 20 {
		e.Opened(x, console)
	}
	e.wrote(Activity, 1)
	step := func(d time.Duration) {
		t.Helper()
		apiserver.Eventually(t, within, "the next write to be planned", func() error {
			if !e.clock.HasWaiters() {
				return errors.New("it is not")
			}
			return nil
		})
		e.clock.Step(d)
	}
	step(time.Minute)
	e.wrote(Activity, 2)
	users(20, time.Minute)
	e.clock.Step(time.Second)
	for range 20 {
		e.Closed(x, console)
	}
	step(time.Minute - time.Second)
	e.wrote(Activity, 3)
	users(0, 61*time.Second)

	e.clock.Step(time.Minute)
	e.Opened(x, another)
	e.wrote(Activity, 4)
	if err := e.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.wrote(Activity, 5)
	users(0, 3*time.Minute)
	if n, last := route.Users(e.lease(unused), e.clock.Now()); n != 0 || !last.IsZero() {
		t.Errorf("something was written of a control plane that nobody used: %d, %s", n, last)
	}
}

// TestNothingIsWrittenOfOneThatSleeps.
func TestNothingIsWrittenOfOneThatSleeps(t *testing.T) {
	e := newEnvironment(t)
	x := e.tenant("sleeps", asleep(at(-time.Hour)))
	version := e.lease(x).ResourceVersion
	e.Opened(x, console)
	e.Closed(x, console)
	e.clock.Step(time.Minute)
	if err := e.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Of another something is written, so there was time for it.
	e.Opened(e.tenant("awake", awake(at(-time.Hour))), console)
	e.wrote(Activity, 1)
	if now := e.lease(x).ResourceVersion; now != version {
		t.Error("something was written")
	}
}

// TestTable: exactly one control plane has a name, and one that is gone has none.
func TestTable(t *testing.T) {
	lease := func(name, host string) *coordinationv1.Lease {
		r := awake(start)
		r.Owner, r.Host = types.NamespacedName{Namespace: "red", Name: name}, host
		lease := r.Lease()
		slim, err := onlyRoute(lease)
		if err != nil {
			t.Fatal(err)
		}
		return slim.(*coordinationv1.Lease)
	}
	table := NewTable()
	take := func(lease *coordinationv1.Lease, wanted bool) {
		t.Helper()
		if _, err := table.set(lease, start); (err == nil) != wanted {
			t.Fatalf("got %v", err)
		}
	}
	expect := func(host string, wanted bool) {
		t.Helper()
		if _, found := table.Lookup(host); found != wanted {
			t.Errorf("%s: found %t", host, found)
		}
	}
	take(lease("acme", "acme.red.example.org"), true)
	expect("acme.red.example.org", true)
	expect("example.org", false)
	expect("", false)
	take(lease("acme", ""), true) // by address alone
	expect("acme.red.example.org", false)
	expect("", false)
	take(lease("acme", "acme.red.example.com"), true)
	expect("acme.red.example.com", true)
	take(lease("acme", "bank.red.example.com"), false)
	expect("acme.red.example.com", false)
	take(lease("acme", "acme.red.example.com"), true)

	foreign := lease("acme", "acme.red.example.com")
	foreign.Namespace = "red" // where a tenant may write
	foreign.Annotations["gateway.teapot.dev/backend"] = netip.MustParseAddrPort("198.51.100.1:1").String()
	take(foreign, false)
	tenant, found := table.Lookup("acme.red.example.com")
	if !found || tenant.State(start).Route.Backend != awake(start).Backend {
		t.Error("a Lease of a tenant's own leads somewhere")
	}
	if a, b := table.Count(); a != 1 || b != 0 {
		t.Errorf("%d awake and %d asleep", a, b)
	}
	// Of two who may both have a name, the first has it.
	r := awake(start)
	r.Owner, r.Host = types.NamespacedName{Namespace: "example", Name: "acme.red"}, "acme.red.example.com"
	take(r.Lease(), false)
	table.remove(tenant.Lease, start)
	expect("acme.red.example.com", false)
	if !tenant.State(start).Gone {
		t.Error("who waits for it does not hear that it is gone")
	}
}

// TestForgotten: of a control plane that is gone it is known who was connected, for as long as that
// matters if it comes back.
func TestForgotten(t *testing.T) {
	table := NewTable()
	set := func(name, backend string, now time.Time) *Tenant {
		t.Helper()
		r := awake(at(-time.Hour))
		r.Owner = types.NamespacedName{Namespace: "red", Name: name}
		r.Host = name + ".red.example.org"
		lease := r.Lease()
		lease.Annotations[teapotv1.GatewayBackendAnnotation] = backend
		tenant, err := table.set(lease, now)
		if (err == nil) != (backend == "192.0.2.1:6443") {
			t.Fatalf("%s: got %v", name, err)
		}
		return tenant
	}
	const good, unreadable = "192.0.2.1:6443", "?"
	used, left := set("used", good, start), set("left", good, start)
	used.opened(console)
	set("used", unreadable, start)
	set("left", unreadable, start)
	if !used.State(start).Gone {
		t.Error("a Lease that cannot be read leads somewhere")
	}
	if set("left", good, start) != left {
		t.Error("one that was away for a moment is not known any more")
	}
	set("left", unreadable, start)
	set("another", good, start)
	set("another", unreadable, at(QuietPeriod)) // when one goes, others are forgotten
	if back := set("left", good, at(QuietPeriod)); back == left {
		t.Error("one that nobody used is kept")
	}
	if back := set("used", good, at(QuietPeriod)); back != used || back.State(start).Gone {
		t.Error("one that is in use is not known any more")
	}
	if activity, write, _ := used.activity(at(QuietPeriod)); !write || activity.Connections != 1 {
		t.Errorf("told of are %+v, %t", activity, write)
	}
}
