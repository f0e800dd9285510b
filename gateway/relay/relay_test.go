package relay

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ends are a relay and the two who speak through it.
type ends struct {
	client, server *net.TCPConn
	relay          *Relay
	ended          chan struct{}
	passed         [2][2]atomic.Int64 // by direction and path
}

func (e *ends) count(direction Direction, path Path) int64 { return e.passed[direction][path].Load() }

func start(t testing.TB, idle time.Duration) *ends {
	t.Helper()
	e := &ends{ended: make(chan struct{})}
	var inner, outer *net.TCPConn
	e.client, outer = pair(t)
	inner, e.server = pair(t)
	e.relay = Start(outer, inner, Options{
		Idle:  idle,
		Count: func(d Direction, p Path, n int) { e.passed[d][p].Add(int64(n)) },
		Ended: func() { close(e.ended) },
	})
	t.Cleanup(func() {
		e.relay.Close()
		<-e.ended
	})
	return e
}

// pair is a connection: its two ends.
func pair(t testing.TB) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []*net.TCPConn{dialled, accepted} {
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return dialled, accepted
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func hasEnded(t *testing.T, e *ends) {
	t.Helper()
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		t.Fatal("the relay has not ended")
	}
}

// TestBothWays: what one side says the other hears, and the end of it, while the other may go on.
func TestBothWays(t *testing.T) {
	e := start(t, time.Minute)
	question, answer := random(t, 5<<20), random(t, 7<<20)
	heard := make(chan error, 1)
	go func() {
		got, err := io.ReadAll(e.server)
		if err == nil && !bytes.Equal(got, question) {
			err = errors.New("the server heard something else")
		}
		if err == nil {
			_, err = e.server.Write(answer) // after the client's end
		}
		heard <- errors.Join(err, e.server.CloseWrite())
	}()
	if _, err := e.client.Write(question); err != nil {
		t.Fatal(err)
	}
	if err := e.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(e.client)
	if err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("the client heard %d bytes of %d: %v", len(got), len(answer), err)
	}
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	hasEnded(t, e)
	if up, down := e.count(ToServer, Splice)+e.count(ToServer, Copy), e.count(ToClient, Splice)+e.count(ToClient, Copy); up != int64(len(question)) || down != int64(len(answer)) {
		t.Errorf("counted %d and %d bytes", up, down)
	}
}

// TestTheServersEnd is the client's, who may go on speaking.
func TestTheServersEnd(t *testing.T) {
	e := start(t, time.Minute)
	if err := e.server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(e.client); err != nil || len(got) > 0 {
		t.Fatalf("the client heard %q, %v", got, err)
	}
	if _, err := e.client.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if err := e.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(e.server); err != nil || string(got) != "still here" {
		t.Fatalf("the server heard %q, %v", got, err)
	}
	hasEnded(t, e)
}

// TestReset: an end that is none is passed on as such.
func TestReset(t *testing.T) {
	for name, who := range map[string]func(*ends) (breaks, hears *net.TCPConn){
		"by the client": func(e *ends) (*net.TCPConn, *net.TCPConn) { return e.client, e.server },
		"by the server": func(e *ends) (*net.TCPConn, *net.TCPConn) { return e.server, e.client },
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, time.Minute)
			breaks, hears := who(e)
			if err := breaks.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := breaks.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := hears.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other side heard %v, want a reset", err)
			}
			hasEnded(t, e)
		})
	}
}

// TestIdle: a connection on which nothing is said is ended, and one with something going one way
// only is not.
func TestIdle(t *testing.T) {
	const idle = 400 * time.Millisecond
	endsWhenIdle(t, start(t, idle), idle)
}

func endsWhenIdle(t *testing.T, e *ends, idle time.Duration) {
	t.Helper()
	began, last := time.Now(), time.Now()
	for time.Since(began) < 3*idle {
		last = time.Now() // before it is passed on
		if _, err := e.server.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(e.client, make([]byte, 1)); err != nil {
			t.Fatalf("it was ended after %s although something was said: %v", time.Since(began), err)
		}
		time.Sleep(idle / 10) // between two words
	}
	if got, err := io.ReadAll(e.client); err != nil || len(got) > 0 {
		t.Errorf("the client heard %q, %v; want an ordinary end", got, err)
	}
	if silent := time.Since(last); silent < idle {
		t.Errorf("it was ended after %s of silence, want %s", silent, idle)
	}
	hasEnded(t, e)
}

// TestAReaderThatStops stops the writer, too, and loses nothing; when it has read nothing for long it
// is ended.
func TestAReaderThatStops(t *testing.T) {
	e := start(t, 2*time.Second)
	const much = 64 << 20 // more than sockets and pipes hold
	written := make(chan error, 1)
	go func() {
		_, err := e.client.Write(make([]byte, much))
		written <- err
	}()
	select {
	case err := <-written:
		if err == nil {
			t.Fatal("64 MiB were written that nobody reads")
		}
	case <-time.After(time.Minute):
		t.Fatal("the writer is held for ever")
	}
	hasEnded(t, e)
}

// TestClose ends a relay from outside.
func TestClose(t *testing.T) {
	e := start(t, time.Minute)
	e.relay.Close()
	for _, conn := range []*net.TCPConn{e.client, e.server} {
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("heard %q, %v", got, err)
		}
	}
	hasEnded(t, e)
}
