//go:build linux

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/proc"
)

// stopGrace is how long processes have to end by themselves. The cluster's data
// goes with them, so there is little to wait for.
const stopGrace = 2 * time.Second

// Down stops everything and removes every trace, whatever state an earlier
// command left it in. The build cache stays.
func (c *Cluster) Down(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("taking the development cluster down needs root")
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.remove(); err != nil {
		return err
	}
	if err := os.Remove(c.Dir.LockFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the lock file: %w", err)
	}
	c.step("nothing of the cluster is left")
	return nil
}

// remove undoes create and run. Each step copes with having nothing to do.
func (c *Cluster) remove() error {
	if err := c.checkDir(); err != nil {
		return err
	}
	if err := c.killAll(); err != nil {
		return err
	}
	if err := unmountBelow(string(c.Dir)); err != nil {
		return err
	}
	if err := nodenet.Delete(c.netns()); err != nil {
		return err
	}
	// A killed process leaves its cgroup some time after it has left /proc.
	if err := poll(context.Background(), 10*time.Second, nil, func(context.Context) error { return removeCgroups(c.Dir.Name()) }); err != nil {
		return err
	}
	if err := c.removeStrays(); err != nil {
		return err
	}
	if record, err := c.Dir.Load(); err == nil && record != nil {
		if err := writeSysctls(record.Sysctls); err != nil {
			return err
		}
	}
	if !c.ours() {
		return nil
	}
	// The marker goes last: an interrupted removal can be repeated.
	entries, err := os.ReadDir(string(c.Dir))
	if err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == marker {
			continue
		}
		if err := os.RemoveAll(c.Dir.Path(e.Name())); err != nil {
			return fmt.Errorf("removing the state directory: %w", err)
		}
	}
	if err := os.RemoveAll(string(c.Dir)); err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	return nil
}

// killAll ends all processes: first those that would start others, then the
// containers, then the rest. A part is known by its pid file or its mark; a
// container by being below a marked shim or in a cgroup of ours.
func (c *Cluster) killAll() error {
	byName := map[string]*proc.Process{}
	for _, name := range partNames {
		if p := proc.Load(c.Dir, name); p.Alive() {
			byName[name] = p
		}
	}
	marked := proc.Marked(c.Dir)
	if len(byName)+len(marked) > 0 {
		c.step("stopping processes")
	}
	var first []*proc.Process
	for i := len(partNames) - 1; i >= 0; i-- {
		switch name := partNames[i]; name {
		case "etcd", "kube-apiserver", "containerd":
		default:
			if p := byName[name]; p != nil {
				first = append(first, p)
			}
		}
	}
	if err := proc.Stop(stopGrace, first...); err != nil {
		return err
	}
	if err := proc.Stop(0, proc.Descendants(proc.Marked(c.Dir))...); err != nil {
		return err
	}
	if err := proc.Stop(stopGrace, proc.Marked(c.Dir)...); err != nil {
		return err
	}
	return proc.Stop(0, proc.ByPID(cgroupPIDs(c.Dir.Name()))...)
}

// unmountBelow unmounts everything mounted below a directory, innermost first:
// container root file systems, kubelet's volumes, pods' network namespaces.
func unmountBelow(dir string) error {
	// Mounts may be stacked, and one may hide others.
	for range 10 {
		points, err := mountsBelow(dir)
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return nil
		}
		for i := len(points) - 1; i >= 0; i-- {
			if err := unix.Unmount(points[i], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("unmounting %s: %w", points[i], err)
			}
		}
	}
	return fmt.Errorf("mounts below %s keep coming back", dir)
}

// mountsBelow lists mount points at or below a directory, in mount order.
func mountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	var points []string
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) > 4 {
			if point := unescape.Replace(fields[4]); strings.HasPrefix(point+"/", dir+"/") {
				points = append(points, point)
			}
		}
	}
	return points, scanner.Err()
}

// unescape undoes the escapes of mountinfo (proc(5)).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// removeStrays removes what programs write outside the state directory without
// a setting for it: libcni's results, and kubelet's links to container logs.
func (c *Cluster) removeStrays() error {
	results, err := filepath.Glob("/var/lib/cni/results/" + c.Dir.Name() + "-*")
	if err != nil {
		return err
	}
	for _, file := range results {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", file, err)
		}
	}
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || !strings.HasPrefix(target, c.Dir.Path("logs")+"/") {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", link, err)
		}
	}
	// kubelet's device plugins register at a fixed path. If a kubelet of
	// somebody else answers there, it stays.
	const plugins = "/var/lib/kubelet/device-plugins"
	if conn, err := net.Dial("unix", plugins+"/kubelet.sock"); err == nil {
		conn.Close()
	} else {
		for _, name := range []string{"kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"} {
			_ = os.Remove(filepath.Join(plugins, name))
		}
	}
	for _, dir := range []string{"/var/lib/cni/results", "/var/lib/cni", "/var/log/containers", plugins, "/var/lib/kubelet"} {
		// Only if empty: others may use them.
		_ = os.Remove(dir)
	}
	return nil
}
