//go:build linux

// Package proc starts the development cluster's processes so that they outlive
// the command that started them, and stops them without ever touching another
// process: a process is known by its pid together with its start time, and all
// that we start carry a mark in their environment.
package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// markEnv is set in the environment of every process that we start, with the
// state directory as its value. Children inherit it (containerd's shims do;
// containers do not), so that what a killed run left behind can be found even
// if its pid was never written down.
const markEnv = "TEAPOT_DEVCLUSTER_OWNER"

// Path is the search path of what we start.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Process is a started process, as its pid file describes it.
type Process struct {
	PID int `json:"pid"`
	// StartTicks is when the process started, in clock ticks since boot
	// (/proc/<pid>/stat field 22). A recycled pid has another one.
	StartTicks uint64 `json:"startTicks"`
	// BootID is the boot that StartTicks counts from.
	BootID string `json:"bootID"`
	// Version is the version of the program, for status.
	Version string `json:"version"`
	// Started is the wall clock time of the start.
	Started time.Time `json:"started"`
}

// Spec says what to start.
type Spec struct {
	// Name is the part's name; log and pid files are named after it.
	Name string
	// Version is recorded for status.
	Version string
	// Args is the program's absolute path and its arguments.
	Args []string
	// Env is added to a minimal environment (PATH and HOME) and overrides it.
	Env []string
}

// BootID returns the kernel's identifier of the current boot.
func BootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// startTicks returns field 22 of /proc/<pid>/stat, or 0 if there is no such
// process or it is a zombie.
func startTicks(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseStartTicks(stat)
}

// parseStartTicks reads the start time out of a stat line; the second field is
// the program's name in parentheses and may itself hold blanks and parentheses.
func parseStartTicks(stat []byte) uint64 {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0
	}
	// The first field after the name is field 3, the state.
	fields := strings.Fields(string(stat[i+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return ticks
}

// Alive reports whether this very process still runs.
func (p *Process) Alive() bool {
	return p != nil && p.BootID == BootID() && p.StartTicks != 0 && startTicks(p.PID) == p.StartTicks
}

// Load reads the pid file of a part; nil if there is none that can be read.
func Load(dir state.Dir, name string) *Process {
	data, err := os.ReadFile(dir.PID(name))
	if err != nil {
		return nil
	}
	p := &Process{}
	if json.Unmarshal(data, p) != nil {
		return nil
	}
	return p
}

// Start starts the program in a session of its own with its output appended to
// the part's log, hands its pid to place (which moves it into its cgroup) and
// writes the pid file. The caller's thread decides on the network namespace.
func Start(dir state.Dir, spec Spec, place func(pid int) error) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(dir.Log(spec.Name)), 0o755); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	log, err := os.OpenFile(dir.Log(spec.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...)
	cmd.Dir = string(dir)
	cmd.Env = append([]string{
		"HOME=/root", "PATH=" + Path, markEnv + "=" + string(dir),
	}, spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	// Reap it if it dies while this command still runs, or it would look alive
	// as a zombie.
	go func() { _ = cmd.Wait() }()
	p := &Process{
		PID: cmd.Process.Pid, StartTicks: startTicks(cmd.Process.Pid), BootID: BootID(),
		Version: spec.Version, Started: time.Now(),
	}
	if err := place(p.PID); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return p, state.WriteFile(dir.PID(spec.Name), append(data, '\n'), 0o644)
}

// signal sends a signal to exactly this process: the pidfd is opened first and
// the start time compared after, so the pid cannot be recycled in between.
func (p *Process) signal(sig syscall.Signal) error {
	h, err := os.FindProcess(p.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = h.Release() }()
	if !p.Alive() {
		return nil
	}
	if err := h.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	return nil
}

// stopPoll is how often Stop looks whether a process has gone.
const stopPoll = 10 * time.Millisecond

// Stop ends the processes: SIGTERM to all, and SIGKILL to those that are still
// there after grace. It returns when all are gone, or fails 5 s after SIGKILL.
func Stop(grace time.Duration, ps ...*Process) error {
	for _, p := range ps {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	if waitGone(ps, grace) {
		return nil
	}
	for _, p := range ps {
		if err := p.signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	if waitGone(ps, 5*time.Second) {
		return nil
	}
	var left []int
	for _, p := range ps {
		if p.Alive() {
			left = append(left, p.PID)
		}
	}
	return fmt.Errorf("processes %v do not end after SIGKILL", left)
}

// waitGone polls until no process is alive, at most for the given time.
func waitGone(ps []*Process, limit time.Duration) bool {
	deadline := time.After(limit)
	tick := time.NewTicker(stopPoll)
	defer tick.Stop()
	for {
		alive := false
		for _, p := range ps {
			alive = alive || p.Alive()
		}
		if !alive {
			return true
		}
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
}
