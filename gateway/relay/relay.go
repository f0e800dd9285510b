// Package relay passes bytes between two TCP connections, both ways, until both are at their end. On
// Linux the bytes do not pass through this process: splice(2) moves them from socket to socket by a
// pipe, which is borrowed only while bytes are under way, so that an idle connection costs two
// goroutines and nothing else.
package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is where bytes go.
type Direction int

// Directions.
const (
	ToServer Direction = iota
	ToClient
)

// Path is how bytes go.
type Path int

// Paths.
const (
	// Splice: by the kernel alone.
	Splice Path = iota
	// Copy: through this process.
	Copy
)

// halfClosedFor is how long a connection may be silent of which one side has said all that it had
// to say. haproxy's documentation advises such a limit for the same reason (timeout client-fin): of
// the other side nothing may ever be heard again.
const halfClosedFor = time.Minute

// Options are the limits of a relay, and who is told of it.
type Options struct {
	// Idle is after how long without a byte in either direction the connection is ended.
	Idle time.Duration
	// Count is told of bytes that were passed on. It must not block.
	Count func(Direction, Path, int)
	// Ended is told once, when both connections are closed.
	Ended func()
}

// Relay is two connections that are passed on to one another.
type Relay struct {
	client, server *net.TCPConn
	options        Options

	began time.Time
	last  atomic.Int64 // when bytes last moved, since began
	limit atomic.Int64 // of idle time

	running atomic.Int32
	closing sync.Once
}

// Start passes on what comes from now on, in goroutines of its own. It owns both connections.
func Start(client, server *net.TCPConn, options Options) *Relay {
	r := &Relay{client: client, server: server, options: options, began: time.Now()}
	r.limit.Store(int64(options.Idle))
	r.running.Store(2)
	r.extend()
	go r.run(ToServer, client, server)
	go r.run(ToClient, server, client)
	return r
}

// Close ends both connections.
func (r *Relay) Close() {
	r.closing.Do(func() { r.close() })
}

// abort ends both connections by a reset: who still listens must not take what has come for all.
func (r *Relay) abort() {
	r.closing.Do(func() {
		// Where it fails, the connection is closed in the ordinary way.
		_ = r.client.SetLinger(0)
		_ = r.server.SetLinger(0)
		r.close()
	})
}

func (r *Relay) close() {
	// Nothing can be done about a connection that cannot be closed.
	_ = r.client.Close()
	_ = r.server.Close()
}

func (r *Relay) run(direction Direction, from, to *net.TCPConn) {
	err := r.pass(direction, from, to)
	switch {
	case err == nil:
		// The end of one direction. The other may go on.
		r.limit.Store(min(r.limit.Load(), int64(halfClosedFor)))
		if err := to.CloseWrite(); err != nil {
			r.abort()
		}
		r.extend()
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.Close()
	default:
		r.abort()
	}
	if r.running.Add(-1) == 0 {
		r.Close()
		r.options.Ended()
	}
}

// passed notes that bytes were passed on.
func (r *Relay) passed(direction Direction, path Path, n int) {
	r.last.Store(int64(time.Since(r.began)))
	r.options.Count(direction, path, n)
}

// extend lets both connections be silent for as long as they may since bytes last moved. A deadline
// is not moved with each byte, which would cost more than the byte: it is looked at again when it
// is over.
func (r *Relay) extend() {
	// On a connection that was closed meanwhile it fails, as what is done with it next does.
	deadline := r.began.Add(time.Duration(r.last.Load() + r.limit.Load()))
	_ = r.client.SetDeadline(deadline)
	_ = r.server.SetDeadline(deadline)
}

// goOn says whether something that failed is to be done again: its deadline was over, and bytes had
// moved since the deadline was set.
func (r *Relay) goOn(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if int64(time.Since(r.began)) >= r.last.Load()+r.limit.Load() {
		return false
	}
	r.extend()
	return true
}

// copySize is of what is read at once where bytes are copied: what the pipe of a splice holds.
const copySize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// copyAll copies until the end.
func (r *Relay) copyAll(direction Direction, from, to *net.TCPConn) error {
	buffer := buffers.Get().(*[copySize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if err := r.write(direction, to, buffer[:n]); err != nil {
			return err
		}
		switch {
		case err == nil || r.goOn(err):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// write writes what was copied.
func (r *Relay) write(direction Direction, to *net.TCPConn, p []byte) error {
	for len(p) > 0 {
		n, err := to.Write(p)
		if n > 0 {
			r.passed(direction, Copy, n)
		}
		p = p[n:]
		if err != nil && !r.goOn(err) {
			return err
		}
	}
	return nil
}
