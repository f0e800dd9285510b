// Package proxy lets users in: it accepts their connections, reads which control plane they ask for
// (package hello), holds them while it wakes, and passes them on (package relay). Who is refused, and
// how many there may be of what, is decided here.
package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/teapot-cloud/teapot/gateway/hello"
	"github.com/teapot-cloud/teapot/gateway/relay"
	"github.com/teapot-cloud/teapot/gateway/routes"
)

// Limits are how many there may be at once, and how long something may take.
type Limits struct {
	// Connections is how many connections there may be, and ConnectionsPerTenant how many to one
	// control plane, held ones included.
	Connections, ConnectionsPerTenant int
	// Hellos is how many connections may not have said yet whom they ask for, and HellosPerClient how
	// many of one client's.
	Hellos, HellosPerClient int
	// Hello is how long a client has to say whom it asks for.
	Hello time.Duration
	// Hold is how long a connection waits for an API server that does not serve yet. client-go gives a
	// TLS handshake ten seconds, and does not try again after that; it does if the connection is closed
	// before.
	Hold time.Duration
	// Idle is after how long without a byte a connection is ended.
	Idle time.Duration
}

// Options are what a Server works with.
type Options struct {
	Limits
	// ProxyProtocolFrom are the addresses of load balancers that put a PROXY protocol header before
	// each connection. It counts from nobody else, and without it their connections are refused.
	ProxyProtocolFrom []netip.Prefix
	Routes            *routes.Routes
	Metrics           *Metrics
	Clock             clock.PassiveClock
	Log               logr.Logger
}

// Server lets users in.
type Server struct {
	options Options
	dialer  net.Dialer

	ctx context.Context // ends with the server
	end context.CancelFunc

	waiting sync.WaitGroup // for all connections
	mu      sync.Mutex
	open    map[closer]struct{}
	hellos  hellos
}

// closer is a connection that is not passed on yet, or one that is.
type closer interface{ Close() }

// New returns a server that listens to nobody yet.
func New(options Options) *Server {
	ctx, end := context.WithCancel(context.Background())
	return &Server{
		options: options, ctx: ctx, end: end, open: map[closer]struct{}{},
		dialer: net.Dialer{Timeout: dialWithin, KeepAliveConfig: keepAlive, Control: control},
		hellos: hellos{byClient: map[netip.Addr]int{}},
	}
}

// keepAlive finds out within two minutes that a client or a server has vanished without a word: one
// that has, say a laptop that was closed, must not count as a user.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 3}

// vanishedAfter is the same for connections on which something has been sent and is not acknowledged,
// where the kernel sends no probes and would try for a quarter of an hour.
const vanishedAfter = 2 * time.Minute

// Listen listens as Serve wants it.
func Listen(ctx context.Context, address string) (*net.TCPListener, error) {
	listener, err := (&net.ListenConfig{KeepAliveConfig: keepAlive, Control: control}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}

// acceptAgain is how long to wait after a connection that could not be accepted, mostly for want of
// descriptors.
const acceptAgain = 50 * time.Millisecond

// Serve lets in who connects, until the listener is closed.
func (s *Server) Serve(listener *net.TCPListener) error {
	failing := false
	for {
		conn, err := listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			if !failing {
				s.options.Log.Error(err, "connections cannot be accepted")
			}
			failing = true
			time.Sleep(acceptAgain)
			continue
		}
		failing = false
		c := &connection{Server: s, TCPConn: conn}
		if !s.add(c) {
			s.options.Metrics.rejected(tooManyConnections)
			_ = conn.Close() // a flood gets no answer
			continue
		}
		go c.serve()
	}
}

// Drain waits until all connections have ended, or else ends them when the context does.
func (s *Server) Drain(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		s.waiting.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	s.end()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	<-ended
}

// Open is how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Server) add(c closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.options.Connections {
		return false
	}
	s.open[c] = struct{}{}
	s.waiting.Add(1)
	return true
}

// replace has one connection take another's place.
func (s *Server) replace(old, new closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, old)
	s.open[new] = struct{}{}
}

func (s *Server) remove(c closer) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.waiting.Done()
}

