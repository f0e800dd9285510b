package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// All machines share the kernel's table of connections. kube-proxy, as kubeadm configures it,
// wants the table to have a certain size and ends if it must change that and cannot, which is so
// in every network namespace but the computer's own. So the computer is given that size.
const connections = "/proc/sys/net/netfilter/nf_conntrack_max"

// computer is what all machines of all rooms share.
type computer struct {
	// connections is the size of the table of connections, and before keeps what it was, as long
	// as the computer runs.
	connections, before string
	// lock is held while something shared is changed: each machine is powered on by a process of
	// its own, and the first ones of a computer at the same time.
	lock string
	// set sets the size.
	set func(value string) error
}

var thisComputer = computer{
	connections: connections,
	before:      "/run/teapot-machineroom.nf_conntrack_max",
	lock:        "/run/teapot-machineroom.lock",
	set:         setConnections,
}

// alone does something while no other machine of this computer does.
func (c computer) alone(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), aloneLimit)
	defer cancel()
	unlock, err := state.Lock(ctx, c.lock)
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// aloneLimit bounds the wait for other machines, each of which takes milliseconds.
const aloneLimit = 30 * time.Second

// kubeProxyConnections is kube-proxy's default (MaxPerCore and Min of its configuration's
// v1alpha1 defaults, and the bound of pkg/proxy/conntrack).
func kubeProxyConnections(cpus int) int { return min(max(32768*cpus, 131072), 1048576) }

// prepare sets what machines need and cannot set.
func (c computer) prepare() error {
	return c.alone(func() error {
		before, err := os.ReadFile(c.connections)
		if err != nil {
			return fmt.Errorf("reading the size of the table of connections: %w", err)
		}
		want := strconv.Itoa(kubeProxyConnections(runtime.NumCPU()))
		if strings.TrimSpace(string(before)) == want {
			return nil
		}
		if _, err := os.Stat(c.before); errors.Is(err, os.ErrNotExist) {
			if err := state.WriteFile(c.before, before, 0o644); err != nil {
				return err
			}
		}
		return c.set(want)
	})
}

// setConnections sets the size of the table of connections from the one network namespace in
// which that can be done. It is looked for: this process may be in another one, and that of
// process 1 may be closed to it.
func setConnections(value string) error {
	namespaces, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, path := range append([]string{"/proc/self/ns/net"}, namespaces...) {
		id, err := os.Readlink(path)
		if err != nil || seen[id] {
			continue // ended meanwhile, or not ours to look at
		}
		err = netdial.Do(path, func() error {
			seen[id] = true // unless the process ended before: another one may show the same namespace
			return os.WriteFile(connections, []byte(value), 0)
		})
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("the size of the table of connections is not %s, which kube-proxy wants, and cannot be set (in a container?)", value)
}

// RestoreComputer undoes what powering machines on changed in the computer's settings.
func RestoreComputer() error {
	return thisComputer.restore()
}

func (c computer) restore() error {
	return c.alone(func() error {
		defer os.Remove(c.lock) // who waits for it makes it anew
		before, err := os.ReadFile(c.before)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.set(strings.TrimSpace(string(before))); err != nil {
			return err
		}
		return os.Remove(c.before)
	})
}
