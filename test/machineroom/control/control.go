// Package control is how people and tests reach into a running machine room: they look at its
// machines, press their power buttons, pull their plugs and have them fail. It is spoken over a
// socket in the room's state directory, since nothing that the room stands for has such a thing.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// Machine is one machine as the room has it, and as Ironic knows it.
type Machine struct {
	Name     string        `json:"name"`
	Hardware room.Hardware `json:"hardware"`
	MAC      string        `json:"mac"`
	Address  string        `json:"address,omitempty"`
	// Power says whether it is powered, Boots what it runs: "disk" or "ramdisk".
	Power bool      `json:"power"`
	Boots room.Boot `json:"boots,omitempty"`
	// PowerSince is when it was switched on or off: for one that is on, when it began to boot.
	PowerSince time.Time `json:"powerSince,omitzero"`
	// Image is what is on the disk.
	Image  string `json:"image,omitempty"`
	Faults string `json:"faults,omitempty"`
	// Dir is its folder.
	Dir string `json:"dir"`
	BMC BMC    `json:"bmc"`
	// Node is nil until Ironic knows the machine.
	Node *Node `json:"node,omitempty"`
}

// BMC is a machine's management controller.
type BMC struct {
	// Address is what BareMetalHost.spec.bmc.address says.
	Address  string `json:"address"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// Node is what Ironic knows of a machine.
type Node struct {
	UUID           string    `json:"uuid"`
	Name           string    `json:"name"`
	ProvisionState string    `json:"provisionState"`
	Since          time.Time `json:"since"`
	PowerState     string    `json:"powerState,omitempty"`
	Maintenance    bool      `json:"maintenance,omitempty"`
	Fault          string    `json:"fault,omitempty"`
	LastError      string    `json:"lastError,omitempty"`
}

// Socket is where the server of a state directory listens.
func Socket(dir string) string { return filepath.Join(dir, "room.sock") }

// command is the body of a request that changes something.
type command struct {
	Machines int    `json:"machines,omitempty"`
	Folders  int    `json:"folders,omitempty"`
	Power    string `json:"power,omitempty"`
	Faults   string `json:"faults,omitempty"`
}

// Power is what can be done to a machine's power by hand.
const (
	PowerOn  = "on"
	PowerOff = "off"
	PowerCut = "cut"
)

// Handler serves Client. grow is called when the room shall have more machines, setFolders when it
// shall have so many folders.
func Handler(r *room.Room, i *ironic.Server, grow, setFolders func(int) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /machines", func(w http.ResponseWriter, _ *http.Request) {
		list, err := list(r, i)
		reply(w, list, err)
	})
	mux.HandleFunc("POST /machines", act(func(_ context.Context, c command, _ *room.Machine) error { return grow(c.Machines) }, nil))
	mux.HandleFunc("PUT /folders", act(func(_ context.Context, c command, _ *room.Machine) error {
		if err := notHosts(i, c.Folders); err != nil {
			return err
		}
		return setFolders(c.Folders)
	}, nil))
	mux.HandleFunc("PUT /machines/{name}/power", act(func(ctx context.Context, c command, m *room.Machine) error {
		switch c.Power {
		case PowerOn:
			return m.SetPower(ctx, true, false)
		case PowerOff:
			return m.SetPower(ctx, false, false)
		case PowerCut:
			return m.Cut(ctx)
		}
		return fmt.Errorf("power %q: must be %s, %s or %s", c.Power, PowerOn, PowerOff, PowerCut)
	}, r))
	mux.HandleFunc("PUT /machines/{name}/faults", act(func(ctx context.Context, c command, m *room.Machine) error {
		return m.Tell(ctx, c.Faults)
	}, r))
	return mux
}

// act makes a handler that does something, to a machine if there is a room.
func act(do func(context.Context, command, *room.Machine) error, r *room.Room) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var c command
		if err := json.NewDecoder(req.Body).Decode(&c); err != nil {
			reply(w, nil, fmt.Errorf("reading the request: %w", err))
			return
		}
		var m *room.Machine
		if r != nil {
			if m = r.Machine(req.PathValue("name")); m == nil {
				reply(w, nil, unknown(req.PathValue("name"), len(r.Machines())))
				return
			}
		}
		reply(w, struct{}{}, do(req.Context(), c, m))
	}
}

// notHosts fails if Ironic knows one of the folders that are too many.
func notHosts(i *ironic.Server, folders int) error {
	known := 0
	for name := range i.Nodes() {
		if room.IndexOf(name) >= room.FirstFolder+folders {
			known++
		}
	}
	if known > 0 {
		return fmt.Errorf("%d of the folders to be removed are hosts: delete their BareMetalHosts first", known)
	}
	return nil
}

// unknown says that there is no such machine.
func unknown(name string, machines int) error {
	return fmt.Errorf("no machine %q among the %d of the room: go run ./test/machineroom list", name, machines)
}

// reply writes an answer, or an error as text.
func reply(w http.ResponseWriter, body any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that has gone away is no error of ours.
	_ = json.NewEncoder(w).Encode(body)
}

// list returns all machines in order.
func list(r *room.Room, i *ironic.Server) ([]Machine, error) {
	nodes := i.Nodes()
	machines := []Machine{}
	for _, m := range r.Machines() {
		v, err := m.View()
		if err != nil {
			return nil, err
		}
		item := Machine{
			Name: v.Name, Hardware: v.Hardware, MAC: v.MAC, Power: v.Power, Boots: v.Boots, PowerSince: v.PowerSince, Image: v.Image,
			Faults: v.Faults.String(), Dir: v.Dir,
		}
		if v.Address.IsValid() {
			item.Address = v.Address.String()
		}
		item.BMC.Address = "redfish-virtualmedia://" + v.BMCAddress.String() + v.SystemPath()
		item.BMC.User, item.BMC.Password = m.Credentials()
		if n, ok := nodes[v.Name]; ok {
			item.Node = &Node{
				UUID: n.UUID, Name: string(n.Name), ProvisionState: n.ProvisionState, PowerState: string(n.PowerState),
				Maintenance: n.Maintenance, Fault: string(n.Fault), LastError: string(n.LastError),
			}
			if n.ProvisionUpdatedAt != nil {
				item.Node.Since = *n.ProvisionUpdatedAt
			}
		}
		machines = append(machines, item)
	}
	return machines, nil
}

// ErrDown says that no room runs in the state directory.
var ErrDown = errors.New("no machine room runs: go run ./test/machineroom up")

// Client talks to the running room of a state directory.
type Client struct{ Dir string }

// List returns all machines in order.
func (c Client) List(ctx context.Context) ([]Machine, error) {
	var machines []Machine
	return machines, c.do(ctx, http.MethodGet, "/machines", nil, &machines)
}

// Get returns one machine.
func (c Client) Get(ctx context.Context, name string) (Machine, error) {
	machines, err := c.List(ctx)
	if err != nil {
		return Machine{}, err
	}
	for _, m := range machines {
		if m.Name == name {
			return m, nil
		}
	}
	return Machine{}, unknown(name, len(machines))
}

// Grow makes machines until there are so many.
func (c Client) Grow(ctx context.Context, machines int) error {
	return c.do(ctx, http.MethodPost, "/machines", command{Machines: machines}, nil)
}

// SetFolders makes or removes machines that run nothing, until there are so many of them
// (room.Settings.Folders).
func (c Client) SetFolders(ctx context.Context, folders int) error {
	return c.do(ctx, http.MethodPut, "/folders", command{Folders: folders}, nil)
}

// Power does something to a machine's power: PowerOn and PowerOff press the button, PowerCut pulls
// the plug.
func (c Client) Power(ctx context.Context, name, what string) error {
	return c.do(ctx, http.MethodPut, "/machines/"+url.PathEscape(name)+"/power", command{Power: what}, nil)
}

// Fail gives a machine faults, in place of those that it has (room.ParseFaults); "none" takes
// them away.
func (c Client) Fail(ctx context.Context, name, faults string) error {
	return c.do(ctx, http.MethodPut, "/machines/"+url.PathEscape(name)+"/faults", command{Faults: faults}, nil)
}

// do sends a request.
func (c Client) do(ctx context.Context, method, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://room"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", Socket(c.Dir))
		},
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrDown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return errors.New(string(bytes.TrimSpace(text)))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
