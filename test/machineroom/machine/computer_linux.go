package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// All machines share the kernel's table of connections. kube-proxy, as kubeadm configures it,
// wants the table to have a certain size and ends if it must change that and cannot, which is so
// in every network namespace but the computer's own. So the computer is given that size.
const (
	connections = "/proc/sys/net/netfilter/nf_conntrack_max"
	// connectionsBefore keeps the size from before, as long as the computer runs.
	connectionsBefore = "/run/teapot-machineroom.nf_conntrack_max"
)

// kubeProxyConnections is kube-proxy's default (MaxPerCore and Min of its configuration's
// v1alpha1 defaults, and the bound of pkg/proxy/conntrack).
func kubeProxyConnections(cpus int) int { return min(max(32768*cpus, 131072), 1048576) }

// prepareComputer sets what machines need and cannot set.
func prepareComputer() error {
	before, err := os.ReadFile(connections)
	if err != nil {
		return fmt.Errorf("reading the size of the table of connections: %w", err)
	}
	want := strconv.Itoa(kubeProxyConnections(runtime.NumCPU()))
	if strings.TrimSpace(string(before)) == want {
		return nil
	}
	if _, err := os.Stat(connectionsBefore); errors.Is(err, os.ErrNotExist) {
		if err := state.WriteFile(connectionsBefore, before, 0o644); err != nil {
			return err
		}
	}
	return setConnections(want)
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
		seen[id] = true
		err = netdial.Do(path, func() error { return os.WriteFile(connections, []byte(value), 0) })
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("the size of the table of connections is not %s, which kube-proxy wants, and cannot be set (in a container?)", value)
}

// RestoreComputer undoes what powering machines on changed in the computer's settings.
func RestoreComputer() error {
	before, err := os.ReadFile(connectionsBefore)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := setConnections(strings.TrimSpace(string(before))); err != nil {
		return err
	}
	return os.Remove(connectionsBefore)
}
