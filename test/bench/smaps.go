package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// memory is what processes hold, in KiB.
type memory struct {
	// anonymous is in nobody else's hands: it is what one more tenant costs for sure.
	anonymous int64
	// pss counts each page by the number of processes that share it, so files that all
	// tenants map weigh less the more tenants there are.
	pss int64
}

func (m memory) plus(other memory) memory {
	return memory{m.anonymous + other.anonymous, m.pss + other.pss}
}

// parseSmaps reads /proc/<pid>/smaps_rollup, see proc_pid_smaps(5).
func parseSmaps(rollup string) (memory, error) {
	var m memory
	found := 0
	for line := range strings.Lines(rollup) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		var into *int64
		switch fields[0] {
		case "Anonymous:":
			into = &m.anonymous
		case "Pss:":
			into = &m.pss
		default:
			continue
		}
		amount, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading smaps_rollup: %q: %w", strings.TrimSpace(line), err)
		}
		*into = amount
		found++
	}
	if found != 2 {
		return memory{}, errors.New("reading smaps_rollup: it has no Pss and Anonymous; is this kernel older than 4.14?")
	}
	return m, nil
}

// podOf returns which of the pods, named by their UIDs, a process belongs to by its
// /proc/<pid>/cgroup; empty if to none. The cgroupfs driver names a pod's group by its
// UID, the systemd driver writes '_' for each '-'.
func podOf(cgroup string, uids []string) string {
	for _, uid := range uids {
		if strings.Contains(cgroup, "pod"+uid) || strings.Contains(cgroup, "pod"+strings.ReplaceAll(uid, "-", "_")) {
			return uid
		}
	}
	return ""
}

// podMemory sums the memory of all processes of each pod, sandboxes included.
func podMemory(uids []string) (map[string]memory, error) {
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	sums := map[string]memory{}
	for _, path := range groups {
		cgroup, err := os.ReadFile(path)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("finding the processes of pods: %w", err)
		}
		uid := podOf(string(cgroup), uids)
		if uid == "" {
			continue
		}
		rollup, err := os.ReadFile(filepath.Join(filepath.Dir(path), "smaps_rollup"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the memory of a pod's process: %w", err)
		}
		m, err := parseSmaps(string(rollup))
		if err != nil {
			return nil, err
		}
		sums[uid] = sums[uid].plus(m)
	}
	return sums, nil
}

// gone says that a process ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
