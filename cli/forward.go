package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// dialDeadline bounds one attempt to open a tunnel to a pod.
	dialDeadline = 10 * time.Second
	// holdDeadline is how long a connection is held while there is no pod to serve it.
	// Clients of Kubernetes give a TLS handshake 10 s, so nobody waits for longer.
	holdDeadline = 10 * time.Second
	// redialAfter spaces out attempts when every pod refused one.
	redialAfter = 500 * time.Millisecond
)

// forwarder carries connections from a listener on this machine to a port of whichever
// pod is ready. All connections share one tunnel (a port-forward session) to one pod.
// When that pod is no longer ready, new connections go by a new tunnel to another one,
// while those in the old tunnel live on until they end or their pod is gone: a rolling
// change does not end the forwarder.
type forwarder struct {
	pods *podSet
	port int32
	// dial opens a tunnel to a pod. An error that is permanent (see permanentError) is
	// returned to whoever waits; any other is tried again.
	dial func(ctx context.Context, pod string) (httpstream.Connection, error)
	note func(format string, args ...any)
	// why says more about a connection for which there is no pod; empty: nothing.
	why func(ctx context.Context) string

	// dialing is held by whoever opens a tunnel; the others want the same one.
	dialing chan struct{}
	mu      sync.Mutex
	current *tunnel
	open    []*tunnel
	// lastNote keeps a failure that repeats to one line.
	lastNote string
}

// permanentError is an error of dial that another attempt does not cure.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

func newForwarder(pods *podSet, port int32, dial func(context.Context, string) (httpstream.Connection, error), note func(string, ...any), why func(context.Context) string) *forwarder {
	return &forwarder{pods: pods, port: port, dial: dial, note: note, why: why, dialing: make(chan struct{}, 1)}
}

// serve accepts connections until ctx ends.
func (f *forwarder) serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer f.closeTunnels(func(*tunnel) bool { return true })
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go f.handle(ctx, conn)
	}
}

// handle carries one connection.
func (f *forwarder) handle(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	hold, cancel := context.WithTimeout(ctx, holdDeadline)
	defer cancel()
	for {
		t, err := f.tunnel(hold)
		if err != nil {
			f.noteOnce("Connection closed: %v%s", err, f.why(ctx))
			return
		}
		s, err := t.openStreams(hold, f.port)
		if err != nil {
			// Nothing was read from the connection yet, so another tunnel will do.
			t.close()
			continue
		}
		cancel()
		if err := s.carry(conn); err != nil {
			f.noteOnce("Connection by pod %s closed: %v", t.pod, err)
		}
		return
	}
}

// tunnel returns a tunnel to a ready pod, a new one if need be.
func (f *forwarder) tunnel(ctx context.Context) (*tunnel, error) {
	var tried attempts
	for {
		select {
		case f.dialing <- struct{}{}:
		case <-ctx.Done():
			return nil, tried.gaveUp(ctx)
		}
		t, changed, err := f.tunnelLocked(ctx, &tried)
		<-f.dialing
		if t != nil || err != nil {
			return t, err
		}
		var again <-chan time.Time
		if len(tried.refused) > 0 {
			again = time.After(redialAfter)
		}
		select {
		case <-changed:
		case <-again:
			tried.refused = nil
		case <-ctx.Done():
			return nil, tried.gaveUp(ctx)
		}
	}
}

// attempts are the tries to get one tunnel: the pods that refused one in this round, and
// the last reason.
type attempts struct {
	refused []string
	last    error
}

// gaveUp says what was waited for in vain.
func (a *attempts) gaveUp(ctx context.Context) error {
	if a.last != nil {
		return a.last
	}
	return fmt.Errorf("no control-plane pod is ready (%w)", context.Cause(ctx))
}

