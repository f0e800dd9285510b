// Package forward carries TCP connections from a listener to where a dial
// function leads, such as into another network namespace.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
)

// Dial opens the far side of a connection.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Serve accepts connections until ctx ends and carries each to the target. It
// closes the listener.
func Serve(ctx context.Context, listener net.Listener, dial Dial, target string) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accepting on %s: %w", listener.Addr(), err)
		}
		go func() {
			if err := carry(ctx, conn, dial, target); err != nil {
				log.Printf("%s: %v", conn.RemoteAddr(), err)
			}
		}()
	}
}

// carry dials the target and copies in both directions until both ends are
// done. A half-closed connection stays open the other way.
func carry(ctx context.Context, near net.Conn, dial Dial, target string) error {
	defer near.Close()
	far, err := dial(ctx, "tcp", target)
	if err != nil {
		return err
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(near, far) })
	wg.Go(func() { pipe(far, near) })
	wg.Wait()
	return nil
}

// pipe copies one direction and passes the end of it on. Errors are the peers'
// business: each sees its connection end.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if closer, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = closer.CloseWrite()
		return
	}
	to.Close()
}
