package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/gateway/routes"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestWake: a plain GET of a real client against a control plane that sleeps succeeds by itself, and
// the first answer is not that of an API server that only starts.
func TestWake(t *testing.T) {
	for _, tt := range []struct {
		name          string
		takes, serves time.Duration // until the API server listens, and from then until it is ready
	}{
		{"in 5 s", 4 * time.Second, time.Second},
		{"in 15 s", 14 * time.Second, time.Second},
		{"in 60 s", 58 * time.Second, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newTenant(t, sleeps)
			g := startGateway(t, settings{})
			x.ready.Store(false)
			go func() { // the manager, and the pods
				for route.WakeRequested(x.lease()).IsZero() {
					time.Sleep(20 * time.Millisecond) // between two looks
				}
				x.say(wakes)
				time.Sleep(tt.takes)
				x.start()
				time.Sleep(tt.serves)
				x.ready.Store(true)
			}()
			if _, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
			if lease := x.lease(); lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "gateway-0" {
				t.Errorf("asked for by %v", lease.Spec.HolderIdentity)
			}
		})
	}
}

// TestHeldConnectionsAreClosedInTime, without a byte: that is what client-go tries again after. They
// ask for a wake once.
func TestHeldConnectionsAreClosedInTime(t *testing.T) {
	x := newTenant(t, sleeps)
	limits := usual
	limits.Hold = 500 * time.Millisecond
	g := startGateway(t, settings{Limits: limits})
	for range 3 {
		began := time.Now()
		if _, err := x.dial(g); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end of the connection", err)
		}
		if held := time.Since(began); held < limits.Hold {
			t.Errorf("it was held for %s, want %s", held, limits.Hold)
		}
	}
	if got := g.wakes(); got != 1 {
		t.Errorf("a wake was asked for %v times", got)
	}
	if got := histogramCount(t, g.metrics.heldTime.WithLabelValues(resultRejected)); got != 3 {
		t.Errorf("the time of %d connections is known", got)
	}
	g.refused(t, expired, 3)
}

// TestOneAsksForAll who are held, and all get in when the API server is ready.
func TestOneAsksForAll(t *testing.T) {
	x := newTenant(t, sleeps)
	g := startGateway(t, settings{})
	x.ready.Store(false)
	const users = 50
	var all errgroup.Group
	for range users {
		all.Go(func() error {
			_, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
			return err
		})
	}
	g.gauge(t, g.metrics.heldNow, users)
	x.start()
	x.say(wakes)
	began := time.Now()
	apiserver.Eventually(t, within, "the API server to be asked", func() error {
		if x.asked.Load() < 5 {
			return errors.New("it was not")
		}
		return nil
	})
	// Five looks of one asker take 0.4 s; fifty askers would have been at it ten times as often.
	if asked, took := x.asked.Load(), time.Since(began); asked > 2+int64(took/askEvery) {
		t.Errorf("it was asked %d times in %s", asked, took)
	}
	x.ready.Store(true)
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	g.gauge(t, g.metrics.heldNow, 0)
	if got := g.wakes(); got != 1 {
		t.Errorf("a wake was asked for %v times", got)
	}
}

// TestAnAPIServerThatIsAway is waited for, without a wake: nothing was decided about it.
func TestAnAPIServerThatIsAway(t *testing.T) {
	x := newTenant(t, nil)
	g := startGateway(t, settings{})
	x.mustGet(g)
	x.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.mustGet(g)
	}()
	g.gauge(t, g.metrics.heldNow, 1)
	x.start()
	<-done
	if got := g.wakes(); got != 0 {
		t.Errorf("a wake was asked for %v times", got)
	}
}

// TestAnAPIServerInTrouble that has long been awake is passed on to in the end: what it says is worth
// more than a closed connection.
func TestAnAPIServerInTrouble(t *testing.T) {
	x := newTenant(t, nil)
	limits := usual
	limits.Hold = time.Second
	g := startGateway(t, settings{Limits: limits})
	x.stop()
	if _, err := x.dial(g); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want the end of the connection", err)
	}
	x.ready.Store(false)
	x.start()
	_, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want what the API server says", err)
	}
}

// TestAnAPIServerThatStartsLate is not passed on to before it is ready, however long ago it was decided
// that it is awake: what it answers then is 403. One that has been in trouble for long since is.
func TestAnAPIServerThatStartsLate(t *testing.T) {
	x := newTenant(t, sleeps)
	limits := usual
	limits.Hold = 500 * time.Millisecond
	now := clocktesting.NewFakeClock(time.Now())
	g := startGateway(t, settings{Limits: limits, clock: now})
	g.asleep(t, x)
	x.ready.Store(false)
	x.say(wakes)
	g.heard(t, x, func(known route.Route) bool { return !known.Asleep })
	const long = 11 * time.Minute
	now.Step(long)
	x.start()
	if _, err := x.dial(g); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the connection", err)
	}
	now.Step(long)
	if _, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want what the API server says", err)
	}
}