// tunnelLocked is one attempt. Without a tunnel and an error there is nothing to try
// until the pods change.
func (f *forwarder) tunnelLocked(ctx context.Context, tried *attempts) (*tunnel, <-chan struct{}, error) {
	ready, changed, err := f.pods.ready()
	if err != nil {
		return nil, nil, err
	}
	f.mu.Lock()
	current := f.current
	f.mu.Unlock()
	if current != nil && !current.closed() && slices.Contains(ready, current.pod) {
		return current, changed, nil
	}
	for _, pod := range ready {
		if slices.Contains(tried.refused, pod) {
			continue
		}
		dialCtx, cancel := context.WithTimeout(ctx, dialDeadline)
		conn, err := f.dial(dialCtx, pod)
		cancel()
		var permanent permanentError
		switch {
		case errors.As(err, &permanent):
			return nil, changed, err
		case err != nil:
			tried.refused = append(tried.refused, pod)
			// Not wrapped: that its own deadline ended it is not that ctx did.
			tried.last = fmt.Errorf("port-forward to pod %s failed: %v", pod, err)
			f.noteOnce("Trying again: %v", tried.last)
			continue
		}
		t := &tunnel{pod: pod, conn: conn}
		f.mu.Lock()
		if f.current != nil {
			f.note("Continuing by pod %s", pod)
		}
		f.current, f.lastNote = t, ""
		f.open = append(slices.DeleteFunc(f.open, (*tunnel).closed), t)
		f.mu.Unlock()
		return t, changed, nil
	}
	return nil, changed, nil
}

// podsGone closes the tunnels to pods that do not exist any more. Their connections
// would otherwise hang until a time-out of the network ends them.
func (f *forwarder) podsGone(exists func(pod string) bool) {
	f.closeTunnels(func(t *tunnel) bool { return !exists(t.pod) })
}

func (f *forwarder) closeTunnels(which func(*tunnel) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.open {
		if which(t) {
			t.close()
		}
	}
}

func (f *forwarder) noteOnce(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if text != f.lastNote {
		f.lastNote = text
		f.note("%s", text)
	}
}

// tunnel is a port-forward session to a pod.
type tunnel struct {
	pod      string
	conn     httpstream.Connection
	requests atomic.Int64
}

func (t *tunnel) closed() bool {
	select {
	case <-t.conn.CloseChan():
		return true
	default:
		return false
	}
}

func (t *tunnel) close() { _ = t.conn.Close() }

// streams are the two streams of one connection in a tunnel: its bytes, and what the
// kubelet has to say if it cannot carry them.
type streams struct {
	tunnel      *tunnel
	data, error httpstream.Stream
}

// openStreams begins a connection, in the way that kubelet's port-forward protocol
// wants it: the error stream first, both with one request id.
func (t *tunnel) openStreams(ctx context.Context, port int32) (*streams, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(t.requests.Add(1), 10))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	errorStream, err := t.createStream(ctx, headers)
	if err != nil {
		return nil, err
	}
	// Nothing is ever sent on it.
	if err := errorStream.Close(); err != nil {
		return nil, err
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	dataStream, err := t.createStream(ctx, headers)
	if err != nil {
		t.conn.RemoveStreams(errorStream)
		return nil, err
	}
	return &streams{tunnel: t, data: dataStream, error: errorStream}, nil
}

// errTunnelEnded is why a stream could not be opened.
var errTunnelEnded = errors.New("the tunnel has ended")

// createStream is CreateStream of the tunnel's connection, which waits half a minute for the answer
// even if the connection has ended meanwhile (createStreamResponseTimeout in
// k8s.io/streaming/pkg/httpstream/spdy/connection.go).
func (t *tunnel) createStream(ctx context.Context, headers http.Header) (httpstream.Stream, error) {
	type result struct {
		stream httpstream.Stream
		err    error
	}
	results := make(chan result, 1)
	headers = headers.Clone()
	go func() {
		stream, err := t.conn.CreateStream(headers)
		results <- result{stream, err}
	}()
	select {
	case r := <-results:
		return r.stream, r.err
	case <-t.conn.CloseChan():
		return nil, errTunnelEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx) // the caller closes the tunnel, and the stream with it
	}
}

// carry copies in both directions until either side is done, and returns what the
// kubelet reported.
func (s *streams) carry(conn net.Conn) error {
	defer s.tunnel.conn.RemoveStreams(s.data, s.error)
	reported := make(chan string, 1)
	go func() {
		message, _ := io.ReadAll(s.error)
		reported <- strings.TrimSpace(string(message))
	}()
	received, failed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(received)
		_, _ = io.Copy(conn, s.data)
	}()
	go func() {
		_, err := io.Copy(s.data, conn)
		// The client has sent all; the answer may still be on its way.
		_ = s.data.Close()
		if err != nil {
			close(failed)
		}
	}()
	select {
	case <-received:
	case <-failed:
	case <-s.tunnel.conn.CloseChan():
	}
	// Data that nobody reads would hold up the error stream too.
	_ = s.data.Reset()
	select {
	case message := <-reported:
		if message != "" {
			return errors.New(message)
		}
	case <-s.tunnel.conn.CloseChan():
	}
	return nil
}
