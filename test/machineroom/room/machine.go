package room

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// Boot is what a powered machine runs.
type Boot string

const (
	// FromDisk is the operating system on the disk.
	FromDisk Boot = "disk"
	// FromRamdisk is Ironic's agent. The room plays it: it is also what a powered machine without an
	// image runs.
	FromRamdisk Boot = "ramdisk"
)

// stored is a machine's file.
type stored struct {
	// BMCUser and BMCPassword are what its management controller wants to hear.
	BMCUser     string `json:"bmcUser"`
	BMCPassword string `json:"bmcPassword"`
	// Power says that the machine is powered, and Boots what it runs then.
	Power bool `json:"power"`
	Boots Boot `json:"boots,omitempty"`
	// PowerSince is when Power last changed: for a machine that is on, when it began to boot.
	PowerSince time.Time `json:"powerSince,omitzero"`
	// Image is what was last written to the disk; "" once it was erased, and while it is written.
	Image  string `json:"image,omitempty"`
	Faults Faults `json:"faults,omitzero"`
}

// Machine is one machine of the room. Its methods may be called at the same time.
type Machine struct {
	Identity
	Hardware Hardware

	dir      string
	computer Computer
	now      func() time.Time

	// using is held by who calls the computer, since it takes one call at a time.
	using sync.Mutex

	mu     sync.Mutex
	stored stored
	// told is closed and replaced when the faults change.
	told chan struct{}
	// running are the operations to be ended when the power is cut.
	running map[int]context.CancelCauseFunc
	nextRun int
}

// Errors of operations.
var (
	// ErrCut says that the power was cut meanwhile.
	ErrCut = errors.New("the power was cut")
	// ErrFault says that the machine was told to fail.
	ErrFault = errors.New("the machine was told to fail")
	// ErrCredentials says that the management controller refuses the user or the password.
	ErrCredentials = errors.New("invalid user name or password")
)

// stateFile is the name of a machine's file in its folder.
const stateFile = "machine.json"

// openMachine reads a machine, or makes a new one.
func openMachine(index int, dir string, computer Computer, now func() time.Time) (*Machine, error) {
	m := &Machine{
		Identity: IdentityOf(index), Hardware: HardwareOf(index), dir: dir, computer: computer, now: now,
		told: make(chan struct{}), running: map[int]context.CancelCauseFunc{},
	}
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		m.stored = stored{BMCUser: "admin", BMCPassword: rand.Text()}
		return m, m.save()
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", m.Name, err)
	}
	if err := json.Unmarshal(data, &m.stored); err != nil {
		return nil, fmt.Errorf("reading %s: %w", m.Name, err)
	}
	return m, nil
}

// save writes the machine's file; m.mu is held, or nobody else knows the machine yet.
func (m *Machine) save() error {
	data, err := json.MarshalIndent(m.stored, "", "  ")
	if err != nil {
		return fmt.Errorf("saving %s: %w", m.Name, err)
	}
	if err := state.WriteFile(filepath.Join(m.dir, stateFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("saving %s: %w", m.Name, err)
	}
	return nil
}

// change changes the machine's file.
func (m *Machine) change(f func(*stored)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.stored)
	return m.save()
}

// View is how a machine is seen from outside.
type View struct {
	Identity
	Hardware Hardware
	// Power is whether the machine is powered; Boots is what it runs then.
	Power      bool
	Boots      Boot
	PowerSince time.Time
	Image      string
	Faults     Faults
	// Dir is the machine's folder.
	Dir string
}

// View returns how the machine is now.
func (m *Machine) View() (View, error) {
	on, err := m.On()
	m.mu.Lock()
	defer m.mu.Unlock()
	v := View{
		Identity: m.Identity, Hardware: m.Hardware, Dir: m.dir, Power: on,
		PowerSince: m.stored.PowerSince, Image: m.stored.Image, Faults: m.stored.Faults,
	}
	if on {
		v.Boots = m.stored.Boots
	}
	return v, err
}

// Credentials are what the management controller wants to hear.
func (m *Machine) Credentials() (user, password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored.BMCUser, m.stored.BMCPassword
}

// LogIn returns ErrCredentials unless the management controller takes these.
func (m *Machine) LogIn(user, password string) error {
	if u, p := m.Credentials(); user != u || password != p {
		return ErrCredentials
	}
	return nil
}

// On says whether the machine is powered. A machine whose operating system ended by itself, by
// `poweroff` or because it crashed, is not.
func (m *Machine) On() (bool, error) {
	m.mu.Lock()
	power, boots, since := m.stored.Power, m.stored.Boots, m.stored.PowerSince
	m.mu.Unlock()
	if !power || boots == FromRamdisk {
		return power, nil
	}
	on, err := m.computer.On()
	if err != nil {
		return true, fmt.Errorf("looking whether %s runs: %w", m.Name, err)
	}
	if on {
		return true, nil
	}
	err = m.change(func(s *stored) {
		// Somebody may have switched it off and on again meanwhile.
		if s.Power && s.PowerSince.Equal(since) {
			s.Power, s.PowerSince = false, m.now()
		}
	})
	return false, err
}

// Tell gives the machine the faults of the text form (ParseFaults) in place of those that it has.
func (m *Machine) Tell(ctx context.Context, text string) error {
	faults, losePower, err := ParseFaults(text)
	if err != nil {
		return err
	}
	if err := m.change(func(s *stored) {
		s.Faults = faults
		close(m.told)
		m.told = make(chan struct{})
	}); err != nil {
		return err
	}
	if losePower {
		return m.Cut(ctx)
	}
	return nil
}
