package netdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netns"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// ErrNotRunning says that there is no development cluster to dial into.
var ErrNotRunning = errors.New("no development cluster runs: go run ./test/devcluster up")

// DialContext connects to an address as seen from the node of the development
// cluster in state.FromEnvironment's directory. The address must be numeric:
// host names would be resolved outside.
func DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	record, err := state.FromEnvironment().Load()
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, ErrNotRunning
	}
	return Dialer(record.NetNS)(ctx, network, addr)
}

// Dialer returns a dial function for one network namespace, named by its path.
func Dialer(path string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("dialling into %s: %w", path, err)
		}
		if net.ParseIP(host) == nil {
			return nil, fmt.Errorf("dialling into %s: %q is not an IP address", path, host)
		}
		var conn net.Conn
		err = Do(path, func() error {
			// With a numeric address net.Dialer makes the socket on the calling
			// goroutine, thus on the thread that Do moved; FallbackDelay < 0
			// rules out its other way, a goroutine per address family.
			var derr error
			conn, derr = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
			return derr
		})
		return conn, err
	}
}

// Do runs f on a thread inside the network namespace. Sockets that f makes on
// its own goroutine, and processes that it starts, belong to the namespace for
// good. It needs CAP_SYS_ADMIN.
func Do(path string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("entering %s: %w", path, err)
			return
		}
		defer home.Close()
		target, err := netns.GetFromPath(path)
		if err != nil {
			result <- fmt.Errorf("entering %s: %w", path, err)
			return
		}
		defer target.Close()
		if err := netns.Set(target); err != nil {
			result <- fmt.Errorf("entering %s (are you root?): %w", path, err)
			return
		}
		err = f()
		// A thread that cannot be moved back stays locked: the runtime ends it
		// together with this goroutine.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}