// TestSleepThatUsersDoNotEnd: where requests wake nothing a user is told at once, by an alert that an
// API server never sends, and asks for nothing.
func TestSleepThatUsersDoNotEnd(t *testing.T) {
	x := newTenant(t, func(r *route.Route) { sleeps(r); r.WakeOnRequest = false })
	g := startGateway(t, settings{})
	began := time.Now()
	_, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: access denied") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > usual.Hold {
		t.Errorf("it took %s", took)
	}
	g.refused(t, asleep, 1)
	if !route.WakeRequested(x.lease()).IsZero() {
		t.Error("a wake was asked for")
	}
}

// TestOnlyUsersWake: neither who only looks which ports are open nor who asks for another name.
func TestOnlyUsersWake(t *testing.T) {
	x := newTenant(t, sleeps)
	g := startGateway(t, settings{})
	hello := helloFor(t, x.route.Host)
	for name, said := range map[string][]byte{
		"nothing": nil, "HTTP": []byte("GET / HTTP/1.1\r\nHost: " + x.route.Host + "\r\n\r\n"), "SSH": []byte("SSH-2.0-x\r\n"),
		"half a hello": hello[:len(hello)-1], "no name": helloFor(t, "192.0.2.1"),
		"a name within": helloFor(t, "x."+x.route.Host), "a name around": helloFor(t, strings.TrimSuffix(x.route.Host, ".org")),
		"the name and zeros": helloFor(t, x.route.Host+"0"), "random": []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			conn := g.connect(t)
			if _, err := conn.Write(said); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(conn) // whatever is answered, until the end
		})
	}
	g.gauge(t, g.metrics.readingNow, 0)
	if got := g.wakes(); got != 0 {
		t.Errorf("a wake was asked for %v times", got)
	}
}

// TestTheQuietPeriod: who was connected when the control plane went down does not wake it, until two
// minutes after. Who was not does.
func TestTheQuietPeriod(t *testing.T) {
	x := newTenant(t, nil)
	limits := usual
	limits.Hold = 200 * time.Millisecond
	now := clocktesting.NewFakeClock(time.Now())
	g := startGateway(t, settings{Limits: limits, clock: now, proxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	from := func(client string) (*tls.Conn, error) {
		conn := g.connect(t)
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 1234 443\r\n", client); err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(conn, x.tls())
		return secure, secure.Handshake()
	}
	const console, another = "198.51.100.1", "198.51.100.2"
	connected, err := from(console)
	if err != nil {
		t.Fatal(err)
	}
	x.say(sleeps)
	g.asleep(t, x)
	connect := func(client string, wakes int) {
		t.Helper()
		if _, err := from(client); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want the end of the connection", err)
		}
		apiserver.Eventually(t, within, "wakes", func() error {
			if got := g.wakes(); got != float64(wakes) {
				return fmt.Errorf("a wake was asked for %v times, want %d", got, wakes)
			}
			return nil
		})
	}
	now.Step(routes.QuietPeriod) // it is still connected
	connect(console, 0)
	connected.Close()
	x.stop()
	g.gauge(t, g.metrics.openNow, 0)
	now.Step(routes.QuietPeriod - time.Second)
	connect(console, 0)
	connect(another, 1)
	now.Step(time.Second)
	connect(console, 1) // it may now, but another did within the minute
	now.Step(route.ActivityEvery)
	connect(console, 2)
}

// TestAWakeThatCannotBeAskedFor is asked for again while somebody waits.
func TestAWakeThatCannotBeAskedFor(t *testing.T) {
	x := newTenant(t, sleeps)
	config := apiserver.Config(t)
	var failing atomic.Bool
	failing.Store(true)
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPatch && failing.Load() {
				return nil, errors.New("the management cluster is away")
			}
			return inner.RoundTrip(r)
		})
	})
	g := startGateway(t, settings{config: config})
	ended := make(chan error, 1)
	go func() {
		_, err := x.dial(g)
		ended <- err
	}()
	apiserver.Eventually(t, within, "the write to fail", func() error {
		if testutil.ToFloat64(g.metrics.writes.WithLabelValues(string(routes.Wake), "error")) == 0 {
			return errors.New("it did not")
		}
		return nil
	})
	failing.Store(false)
	apiserver.Eventually(t, within, "the wake to be asked for", func() error {
		if route.WakeRequested(x.lease()).IsZero() {
			return errors.New("it is not")
		}
		return nil
	})
	x.start()
	x.say(wakes)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDeletedWhileHeld: the user hears at once that there is no such control plane.
func TestDeletedWhileHeld(t *testing.T) {
	x := newTenant(t, sleeps)
	g := startGateway(t, settings{})
	ended := make(chan error, 1)
	go func() {
		_, err := x.dial(g)
		ended <- err
	}()
	g.gauge(t, g.metrics.heldNow, 1)
	if err := x.client.CoordinationV1().Leases(x.namespace()).Delete(t.Context(), route.LeaseName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("got %v", err)
	}
}
