//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/hostinfo"
)

// makeCgroup makes a group in every hierarchy and returns its directories. It
// lies in the cluster's own group, which also holds all pods, below kubepods.
func (c *Cluster) makeCgroup(name string) ([]string, error) {
	var dirs []string
	for controllers, point := range c.host.Hierarchies {
		parent := filepath.Join(point, c.Dir.Name())
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return nil, fmt.Errorf("making cgroup: %w", err)
		}
		if c.host.Mode == hostinfo.V2 {
			for _, dir := range []string{point, parent} {
				if err := enableControllers(dir); err != nil {
					return nil, err
				}
			}
		}
		if strings.Contains(controllers, "cpuset") {
			if err := inheritCpuset(point, parent); err != nil {
				return nil, err
			}
		}
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making cgroup: %w", err)
		}
		if strings.Contains(controllers, "cpuset") {
			if err := inheritCpuset(parent, dir); err != nil {
				return nil, err
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// enableControllers passes all controllers of a v2 group on to its children.
func enableControllers(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers of %s: %w", dir, err)
	}
	for _, name := range strings.Fields(string(available)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("enabling controller %s in %s: %w", name, dir, err)
		}
	}
	return nil
}

// inheritCpuset copies what a new v1 cpuset group lacks: without CPUs and
// memory nodes no process can enter it.
func inheritCpuset(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", file, parent, err)
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return fmt.Errorf("setting %s of %s: %w", file, child, err)
		}
	}
	return nil
}

// place returns a function that moves a process into the part's group.
func (c *Cluster) place(part string) (func(pid int) error, error) {
	dirs, err := c.makeCgroup(part)
	if err != nil {
		return nil, err
	}
	return func(pid int) error {
		for _, dir := range dirs {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
				return fmt.Errorf("moving process %d into %s: %w", pid, dir, err)
			}
		}
		return nil
	}, nil
}

// cgroupRoots returns the directories of a cluster's group that exist.
func cgroupRoots(name string) []string {
	// Not by the detected hierarchies: what an earlier run made must go even if
	// mounts have changed since.
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil {
		roots = append(roots, "/sys/fs/cgroup/"+name)
	}
	return roots
}

// cgroupPIDs returns the processes in our groups: all of them are parts, their
// children, or containers.
func cgroupPIDs(name string) []int {
	seen := map[int]bool{}
	var pids []int
	for _, root := range cgroupRoots(name) {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for field := range strings.FieldsSeq(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// removeCgroups removes our groups, children first. It fails while a process
// is still on its way out of one.
func removeCgroups(name string) error {
	var failed error
	for _, root := range cgroupRoots(name) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = fmt.Errorf("removing cgroup: %w", err)
			}
		}
	}
	return failed
}
