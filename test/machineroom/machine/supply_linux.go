package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/proc"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// The names by which this program, whichever it is, is started again as a machine's supply and
// as the first process of a machine.
const (
	supplyName = "teapot-machine-supply"
	firstName  = "teapot-machine-first"
)

// A program that has this package in it can be both, so whoever powers a machine on needs
// nothing beside itself. It must be here, before main: the supply of a test binary may not run
// its tests.
func init() {
	var role func() error
	switch os.Args[0] {
	case supplyName:
		role = beSupply
	case firstName:
		role = beFirst
	default:
		return
	}
	// What is tied to a thread, namespaces and the signal at a parent's death, is tied to the
	// main one, which lives as long as the process.
	runtime.LockOSThread()
	unix.CloseOnExec(3)
	outcome = os.NewFile(3, "outcome")
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// outcome is where both roles tell the process that started them how that went: they close it,
// after an error's text if there is one.
var outcome *os.File

// supply is the record of a machine that is powered on, kept in its directory.
type supply struct {
	// Process is the supply itself.
	Process *proc.Process `json:"process"`
	// Init is the machine's first process, as seen from outside; nil until it is started.
	Init *proc.Process `json:"init"`
}

func (c Config) record() string { return filepath.Join(c.Dir, "power.json") }

// supply reads the record. One that cannot be read is that of a machine that is off.
func (c Config) supply() supply {
	var s supply
	if data, err := os.ReadFile(c.record()); err == nil && json.Unmarshal(data, &s) != nil {
		return supply{}
	}
	return s
}

// Alive says whether power is on. A supply that was killed takes the machine with it, which
// takes a moment.
func (s supply) Alive() bool { return s.Process.Alive() || s.Init.Alive() }

// poweroffSignal is how systemd is asked to power off: SIGRTMIN+4 (systemd(1), "Signals").
const poweroffSignal = syscall.Signal(34 + 4)

// askInit asks the operating system to end.
func (s supply) askInit() error {
	if !s.Init.Alive() {
		return nil
	}
	return ignoreGone(unix.Kill(s.Init.PID, poweroffSignal))
}

// kill ends the supply and with it, by the signal at a parent's death, the machine. An init is
// gone only when the last process of its machine is: thaw lets those end that are frozen.
func (s supply) kill(thaw func()) error {
	for _, p := range []*proc.Process{s.Process, s.Init} {
		if p.Alive() {
			if err := ignoreGone(unix.Kill(p.PID, unix.SIGKILL)); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return until(ctx, func() bool {
		if !s.Alive() {
			return true
		}
		thaw()
		return false
	})
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// startSupply starts the supply and waits until the machine's init runs.
func (c Config) startSupply(ctx context.Context) error {
	log, err := os.Create(filepath.Join(c.Dir, "supply.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{supplyName, c.Name}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + proc.Path}
	cmd.Stdout, cmd.Stderr = log, log
	// In a network of its own, for it would keep that of who starts it from being removed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNET}
	wait, err := startRole(cmd, c)
	if err != nil {
		return err
	}
	// It would look alive as a zombie.
	defer func() { go func() { _ = cmd.Wait() }() }()
	result := make(chan error, 1)
	go func() { result <- wait() }()
	select {
	case err = <-result:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, ignoreGone(unix.Kill(cmd.Process.Pid, unix.SIGKILL)))
	}
	return nil
}

// startRole starts this program in a role with its input.
func startRole(cmd *exec.Cmd, input any) (wait func() error, err error) {
	handOver, wait, err := prepareRole(cmd)
	if err != nil {
		return nil, err
	}
	if err := handOver(input); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return wait, nil
}

// prepareRole starts this program in a role, in which it waits for its input.
func prepareRole(cmd *exec.Cmd) (handOver func(any) error, wait func() error, err error) {
	near, far, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer far.Close()
	cmd.ExtraFiles = []*os.File{far} // outcome
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, errors.Join(err, near.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, near.Close())
	}
	handOver = func(v any) error { return errors.Join(json.NewEncoder(input).Encode(v), input.Close()) }
	wait = func() error {
		defer near.Close()
		text, err := io.ReadAll(near)
		if err == nil && len(text) > 0 {
			err = errors.New(strings.TrimSpace(string(text)))
		}
		return err
	}
	return handOver, wait, nil
}

// report tells who started this role how that went. Only the first call has an effect.
func report(err error) {
	if err != nil {
		fmt.Fprintln(outcome, err)
	}
	_ = outcome.Close()
}

// beSupply boots a machine, and again as long as it asks for a reboot.
func beSupply() (err error) {
	defer func() {
		if err != nil {
			report(err)
		}
	}()
	var c Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	self := proc.ByPID([]int{unix.Getpid()})[0]
	if err := c.write(supply{Process: self}); err != nil {
		return err
	}
	if err := os.Remove(c.Console()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for first := true; ; first = false {
		m, err := c.boot()
		if err != nil {
			return errors.Join(err, c.sweep())
		}
		if err := c.write(supply{Process: self, Init: proc.ByPID([]int{m.cmd.Process.Pid})[0]}); err != nil {
			return err
		}
		if first {
			report(nil)
		}
		again := m.wait()
		if err := c.sweep(); err != nil || !again {
			return err
		}
	}
}

func (c Config) write(s supply) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return state.WriteFile(c.record(), data, 0o644)
}
