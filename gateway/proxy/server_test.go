package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/gateway/hello"
	"github.com/teapot-cloud/teapot/gateway/relay"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestUsersAreLetIn by name, and what they say passes by the kernel.
func TestUsersAreLetIn(t *testing.T) {
	x, another := newTenant(t, nil), newTenant(t, nil)
	g := startGateway(t, settings{})
	for range 2 {
		if _, err := x.user(g).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if x.served.Load() != 2 || another.served.Load() != 0 {
		t.Errorf("one served %d requests and the other %d", x.served.Load(), another.served.Load())
	}
	for _, direction := range []relay.Direction{relay.ToServer, relay.ToClient} {
		if testutil.ToFloat64(g.metrics.bytes[direction][relay.Splice]) == 0 {
			t.Errorf("nothing was spliced in direction %d", direction)
		}
	}
	if testutil.ToFloat64(g.metrics.bytes[relay.ToClient][relay.Copy]) != 0 {
		t.Error("something was copied to a client")
	}
}

// TestAName that nobody has gets its alert at once, and none at all does too.
func TestAName(t *testing.T) {
	x := newTenant(t, nil)
	g := startGateway(t, settings{})
	for name, serverName := range map[string]string{"of nobody": "acme.blue.example.org", "not said": "127.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			config := x.tls()
			config.ServerName = serverName
			_, err := tls.Dial("tcp", g.address, config)
			var alert tls.AlertError
			if !errors.As(err, &alert) && (err == nil || !strings.Contains(err.Error(), "unrecognized name")) {
				t.Errorf("got %v", err)
			}
		})
	}
	g.refused(t, unknownName, 1)
	g.refused(t, noName, 1)
	t.Run("in capitals", func(t *testing.T) {
		config := x.tls()
		config.VerifyConnection = func(tls.ConnectionState) error { return nil }
		config.ServerName = strings.ToUpper(x.route.Host)
		conn, err := tls.Dial("tcp", g.address, config)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
}

// TestARouteThatChanges is followed, and one that cannot be read leads nowhere.
func TestARouteThatChanges(t *testing.T) {
	x := newTenant(t, nil)
	g := startGateway(t, settings{})
	x.mustGet(g)
	refused := func(host string) error {
		config := x.tls()
		config.ServerName = host
		conn, err := tls.Dial("tcp", g.address, config)
		if err == nil {
			conn.Close()
			return errors.New("it was let in")
		}
		if !strings.Contains(err.Error(), "unrecognized name") {
			return err
		}
		return nil
	}
	was := x.route.Host
	x.say(func(r *route.Route) { r.Host = strings.Replace(was, "example.org", "example.com", 1) })
	apiserver.Eventually(t, within, "the old name to be refused", func() error { return refused(was) })
	config := x.tls()
	config.InsecureSkipVerify = true // the certificate is for the old name
	conn, err := tls.Dial("tcp", g.address, config)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	// A name that is another's.
	x.say(func(r *route.Route) { r.Host = "acme.blue.example.org" })
	apiserver.Eventually(t, within, "the last name to be refused", func() error { return refused(config.ServerName) })
	if err := refused("acme.blue.example.org"); err != nil {
		t.Error(err)
	}
}

// TestAManagementClusterThatIsAway: what is known goes on to be known.
func TestAManagementClusterThatIsAway(t *testing.T) {
	x := newTenant(t, nil)
	config := apiserver.Config(t)
	line := throughLine(config)
	g := startGateway(t, settings{config: config})
	x.mustGet(g)
	line.breaks()
	x.mustGet(g)
	if !g.options.Routes.Known() {
		t.Error("the routes are not known any more")
	}
}

func TestLimits(t *testing.T) {
	t.Run("of all connections", func(t *testing.T) {
		x := newTenant(t, nil)
		limits := usual
		limits.Connections = 2
		g := startGateway(t, settings{Limits: limits})
		first, err := x.dial(g)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		second, err := x.dial(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.dial(g); err == nil {
			t.Fatal("a third was let in")
		}
		g.refused(t, tooManyConnections, 1)
		second.Close()
		g.gauge(t, g.metrics.openNow, 1)
		x.letsIn(g)
	})
	t.Run("of one tenant's", func(t *testing.T) {
		x, another := newTenant(t, nil), newTenant(t, nil)
		limits := usual
		limits.ConnectionsPerTenant = 1
		g := startGateway(t, settings{Limits: limits})
		first, err := x.dial(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.dial(g); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Fatalf("got %v", err)
		}
		g.refused(t, tooManyOfTenant, 1)
		another.mustGet(g)
		first.Close()
		g.gauge(t, g.metrics.openNow, 0)
		x.letsIn(g)
	})
	t.Run("of those who say nothing", func(t *testing.T) {
		x := newTenant(t, nil)
		limits := usual
		limits.Hellos, limits.HellosPerClient = 3, 2
		g := startGateway(t, settings{Limits: limits, proxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
		silent := func(client string) *net.TCPConn {
			conn := g.connect(t)
			if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 1234 443\r\n", client); err != nil {
				t.Fatal(err)
			}
			return conn
		}
		// Before a load balancer's word is read nobody is any client's: who is refused is then who
		// is read last.
		known := func(client string, want int) {
			apiserver.Eventually(t, within, "connections of "+client, func() error {
				g.hellos.mu.Lock()
				defer g.hellos.mu.Unlock()
				if got := g.hellos.byClient[netip.MustParseAddr(client)]; got != want {
					return fmt.Errorf("there are %d, want %d", got, want)
				}
				return nil
			})
		}
		first := silent("198.51.100.1")
		known("198.51.100.1", 1)
		silent("198.51.100.1")
		known("198.51.100.1", 2)
		silent("198.51.100.1")
		g.refused(t, tooManyHellosOfClient, 1)
		silent("198.51.100.2")
		g.gauge(t, g.metrics.readingNow, 3)
		silent("198.51.100.3")
		g.refused(t, tooManyHellos, 1)
		first.Close()
		g.gauge(t, g.metrics.readingNow, 2)
		conn := silent("198.51.100.1")
		if err := tls.Client(conn, x.tls()).Handshake(); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowClients have a limited time in all, however they spread what they say.
func TestSlowClients(t *testing.T) {
	x := newTenant(t, nil)
	limits := usual
	limits.Hello = 500 * time.Millisecond
	g := startGateway(t, settings{Limits: limits})
	conn := g.connect(t)
	began := time.Now()
	for _, b := range helloFor(t, x.route.Host) {
		if _, err := conn.Write([]byte{b}); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond) // a client that is slow
	}
	if took := time.Since(began); took < limits.Hello {
		t.Errorf("it was ended after %s", took)
	}
	g.refused(t, string(hello.Slow), 1)
	g.gauge(t, g.metrics.readingNow, 0)
}

// TestNoHello: who says something else is told so where their protocol allows it.
func TestNoHello(t *testing.T) {
	g := startGateway(t, settings{})
	for _, tt := range []struct{ name, said, want string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 8<<10), "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"},
		{"an empty record", "\x16\x03\x01\x00\x00", "\x15\x03\x01\x00\x02\x02\x0a"},
		{"more than is read", "\x16\x03\x01\x40\x00\x01\x00\x7f\xff" + strings.Repeat("\x00", 40<<10), "\x15\x03\x01\x00\x02\x02\x32"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := g.connect(t)
			if _, err := io.WriteString(conn, tt.said); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestProxyProtocol(t *testing.T) {
	x := newTenant(t, nil)
	client := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1234}
	server := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}
	header := func(version byte, command proxyproto.ProtocolVersionAndCommand) string {
		h := proxyproto.HeaderProxyFromAddrs(version, client, server)
		h.Command = command
		var b bytes.Buffer
		if _, err := h.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	listed, others := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tt := range []struct {
		name, header string
		from         []netip.Prefix
		user         string // by which address the user is known; nobody is let in if empty
		reason       string
	}{
		{"version 1", header(1, proxyproto.PROXY), listed, "198.51.100.7", ""},
		{"version 2", header(2, proxyproto.PROXY), listed, "198.51.100.7", ""},
		{"version 2, IPv6", "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + string(net.ParseIP("2001:db8::7")) + string(net.ParseIP("2001:db8::1")) + "\x04\xd2\x01\xbb", listed, "2001:db8::7", ""},
		{"version 2, the balancer's own", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", listed, "127.0.0.1", ""},
		{"version 1, of whom is not known", "PROXY UNKNOWN\r\n", listed, "127.0.0.1", ""},
		{"none from a balancer", "", listed, "", badProxyHeader},
		{"a bad one", "PROXY TCP4 no address\r\n", listed, "", badProxyHeader},
		{"from somebody else", header(1, proxyproto.PROXY), others, "", string(hello.NotTLS)},
		{"from somebody else, version 2", header(2, proxyproto.PROXY), others, "", string(hello.NotTLS)},
		{"none from somebody else", "", others, "127.0.0.1", ""},
		{"when nobody is listed", header(1, proxyproto.PROXY), nil, "", string(hello.NotTLS)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, settings{proxyFrom: tt.from})
			if got := g.clientOf(t, tt.header); tt.user != "" && got != tt.user {
				t.Errorf("the user is known as %s", got)
			}
			for _, together := range []bool{true, false} {
				conn := g.connect(t)
				var secure *tls.Conn
				if together { // in one segment
					secure = tls.Client(&begins{Conn: conn, with: tt.header}, x.tls())
				} else {
					if _, err := io.WriteString(conn, tt.header); err != nil {
						t.Fatal(err)
					}
					secure = tls.Client(conn, x.tls())
				}
				err := secure.Handshake()
				if tt.user == "" {
					if err == nil {
						t.Fatal("it was let in")
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				// Enough to be sure that it is spliced.
				before := testutil.ToFloat64(g.metrics.bytes[relay.ToClient][relay.Splice])
				if _, err := io.WriteString(secure, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if answer, err := io.ReadAll(secure); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
					t.Fatalf("got %q, %v", answer, err)
				}
				conn.Close()
				g.gauge(t, g.metrics.openNow, 0)
				if testutil.ToFloat64(g.metrics.bytes[relay.ToClient][relay.Splice]) == before {
					t.Error("nothing was spliced")
				}
			}
			if tt.reason != "" {
				g.refused(t, tt.reason, 2)
			}
		})
	}
}

// clientOf is who the gateway takes the client for that says this first.
func (g *gateway) clientOf(t *testing.T, says string) string {
	t.Helper()
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, says+"\x16"); err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c := &connection{Server: g.Server, TCPConn: accepted}
	if already, why := c.source(); why == nil && len(already) > 0 && string(already) != "\x16" {
		t.Errorf("%q was taken for what comes after the header", already)
	}
	return c.client.String()
}

// begins is a connection on which something is said together with the first thing that is.
type begins struct {
	net.Conn
	with string
}

func (b *begins) Write(p []byte) (int, error) {
	with := b.with
	b.with = ""
	n, err := b.Conn.Write(append([]byte(with), p...))
	return max(0, n-len(with)), err
}

// TestDrain: those who are in go on until they end, or until the time is over.
func TestDrain(t *testing.T) {
	x := newTenant(t, nil)
	g := startGateway(t, settings{})
	leaves, stays := mustDial(t, x, g), mustDial(t, x, g)
	if err := g.listens.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan struct{})
	go func() {
		g.Drain(ctx)
		close(drained)
	}()
	if _, err := net.Dial("tcp", g.address); err == nil {
		t.Error("somebody was let in")
	}
	for _, conn := range []*tls.Conn{leaves, stays} {
		if _, err := io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("one who was in cannot go on: %v", err)
		}
	}
	leaves.Close()
	g.gauge(t, g.metrics.openNow, 1)
	select {
	case <-drained:
		t.Fatal("it has ended with a connection open")
	default:
	}
	cancel()
	<-drained
	if _, err := io.Copy(io.Discard, stays); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want an ordinary end", err)
	}
	if g.Open() != 0 {
		t.Errorf("%d connections are left", g.Open())
	}
}

func mustDial(t *testing.T, x *tenant, g *gateway) *tls.Conn {
	t.Helper()
	conn, err := x.dial(g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
