package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

const (
	// DefaultDir is the state directory unless DirEnv says otherwise.
	DefaultDir = "/var/lib/teapot-machineroom"
	// DirEnv is the environment variable that moves the state directory.
	DirEnv = "TEAPOT_MACHINEROOM_DIR"
	// roomFile holds the settings.
	roomFile = "room.json"
)

// Settings are what a room was made with.
type Settings struct {
	// Machines is how many machines there are. A room only grows.
	Machines int `json:"machines"`
	// NoBoot says that the machines are Folders.
	NoBoot bool `json:"noBoot,omitempty"`
	// Folders is how many further machines there are that are Folders in any case. Their numbers
	// begin at FirstFolder.
	Folders int `json:"folders,omitempty"`
}

// FromEnvironment returns the state directory that DirEnv names, or the default.
func FromEnvironment() string {
	if dir := os.Getenv(DirEnv); dir != "" {
		return dir
	}
	return DefaultDir
}

// Load reads the settings of the room in a state directory; nil if there is none.
func Load(dir string) (*Settings, error) {
	data, err := os.ReadFile(filepath.Join(dir, roomFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the room's settings: %w", err)
	}
	s := &Settings{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading the room's settings in %s: %w", filepath.Join(dir, roomFile), err)
	}
	return s, nil
}

// Save writes the settings.
func (s Settings) Save(dir string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("saving the room's settings: %w", err)
	}
	return state.WriteFile(filepath.Join(dir, roomFile), append(data, '\n'), 0o600)
}

// MachineDir is the folder of a machine in a state directory.
func MachineDir(dir, name string) string { return filepath.Join(dir, "machines", name) }

// Room is a set of machines.
type Room struct {
	dir      string
	computer func(id Identity, dir string) (Computer, error)
	now      func() time.Time

	mu       sync.RWMutex
	machines []*Machine
	// folders are the machines from FirstFolder on.
	folders []*Machine
	byName  map[string]*Machine
	byBMC   map[netip.Addr]*Machine
	// addresses are those that the machines have themselves.
	addresses map[netip.Addr]bool
}

// Open opens the machines of a state directory and makes those that are missing. computer makes
// the part of a machine that runs on this computer; dir is the machine's folder.
func Open(dir string, machines int, computer func(id Identity, dir string) (Computer, error)) (*Room, error) {
	r := &Room{dir: dir, computer: computer, now: time.Now, byName: map[string]*Machine{}, byBMC: map[netip.Addr]*Machine{}, addresses: map[netip.Addr]bool{}}
	return r, r.Grow(machines)
}

// Grow makes machines until there are so many. Of these, a room does not get fewer.
func (r *Room) Grow(machines int) error {
	if machines > MaxMachines {
		return fmt.Errorf("%d machines: a room has at most %d", machines, MaxMachines)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for index := len(r.machines); index < machines; index++ {
		m, err := r.add(index)
		if err != nil {
			return err
		}
		r.machines = append(r.machines, m)
		if m.Address.IsValid() {
			r.addresses[m.Address.Addr()] = true
		}
	}
	return nil
}

// SetFolders makes or removes machines from FirstFolder on until there are so many. Of one that is
// removed nothing is left.
func (r *Room) SetFolders(folders int) error {
	if folders < 0 || folders > MaxMachines {
		return fmt.Errorf("%d folders: a room has none to %d", folders, MaxMachines)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for index := len(r.folders); index < folders; index++ {
		m, err := r.add(FirstFolder + index)
		if err != nil {
			return err
		}
		r.folders = append(r.folders, m)
	}
	for last := len(r.folders) - 1; last >= folders; last-- {
		m := r.folders[last]
		if err := os.RemoveAll(m.dir); err != nil {
			return fmt.Errorf("removing %s: %w", m.Name, err)
		}
		delete(r.byName, m.Name)
		delete(r.byBMC, m.BMCAddress)
		r.folders = r.folders[:last]
	}
	return nil
}

// add opens or makes a machine; r.mu is held.
func (r *Room) add(index int) (*Machine, error) {
	id := IdentityOf(index)
	dir := MachineDir(r.dir, id.Name)
	c, err := r.computer(id, dir)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", id.Name, err)
	}
	m, err := openMachine(index, dir, c, r.now)
	if err != nil {
		return nil, err
	}
	r.byName[id.Name], r.byBMC[id.BMCAddress] = m, m
	return m, nil
}

// Machines returns all machines in order.
func (r *Room) Machines() []*Machine {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Concat(r.machines, r.folders)
}

// Machine returns a machine by its name; nil if there is none.
func (r *Room) Machine(name string) *Machine {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// ByBMC returns the machine whose management controller has the address; nil if there is none.
func (r *Room) ByBMC(address netip.Addr) *Machine {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byBMC[address]
}

// IsMachine says whether an address is that of a machine.
func (r *Room) IsMachine(address netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.addresses[address]
}
