package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestTwoGateways on the same Leases: the controllers know of the users of both, and between them they
// ask for a wake once a minute. They hear of one another by the Leases alone.
func TestTwoGateways(t *testing.T) {
	x := newTenant(t, nil)
	limits := usual
	limits.Hold = 200 * time.Millisecond
	now := clocktesting.NewFakeClock(time.Now())
	var pair [2]*gateway
	for i := range pair {
		pair[i] = startGateway(t, settings{
			Limits: limits, clock: now, pod: fmt.Sprint("gateway-", i), proxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		})
		pair[i].heard(t, x, func(route.Route) bool { return true })
	}
	from := func(g *gateway, client string) error {
		conn := g.connect(t)
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 1234 443\r\n", client); err != nil {
			t.Fatal(err)
		}
		return tls.Client(conn, x.tls()).Handshake()
	}
	for i, g := range pair {
		if err := from(g, fmt.Sprint("198.51.100.", i)); err != nil {
			t.Fatal(err)
		}
	}
	users := func(want int) {
		t.Helper()
		apiserver.Eventually(t, within, "users", func() error {
			if got, _ := route.Users(x.lease(), now.Now()); got != want {
				return fmt.Errorf("the controllers know of %d, want %d", got, want)
			}
			return nil
		})
	}
	users(2)

	x.say(sleeps)
	for _, g := range pair {
		g.asleep(t, x)
	}
	const newcomer = "198.51.100.9"
	ask := func(g *gateway, client string, want float64) {
		t.Helper()
		if err := from(g, client); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want the end of the connection", err)
		}
		apiserver.Eventually(t, within, "wakes", func() error {
			if got := pair[0].wakes() + pair[1].wakes(); got != want {
				return fmt.Errorf("a wake was asked for %v times, want %v", got, want)
			}
			return nil
		})
		// What is said next is heard after it.
		x.say(func(r *route.Route) { r.Backend = netip.AddrPortFrom(r.Backend.Addr(), r.Backend.Port()+1) })
		for _, g := range pair {
			g.heard(t, x, func(known route.Route) bool { return known.Backend == x.route.Backend })
		}
	}
	ask(pair[0], "198.51.100.0", 0) // it was connected when the control plane fell asleep
	ask(pair[0], newcomer, 1)
	ask(pair[1], newcomer, 1)
	now.Step(route.ActivityEvery - time.Second)
	ask(pair[1], newcomer, 1)
	now.Step(time.Second)
	ask(pair[1], newcomer, 2)
	ask(pair[0], newcomer, 2)
}
