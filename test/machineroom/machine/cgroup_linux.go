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

	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/hostinfo"
)

// groups holds the groups of all machines, in every hierarchy.
const groups = "teapot-machineroom"

// cgroup is a machine's group in every hierarchy, <groups>/<id>. Limits are set there; the group
// machine below it is what the machine takes for the root, so that it cannot lift them.
type cgroup struct{ id string }

// hierarchy is a mounted hierarchy of cgroups.
type hierarchy struct {
	// Controllers are those of v1, as a mount names them; none for v2.
	Controllers string
	// Point is where this computer has it mounted, and the machine as well.
	Point string
	// V2 says that it is the unified hierarchy.
	V2 bool
}

// unified is where a computer with v1 may have v2 beside it, for no controller but systemd.
const unified = "/sys/fs/cgroup/unified"

// hierarchies are those that a machine gets. The unified one is among them where it exists: by
// that alone systemd learns that a group in a cgroup namespace has become empty. Without it
// systemd would wait, when it powers off, for containers that have long ended.
func hierarchies() ([]hierarchy, error) {
	host, err := hostinfo.Current()
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for controllers, point := range host.Hierarchies {
		all = append(all, hierarchy{controllers, point, host.Mode == hostinfo.V2})
	}
	var stat unix.Statfs_t
	if unix.Statfs(unified, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC {
		all = append(all, hierarchy{"", unified, true})
	}
	return all, nil
}

// make makes the group in some hierarchies.
func (c cgroup) make(in []hierarchy, drive device) error {
	for _, h := range in {
		dirs := []string{
			h.Point, filepath.Join(h.Point, groups), filepath.Join(h.Point, groups, c.id), filepath.Join(h.Point, groups, c.id, "machine"),
		}
		for i, dir := range dirs[1:] {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := h.inherit(dirs[i], dir); err != nil {
				return err
			}
			if h.Controllers == "devices" && filepath.Base(dir) == c.id {
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
func (h hierarchy) inherit(parent, child string) error {
	if h.V2 {
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
	if !slices.Contains(strings.Split(h.Controllers, ","), "cpuset") {
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

// thaw lets what is frozen go on: with v1 a frozen process does not end, not even by SIGKILL. runc
// freezes a container while it changes its limits, and the power may be cut in that moment.
func (c cgroup) thaw() {
	for _, root := range c.dirs() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "freezer.state" {
				_ = os.WriteFile(path, []byte("THAWED"), 0o644) // it may have gone away meanwhile
			}
			return nil
		})
	}
}

// remove removes the group and what was made below it. It fails while a process is in it.
func (c cgroup) remove() error {
	var failed error
	roots := c.dirs()
	for _, root := range roots {
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
	}
	if failed != nil || len(roots) == 0 {
		return failed
	}
	// The last machine's group takes the common one with it, unless another is being made in it.
	return thisComputer.alone(func() error {
		for _, root := range roots {
			_ = os.Remove(filepath.Dir(root))
		}
		return nil
	})
}
