package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/hostinfo"
)

// groups holds the groups of all machines, in every hierarchy.
const groups = "teapot-machineroom"

// cgroup is a machine's group in every hierarchy, <groups>/<id>. Limits are set there; the group
// machine below it is what the machine takes for the root, so that it cannot lift them.
type cgroup struct{ id string }

// make makes the group.
func (c cgroup) make(host hostinfo.Info, drive device) error {
	for names, point := range host.Hierarchies {
		dirs := []string{
			point, filepath.Join(point, groups), filepath.Join(point, groups, c.id), filepath.Join(point, groups, c.id, "machine"),
		}
		for i, dir := range dirs[1:] {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := inherit(host.Mode, names, dirs[i], dir); err != nil {
				return err
			}
			if names == "devices" && filepath.Base(dir) == c.id {
				if err := restrict(dir, drive); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inherit gives a new group what it lacks: a cpuset of v1 has no CPU and no memory node at first,
// and a group of v2 only the controllers that its parent passes on.
func inherit(mode hostinfo.Mode, names, parent, child string) error {
	if mode == hostinfo.V2 {
		available, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for name := range strings.FieldsSeq(string(available)) {
			if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
				return fmt.Errorf("passing controller %s on to %s: %w", name, child, err)
			}
		}
	}
	if !slices.Contains(strings.Split(names, ","), "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// restrict keeps a group from the computer's devices.
func restrict(dir string, drive device) error {
	devices, err := os.ReadFile("/proc/devices")
	if err != nil {
		return err
	}
	misc, err := os.ReadFile("/proc/misc")
	if err != nil {
		return err
	}
	for _, rule := range denials(string(devices), string(misc), drive) {
		if err := os.WriteFile(filepath.Join(dir, "devices.deny"), []byte(rule), 0o200); err != nil {
			return fmt.Errorf("denying %s: %w", rule, err)
		}
	}
	return nil
}

// dirs are the machine's groups that exist. All mounts are looked at, not those of the detected
// arrangement: what an earlier run made must go even if that has changed.
func (c cgroup) dirs() []string {
	dirs, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup/*", groups, c.id))
	v2, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", groups, c.id))
	return append(dirs, v2...)
}

// enter moves a process into the group.
func (c cgroup) enter(pid int) error {
	for _, dir := range c.dirs() {
		if err := os.WriteFile(filepath.Join(dir, "machine", "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("moving process %d into %s: %w", pid, dir, err)
		}
	}
	return nil
}

// processes are those in the group and below.
func (c cgroup) processes() []int {
	var pids []int
	for _, root := range c.dirs() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil // it went away meanwhile
			}
			data, _ := os.ReadFile(path)
			for field := range strings.FieldsSeq(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// remove removes the group and what was made below it. It fails while a process is in it.
func (c cgroup) remove() error {
	var failed error
	for _, root := range c.dirs() {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = err
			}
		}
		// The last machine's takes the common one with it.
		_ = os.Remove(filepath.Dir(root))
	}
	return failed
}
