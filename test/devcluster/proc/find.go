//go:build linux

package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// Marked returns all processes that carry the mark of this state directory, in
// whatever run they were started.
func Marked(dir state.Dir) []*Process {
	return find(func(pid int) bool {
		env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		return err == nil && hasMark(env, dir)
	})
}

// hasMark reports whether an environment, as /proc shows it, has our mark.
func hasMark(environ []byte, dir state.Dir) bool {
	mark := []byte(markEnv + "=" + string(dir))
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(entry, mark) {
			return true
		}
	}
	return false
}

// Descendants returns the processes below the given ones, themselves left out.
// The containers of a pod are children of its shim.
func Descendants(of []*Process) []*Process {
	below := map[int]bool{}
	for _, p := range of {
		below[p.PID] = true
	}
	parents := map[int]int{}
	all := find(func(pid int) bool {
		parents[pid] = parent(pid)
		return true
	})
	// A pid need not be larger than its parent's, so repeat until nothing new
	// is found.
	var found []*Process
	for again := true; again; {
		again = false
		for _, p := range all {
			if below[parents[p.PID]] && !below[p.PID] {
				below[p.PID], again = true, true
				found = append(found, p)
			}
		}
	}
	return found
}

// ByPID describes running processes by their pids; those gone are left out.
func ByPID(pids []int) []*Process {
	var ps []*Process
	boot := BootID()
	for _, pid := range pids {
		if ticks := startTicks(pid); ticks != 0 {
			ps = append(ps, &Process{PID: pid, StartTicks: ticks, BootID: boot})
		}
	}
	return ps
}

// find returns the processes that match. The start time is read before the
// match and checked again with each signal, so a recycled pid does no harm.
func find(match func(pid int) bool) []*Process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	boot := BootID()
	var ps []*Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ticks := startTicks(pid); ticks != 0 && match(pid) {
			ps = append(ps, &Process{PID: pid, StartTicks: ticks, BootID: boot})
		}
	}
	return ps
}

// parent returns the parent's pid, field 4 of /proc/<pid>/stat.
func parent(pid int) int {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}