// connection is a user's connection that is not passed on yet.
type connection struct {
	*Server
	*net.TCPConn
	client netip.Addr
	tenant *routes.Tenant
}

// Close ends it.
func (c *connection) Close() {
	_ = c.TCPConn.Close() // one that cannot be closed is closed
}

// serve reads whom the connection asks for and passes it on, or refuses it. It returns then.
func (c *connection) serve() {
	said, rejection := c.read()
	if rejection != nil {
		c.reject(rejection)
		c.remove(c)
		return
	}
	server, rejection := c.reach()
	if rejection == nil {
		rejection = c.passOn(server, said)
	}
	if rejection != nil {
		c.reject(rejection)
		c.tenant.Leave()
		c.remove(c)
	}
}

// passOn hands the connection over to a relay.
func (c *connection) passOn(server *net.TCPConn, said []byte) *rejection {
	if n, err := server.Write(said); err != nil {
		_ = server.Close() // it is of no use
		return &rejection{reason: serverGone}
	} else {
		c.options.Metrics.count(relay.ToServer, relay.Copy, n)
	}
	metrics, routes := c.options.Metrics, c.options.Routes
	routes.Opened(c.tenant, c.client)
	metrics.passedOn()
	started := make(chan *relay.Relay, 1)
	r := relay.Start(c.TCPConn, server, relay.Options{
		Idle:  c.options.Idle,
		Count: metrics.count,
		Ended: func() {
			routes.Closed(c.tenant, c.client)
			c.tenant.Leave()
			metrics.ended()
			c.remove(<-started)
		},
	})
	c.replace(c, r)
	started <- r
	return nil
}

// rejection is why a connection is not passed on.
type rejection struct {
	reason string
	reply  []byte // what to send; nothing if empty
}

// lingerFor is how long a client that was told why it is refused has to read it. If the connection was
// closed with something of the client's unread, the kernel would reset it and the client might never
// see the reason.
const lingerFor = time.Second

// lingerBytes is how much a client may go on to say meanwhile.
const lingerBytes = 64 << 10

func (c *connection) reject(why *rejection) {
	c.options.Metrics.rejected(why.reason)
	if len(why.reply) > 0 {
		// Whatever fails here, the connection is closed next.
		_ = c.SetDeadline(time.Now().Add(lingerFor))
		if _, err := c.Write(why.reply); err == nil && c.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
		}
	}
	c.Close()
}

// read reads whom the connection asks for, and finds the control plane. It returns what was said so
// far, which is for its API server.
func (c *connection) read() ([]byte, *rejection) {
	metrics := c.options.Metrics
	if !c.hellos.begin(c.options.Hellos) {
		return nil, &rejection{reason: tooManyHellos}
	}
	defer c.hellos.end()
	defer metrics.reading()()
	// A connection without a deadline cannot be had: setting it fails on one that is closed.
	_ = c.SetReadDeadline(time.Now().Add(c.options.Hello))
	already, why := c.source()
	if why != nil {
		return nil, why
	}
	if !c.hellos.beginClient(c.client, c.options.HellosPerClient) {
		return nil, &rejection{reason: tooManyHellosOfClient}
	}
	defer c.hellos.endClient(c.client)
	said, err := hello.Read(c.TCPConn, already)
	var problem *hello.Error
	if errors.As(err, &problem) {
		return nil, &rejection{reason: string(problem.Reason), reply: problem.Reply}
	}
	_ = c.SetReadDeadline(time.Time{})
	if said.ServerName == "" {
		return nil, &rejection{reason: noName, reply: hello.Alert(hello.AlertUnrecognizedName)}
	}
	tenant, found := c.options.Routes.Lookup(said.ServerName)
	if !found {
		return nil, &rejection{reason: unknownName, reply: hello.Alert(hello.AlertUnrecognizedName)}
	}
	if !tenant.Admit(c.options.ConnectionsPerTenant) {
		return nil, &rejection{reason: tooManyOfTenant, reply: hello.Alert(hello.AlertInternalError)}
	}
	c.tenant = tenant
	return said.Raw, nil
}
