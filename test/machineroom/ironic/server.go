package ironic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// conductor is the name of the host that holds a node's lock.
const conductor = "machineroom"

// Options are the server's settings. The zero value is usable.
type Options struct {
	// Log receives what happens to nodes. Default: nothing is logged.
	Log *slog.Logger
	// PowerSync is how often power states are read. Default: 2 s. Ironic's
	// sync_power_state_interval is 60 s.
	PowerSync time.Duration
	// CallbackTimeout is for how long the ramdisk is waited for. Default: 4800 s, Metal3's
	// deploy_callback_timeout. (Ironic's for cleaning and inspection are 1800 s.)
	CallbackTimeout time.Duration
	// PowerTimeout is for how long a change of power is waited for. Default: 120 s, Metal3's
	// power_state_change_timeout.
	PowerTimeout time.Duration
}

// Server is Ironic's API and conductor for a room.
type Server struct {
	room *room.Room
	dir  string
	opts Options
	log  *slog.Logger

	// ctx ends with Run: what is done in the background ends then, and is taken up again by the
	// next server.
	ctx  context.Context
	stop context.CancelFunc
	jobs sync.WaitGroup

	mu sync.Mutex
	// nodes are by UUID, and uuids are theirs in the order of creation.
	nodes map[string]*entry
	uuids []string
	// ports are the UUIDs of nodes by the MAC of a port.
	ports map[string]string
}

// New opens the nodes that a former server left in dir. What it had begun goes on: an operation
// that waits for the ramdisk starts from its beginning, one that does not has failed, as after a
// restart of a real conductor.
func New(r *room.Room, dir string, opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.PowerSync == 0 {
		opts.PowerSync = 2 * time.Second
	}
	if opts.CallbackTimeout == 0 {
		opts.CallbackTimeout = 4800 * time.Second
	}
	if opts.PowerTimeout == 0 {
		opts.PowerTimeout = 120 * time.Second
	}
	s := &Server{room: r, dir: dir, opts: opts, log: opts.Log, nodes: map[string]*entry{}, ports: map[string]string{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.load(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uuid := range s.uuids {
		if err := s.resume(s.nodes[uuid]); err != nil {
			return nil, err
		}
	}
	s.jobs.Go(s.syncPower)
	return s, nil
}

// Close ends what is done in the background and waits for it.
func (s *Server) Close() {
	s.stop()
	s.jobs.Wait()
}

// load reads the nodes' files.
func (s *Server) load() error {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a node: %w", err)
		}
		e := &entry{}
		if err := json.Unmarshal(data, &e.record); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		s.nodes[e.Node.UUID] = e
		s.uuids = append(s.uuids, e.Node.UUID)
		for _, p := range e.NodePorts {
			s.ports[p.Address] = e.Node.UUID
		}
	}
	slices.SortFunc(s.uuids, func(a, b string) int {
		return s.nodes[a].Node.CreatedAt.Compare(s.nodes[b].Node.CreatedAt)
	})
	return nil
}

// file is where a node is kept. It has credentials and user data.
func (s *Server) file(uuid string) string { return filepath.Join(s.dir, uuid+".json") }

// save writes a node's file; s.mu is held.
func (s *Server) save(e *entry) error {
	data, err := json.Marshal(e.record)
	if err != nil {
		return fmt.Errorf("saving node %s: %w", e.Node.UUID, err)
	}
	return state.WriteFile(s.file(e.Node.UUID), append(data, '\n'), 0o600)
}

// change changes a node and saves it; s.mu is held.
func (s *Server) change(e *entry, f func(*Node)) error {
	now := time.Now().UTC()
	before := e.Node.ProvisionState
	f(&e.Node)
	e.Node.UpdatedAt = &now
	if e.Node.ProvisionState != before {
		e.Node.ProvisionUpdatedAt = &now
		s.log.Info("a node changed its state", "node", e.Node.Name, "machine", e.Machine,
			"from", before, "to", e.Node.ProvisionState, "last_error", string(e.Node.LastError))
	}
	return s.save(e)
}

// find returns a node by UUID or name; s.mu is held.
func (s *Server) find(ident string) (*entry, error) {
	if e := s.nodes[ident]; e != nil {
		return e, nil
	}
	for _, e := range s.nodes {
		if ident != "" && string(e.Node.Name) == ident {
			return e, nil
		}
	}
	return nil, missing(ident)
}

// unlocked returns a node that nobody works on; s.mu is held.
func (s *Server) unlocked(ident string) (*entry, error) {
	e, err := s.find(ident)
	if err != nil {
		return nil, err
	}
	if e.locked() {
		return nil, conflict("Node %s is locked by host %s, please retry after the current operation is completed.", e.Node.UUID, conductor)
	}
	return e, nil
}

// locked says whether a conductor holds the node's lock: it does while it works on it, and not
// while it waits for the ramdisk. Server.mu is held.
func (e *entry) locked() bool {
	switch e.Node.ProvisionState {
	case inspectWait, cleanWait, deployWait:
		return false
	}
	return e.job != nil && !e.job.over
}

// Nodes returns the nodes by the names of their machines.
func (s *Server) Nodes() map[string]Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := map[string]Node{}
	for _, uuid := range s.uuids {
		if e := s.nodes[uuid]; e.Machine != "" {
			nodes[e.Machine] = e.shown()
		}
	}
	return nodes
}

// shown returns the node as it may be seen: without secrets.
func (e *entry) shown() Node {
	n := e.Node
	n.DriverInfo, n.InstanceInfo = masked(n.DriverInfo), masked(n.InstanceInfo)
	if e.locked() {
		n.Reservation = conductor
	}
	n.Links = []link{{Href: "/v1/nodes/" + n.UUID, Rel: "self"}}
	n.Ports = []link{{Href: "/v1/nodes/" + n.UUID + "/ports", Rel: "self"}}
	return n
}

// masked replaces secrets as Ironic does, so that they are never read back.
func masked(o object) object {
	out := object{}
	for k, v := range o {
		if strings.Contains(k, "password") || strings.Contains(k, "secret") || k == "configdrive" {
			v = "******"
		}
		out[k] = v
	}
	return out
}

// remove forgets a node; s.mu is held. Its machine stays as it is.
func (s *Server) remove(e *entry) error {
	if err := os.Remove(s.file(e.Node.UUID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing node %s: %w", e.Node.UUID, err)
	}
	for _, p := range e.NodePorts {
		delete(s.ports, p.Address)
	}
	delete(s.nodes, e.Node.UUID)
	s.uuids = slices.DeleteFunc(s.uuids, func(uuid string) bool { return uuid == e.Node.UUID })
	return nil
}
