package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/proc"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// Config says what a machine is. The supply gets it as JSON.
type Config struct {
	Name string
	// Dir is the machine's own directory. Machines of different directories do not meet.
	Dir string
	// MAC is the network card's address. Address, with its prefix, Gateway and the DNS server,
	// which is the gateway as well, are what stands for DHCP gives it.
	MAC     string
	Address netip.Prefix
	Gateway netip.Addr
	// NetNS is the path of the network namespace that has the wire (nodenet.Bridge).
	NetNS string
	// Images is the directory of images.
	Images string
}

// Machine is a room.Computer.
type Machine struct {
	Config
	// one operation at a time
	operation sync.Mutex
}

var _ room.Computer = (*Machine)(nil)

// New returns the machine of a directory, which need not exist. One that runs already, whoever
// started it, is recognised. The path may not hold a colon or a comma, which separate things in
// the options of mounts.
func New(c Config) *Machine { return &Machine{Config: c} }

// softLimit is how long an operating system has to end, on a computer that is busy with others.
const softLimit = time.Minute

// ID names what the machine has outside of its directory.
func (c Config) ID() string {
	sum := sha256.Sum256([]byte(filepath.Clean(c.Dir)))
	return hex.EncodeToString(sum[:4])
}

// Console is the path of what the operating system wrote to the console since power was last
// switched on.
func (c Config) Console() string { return filepath.Join(c.Dir, "console.log") }

// Write implements room.Computer.
func (m *Machine) Write(ctx context.Context, image string, drive room.ConfigDrive) error {
	return m.whileOff("writing", func() error { return m.disk().write(ctx, m.Images, image, drive) })
}

// Erase implements room.Computer.
func (m *Machine) Erase(context.Context) error {
	return m.whileOff("erasing", func() error { return m.disk().erase() })
}

// whileOff changes the disk of a machine that does not run.
func (m *Machine) whileOff(what string, change func() error) error {
	m.operation.Lock()
	defer m.operation.Unlock()
	err := m.clear()
	if err == nil {
		err = change()
	}
	if err != nil {
		return fmt.Errorf("%s the disk of %s: %w", what, m.Name, err)
	}
	return nil
}

// PowerOn implements room.Computer. It returns when the machine's init runs.
func (m *Machine) PowerOn(ctx context.Context) error {
	m.operation.Lock()
	defer m.operation.Unlock()
	if on, err := m.On(); on || err != nil {
		return err
	}
	if !m.disk().written() {
		return nil
	}
	err := m.clear()
	if err == nil {
		err = m.startSupply(ctx)
	}
	if err != nil {
		return fmt.Errorf("powering %s on: %w", m.Name, err)
	}
	return nil
}

// PowerOff implements room.Computer. If ctx ends before the operating system does, power stays on.
func (m *Machine) PowerOff(ctx context.Context, hard bool) error {
	m.operation.Lock()
	defer m.operation.Unlock()
	supply := m.supply()
	if !hard && supply.Alive() {
		if err := supply.askInit(); err != nil {
			return fmt.Errorf("asking %s to power off: %w", m.Name, err)
		}
		soft, cancel := context.WithTimeout(ctx, softLimit)
		defer cancel()
		if err := until(soft, func() bool { return !supply.Alive() }); err != nil && ctx.Err() != nil {
			return fmt.Errorf("powering %s off: %w", m.Name, err)
		}
	}
	if supply.Alive() {
		if err := supply.kill(cgroup{m.ID()}.thaw); err != nil {
			return fmt.Errorf("cutting the power of %s: %w", m.Name, err)
		}
	}
	if err := m.clear(); err != nil {
		return fmt.Errorf("powering %s off: %w", m.Name, err)
	}
	return nil
}

// On implements room.Computer.
func (m *Machine) On() (bool, error) { return m.supply().Alive(), nil }

// Exec returns a command that runs in the machine, as root, as if typed at its console. It
// fails if the machine is off.
func (m *Machine) Exec(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	supply := m.supply()
	if !supply.Alive() || supply.Init == nil {
		return nil, fmt.Errorf("machine %s is off", m.Name)
	}
	// It enters at the machine's root directory. The shell stays outside of the machine's processes and
	// waits for its child, which is one of them. nsenter would do that as well, but it stops itself when its
	// child is stopped (continue_as_child of util-linux), as all are at a shutdown: then nobody takes note of
	// the child's death, and the machine's init cannot end before somebody does.
	enter := []string{"--target", strconv.Itoa(supply.Init.PID), "--all", "--no-fork", "--", "/bin/sh", "-c", `"$@"; exit $?`, "sh",
		"/usr/bin/env", "-i", "HOME=/root", "PATH=" + proc.Path, name}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...), nil
}

// clear removes what a machine has outside of its directory once it is off.
func (m *Machine) clear() error {
	if m.supply().Alive() {
		return errors.New("it is powered on")
	}
	if err := m.sweep(); err != nil {
		return err
	}
	if err := os.Remove(m.record()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// sweepLimit bounds the end of processes that were killed.
const sweepLimit = 10 * time.Second

// sweep removes the cgroups of a machine whose init has ended, and ends what is left in them. The
// kernel itself removes mounts, the loop device and the network card with the last process.
func (c Config) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepLimit)
	defer cancel()
	group := cgroup{c.ID()}
	var last error
	err := until(ctx, func() bool {
		// Processes end one by one after their init.
		for _, pid := range group.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		group.thaw()
		last = group.remove()
		return last == nil
	})
	if err != nil {
		return fmt.Errorf("removing what ran in the machine: %w", last)
	}
	return nil
}

// until polls a condition.
func until(ctx context.Context, met func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
