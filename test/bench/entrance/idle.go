package entrance

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teapot-cloud/teapot/test/bench/process"
)

const (
	// spareFiles are descriptors for other things than connections, in this process and in a proxy.
	spareFiles = 1200
	// opening is how many connections are opened at the same time: fewer than one client may have that
	// have not said yet whom they ask for.
	opening = 32
	// settleFor is how long memory must have stayed as it is to count, and settleShare what may change.
	settleFor   = 3 * time.Second
	settleShare = 0.01
	// settleWithin is when memory counts all the same.
	settleWithin = 30 * time.Second
)

// possible is how many connections there may be in this process, of two descriptors each since both
// users and servers are here. It raises the limit of open files if that is allowed. A proxy, too, has
// two for each connection, and the limit of this process.
func possible(connections int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return connections // the first connection too many tells
	}
	wanted := uint64(2*connections + spareFiles)
	if limit.Cur < wanted {
		raised := syscall.Rlimit{Cur: wanted, Max: max(wanted, limit.Max)}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			return connections
		}
		// Without the right to more it is what there may be.
		raised = syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	if limit.Cur >= wanted {
		return connections
	}
	return max(1, (int(limit.Cur)-spareFiles)/2)
}

// idleKiB is by how much a proxy that was just started grows for each of so many connections on which
// nothing is said once they are passed on: of memory that no file backs, and of all memory. What the
// kernel has for their sockets is not in it.
func (r *room) idleKiB(ctx context.Context, p *proxy, connections int) (anonymous, resident float64, err error) {
	var mu sync.Mutex
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close() // nothing is left to be read
		}
	}()
	open := func(count int) error {
		group, each := errgroup.WithContext(ctx)
		group.SetLimit(opening)
		for range count {
			group.Go(func() error {
				conn, err := dialSending(each, p.address, r.hello)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, conn)
				return nil
			})
		}
		return group.Wait()
	}
	// The first ones make what all have together.
	if err := open(opening); err != nil {
		return 0, 0, err
	}
	before, err := settled(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	if err := open(connections - opening); err != nil {
		return 0, 0, fmt.Errorf("opening connection %d of %d: %w", len(conns)+1, connections, err)
	}
	after, err := settled(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	more := float64(connections-opening) * 1024
	return (float64(after.Anonymous) - float64(before.Anonymous)) / more, (float64(after.Resident) - float64(before.Resident)) / more, nil
}

// settled returns what a proxy uses when its memory does not change any more.
func settled(ctx context.Context, p *proxy) (process.Usage, error) {
	deadline := time.Now().Add(settleWithin)
	before, err := p.Usage()
	for err == nil {
		if err = pause(ctx, settleFor); err != nil {
			break
		}
		var now process.Usage
		if now, err = p.Usage(); err != nil {
			break
		}
		change := float64(now.Anonymous) - float64(before.Anonymous)
		if max(change, -change) <= settleShare*float64(before.Anonymous) || now.At.After(deadline) {
			return now, nil
		}
		before = now
	}
	return process.Usage{}, err
}
