package entrance

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// dialWithin is how long a connection may take to be passed on.
const dialWithin = 10 * time.Second

// dialSending connects to the sending server by a proxy and returns when the connection has been passed
// on: the server has answered.
func dialSending(ctx context.Context, by string, hello []byte) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialWithin}).DialContext(ctx, "tcp", by)
	if err != nil {
		return nil, err
	}
	// A connection without a deadline cannot be had: setting it fails on one that is closed.
	_ = conn.SetDeadline(time.Now().Add(dialWithin))
	if _, err = conn.Write(hello); err == nil {
		_, err = io.ReadFull(conn, []byte{0})
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("asking %s for %s: %w", by, host(sending), err)
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, nil
}

// throughput is how many MiB a second come through a proxy by so many connections, once they have had
// a moment to get up to speed.
func throughput(ctx context.Context, by string, hello []byte, streams int, speedUp, window time.Duration) (float64, error) {
	conns := make([]net.Conn, 0, streams)
	var received atomic.Int64
	var reading errgroup.Group
	defer func() {
		for _, conn := range conns {
			_ = conn.Close() // it has been read from
		}
		_ = reading.Wait() // what reads ends by that
	}()
	for range streams {
		conn, err := dialSending(ctx, by, hello)
		if err != nil {
			return 0, err
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		if _, err := conn.Write([]byte{1}); err != nil {
			return 0, err
		}
		reading.Go(func() error {
			for into := make([]byte, chunk); ; {
				n, err := conn.Read(into)
				received.Add(int64(n))
				if err != nil {
					return err
				}
			}
		})
	}
	if err := pause(ctx, speedUp); err != nil {
		return 0, err
	}
	begun, before := time.Now(), received.Load()
	if err := pause(ctx, window); err != nil {
		return 0, err
	}
	return float64(received.Load()-before) / (1 << 20) / time.Since(begun).Seconds(), nil
}

// dialAnswering connects to the answering server by a proxy. Every handshake is a whole one.
func (b *backend) dialAnswering(ctx context.Context, by string) (*tls.Conn, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialWithin}, Config: &tls.Config{RootCAs: b.trusted, ServerName: host(answering)}}
	conn, err := dialer.DialContext(ctx, "tcp", by)
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s: %w", by, host(answering), err)
	}
	return conn.(*tls.Conn), nil
}

// ask sends a message and reads the answer.
func ask(conn net.Conn, message, answer []byte) error {
	if err := conn.SetDeadline(time.Now().Add(dialWithin)); err != nil {
		return err
	}
	if _, err := conn.Write(message); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(message, answer) {
		return fmt.Errorf("%s answered something else than was said", conn.RemoteAddr())
	}
	return nil
}

// latencies are what small requests take by a proxy, in microseconds and sorted, one after the other
// on connections that take turns.
func (b *backend) latencies(ctx context.Context, by string, connections, requests int) ([]float64, error) {
	conns := make([]*tls.Conn, 0, connections)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close() // every answer has been read
		}
	}()
	for range connections {
		conn, err := b.dialAnswering(ctx, by)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	message, answer := bytes.Repeat([]byte("x"), messageBytes), make([]byte, messageBytes)
	took := make([]float64, 0, requests)
	for i := range requests {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		begun := time.Now()
		if err := ask(conns[i%connections], message, answer); err != nil {
			return nil, fmt.Errorf("asking by %s: %w", by, err)
		}
		took = append(took, float64(time.Since(begun).Nanoseconds())/1000)
	}
	slices.Sort(took)
	return took, nil
}

// handshakes is how many connections a second some users open by a proxy, each with a TLS handshake and
// one request.
func (b *backend) handshakes(ctx context.Context, by string, users int, window time.Duration) (float64, error) {
	var count atomic.Int64
	group, each := errgroup.WithContext(ctx)
	begun := time.Now()
	for range users {
		group.Go(func() error {
			message, answer := make([]byte, messageBytes), make([]byte, messageBytes)
			for time.Since(begun) < window {
				conn, err := b.dialAnswering(each, by)
				if err != nil {
					return err
				}
				err = ask(conn, message, answer)
				_ = conn.Close() // the answer has been read
				if err != nil {
					return fmt.Errorf("asking by %s: %w", by, err)
				}
				count.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(count.Load()) / time.Since(begun).Seconds(), err
}

// pause waits.
func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(long):
		return nil
	}
}
