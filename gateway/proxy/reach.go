package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/gateway/hello"
	"github.com/teapot-cloud/teapot/gateway/routes"
)

const (
	// dialWithin is how long an API server, which is in the same cluster, has to accept a connection.
	dialWithin = 2 * time.Second
	// askWithin is how long it has to say whether it is ready.
	askWithin = 2 * time.Second
	// askEvery is how often it is asked.
	askEvery = 100 * time.Millisecond
)

// reach returns a connection to the API server that the user's is to be passed on to. If there is none
// yet, the user waits.
func (c *connection) reach() (*net.TCPConn, *rejection) {
	ctx, cancel := context.WithTimeout(c.ctx, c.options.Hold)
	defer cancel()
	state := c.tenant.State(c.options.Clock.Now())
	if state.Serves {
		if server, err := c.dial(ctx, state.Route.Backend); err == nil {
			return server, nil
		}
		c.tenant.Unanswered()
	}
	defer c.tenant.Hold()()
	held := c.options.Metrics.holding()
	server, why := c.wait(ctx, state.Route)
	held(server != nil)
	return server, why
}

// wait waits for the API server as long as the context goes on. A control plane that was put to sleep
// since the user asked for it, which found it as first says, is not woken for that.
func (c *connection) wait(ctx context.Context, first route.Route) (*net.TCPConn, *rejection) {
	for {
		state := c.tenant.State(c.options.Clock.Now())
		var again <-chan time.Time
		switch {
		case state.Gone:
			return nil, &rejection{reason: unknownName, reply: hello.Alert(hello.AlertUnrecognizedName)}
		case state.Route.Asleep && !state.Route.WakeOnRequest:
			return nil, &rejection{reason: asleep, reply: hello.Alert(hello.AlertAccessDenied)}
		case state.Route.Asleep && !(first.Asleep && first.Since.Equal(state.Route.Since)):
		case state.Route.Asleep:
			c.options.Routes.Wake(c.ctx, c.tenant, c.client)
		case state.Serves:
			server, err := c.dial(ctx, state.Route.Backend)
			if err == nil {
				return server, nil
			}
			c.tenant.Unanswered()
			again = time.After(askEvery)
		default:
			c.ask(c.tenant)
		}
		select {
		case <-again:
		case <-state.Changed:
		case <-ctx.Done():
			return c.lastTry(state)
		}
	}
}

// lastTry passes a connection on to an API server that is not ready and has not started lately: what it
// has to say of its trouble is worth more than a closed connection.
func (c *connection) lastTry(state routes.State) (*net.TCPConn, *rejection) {
	if state.Settled && c.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(c.ctx, lastTryWithin)
		defer cancel()
		if server, err := c.dial(ctx, state.Route.Backend); err == nil {
			return server, nil
		}
	}
	return nil, &rejection{reason: expired}
}

// lastTryWithin is short: the client's patience is nearly at its end.
const lastTryWithin = 500 * time.Millisecond

var errNoAddress = errors.New("the control plane has no address yet")

func (s *Server) dial(ctx context.Context, backend netip.AddrPort) (*net.TCPConn, error) {
	if !backend.IsValid() {
		return nil, errNoAddress
	}
	conn, err := s.dialer.DialContext(ctx, "tcp", backend.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// ask asks a tenant's API server whether it is ready until it is, or nobody waits for it any more. One
// asks for all who wait.
func (s *Server) ask(tenant *routes.Tenant) {
	if !tenant.BeginAsking() {
		return
	}
	go func() {
		var asked route.Route
		client := &http.Client{}
		defer func() { client.CloseIdleConnections() }()
		current, goOn := tenant.KeepAsking(routes.NoAnswer, s.options.Clock.Now())
		for goOn {
			if current != asked {
				client.CloseIdleConnections()
				asked, client = current, s.asker(current)
			}
			answer := s.answer(client, current)
			current, goOn = tenant.KeepAsking(answer, s.options.Clock.Now())
			if goOn {
				select {
				case <-time.After(askEvery):
				case <-s.ctx.Done():
					return
				}
			}
		}
	}()
}

// asker is a client for one tenant's API server: nothing of it is another's.
func (s *Server) asker(r route.Route) *http.Client {
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(r.CertificateAuthority))
	return &http.Client{
		Timeout: askWithin,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx, r.Backend) },
			TLSClientConfig: &tls.Config{
				RootCAs: authorities, ServerName: r.Host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			},
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what the API server says when it is asked whether it is ready.
func (s *Server) answer(client *http.Client, r route.Route) routes.Answer {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "https://"+r.Host+"/readyz", nil)
	if err != nil {
		return routes.NoAnswer
	}
	response, err := client.Do(request)
	if err != nil {
		return routes.NoAnswer
	}
	defer response.Body.Close()
	// So that the connection is used again.
	_, _ = io.CopyN(io.Discard, response.Body, 1<<10)
	if response.StatusCode != http.StatusOK {
		return routes.NotReady
	}
	return routes.Ready
}
