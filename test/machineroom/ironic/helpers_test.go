package ironic_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// limit is how long a test waits for what takes milliseconds.
const limit = 20 * time.Second

// bench is a room with Ironic's API in front of it.
type bench struct {
	t      *testing.T
	dir    string
	room   *room.Room
	server *ironic.Server
	http   *httptest.Server
	client *gophercloud.ServiceClient
	opts   ironic.Options
}

// newBench starts a room whose machines are folders.
func newBench(t *testing.T, machines int, opts ironic.Options) *bench {
	t.Helper()
	if opts.PowerSync == 0 {
		opts.PowerSync = 5 * time.Millisecond
	}
	b := &bench{t: t, dir: t.TempDir(), opts: opts}
	b.open(machines)
	t.Cleanup(b.close)
	return b
}

// open starts the server on what is in the directory.
func (b *bench) open(machines int) {
	b.t.Helper()
	var err error
	b.room, err = room.Open(b.dir, machines, func(_ room.Identity, dir string) (room.Computer, error) {
		return room.Folder{Dir: dir, Images: filepath.Join(b.dir, "images")}, nil
	})
	b.must(err)
	b.must(os.MkdirAll(filepath.Join(b.dir, "images", "debian"), 0o755))
	b.server, err = ironic.New(b.room, filepath.Join(b.dir, "nodes"), b.opts)
	b.must(err)
	b.http = httptest.NewServer(b.server.Handler())
	b.client, err = noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: b.http.URL + "/v1/"})
	b.must(err)
	b.client.Microversion = "1.89"
}

// close ends the server as a signal does.
func (b *bench) close() {
	b.http.Close()
	b.server.Close()
}

// restart ends the server and starts another one.
func (b *bench) restart() {
	machines := len(b.room.Machines())
	b.close()
	b.open(machines)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// driverInfo is what the operator writes for a machine.
func driverInfo(m *room.Machine) map[string]any {
	user, password := m.Credentials()
	return map[string]any{
		"redfish_address": "https://" + m.BMCAddress.String(), "redfish_system_id": m.SystemPath(),
		"redfish_username": user, "redfish_password": password,
	}
}

// register makes a node of a machine.
func (b *bench) register(m *room.Machine) *nodes.Node {
	b.t.Helper()
	n, err := nodes.Create(b.t.Context(), b.client, nodes.CreateOpts{
		Name: "metal~" + m.Name, Driver: "redfish", DriverInfo: driverInfo(m), BootInterface: "redfish-virtual-media",
		DisablePowerOff: new(bool), Properties: map[string]any{"capabilities": "boot_mode:uefi"},
	}).Extract()
	b.must(err)
	return n
}

// get reads a node.
func (b *bench) get(uuid string) *nodes.Node {
	b.t.Helper()
	n, err := nodes.Get(b.t.Context(), b.client, uuid).Extract()
	b.must(err)
	return n
}

// wait reads a node until it is as wanted.
func (b *bench) wait(uuid, what string, met func(*nodes.Node) bool) *nodes.Node {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	for {
		n := b.get(uuid)
		if met(n) {
			return n
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("the node is not %s: it is in %q with target %q, power %q, error %q", what, n.ProvisionState, n.TargetProvisionState, n.PowerState, n.LastError)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// reaches waits until a node is in a state.
func (b *bench) reaches(uuid string, state nodes.ProvisionState) *nodes.Node {
	b.t.Helper()
	return b.wait(uuid, string(state), func(n *nodes.Node) bool { return n.ProvisionState == string(state) })
}

// ask asks for a change of the provision state.
func (b *bench) ask(uuid string, opts nodes.ProvisionStateOpts) {
	b.t.Helper()
	b.must(nodes.ChangeProvisionState(b.t.Context(), b.client, uuid, opts).Err)
}

// target asks for a target and waits for a state.
func (b *bench) target(uuid string, target nodes.TargetProvisionState, state nodes.ProvisionState) *nodes.Node {
	b.t.Helper()
	b.ask(uuid, nodes.ProvisionStateOpts{Target: target})
	return b.reaches(uuid, state)
}

// image sets what is to be deployed.
func (b *bench) image(uuid, url string) {
	b.t.Helper()
	b.patch(uuid, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_source", Value: url},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_os_hash_algo", Value: "sha256"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_os_hash_value", Value: "abc"})
}

// patch changes a node.
func (b *bench) patch(uuid string, ops ...nodes.UpdateOperation) *nodes.Node {
	b.t.Helper()
	var opts nodes.UpdateOpts
	for _, op := range ops {
		opts = append(opts, op)
	}
	n, err := nodes.Update(b.t.Context(), b.client, uuid, opts).Extract()
	b.must(err)
	return n
}

// available brings a machine there, inspected.
func (b *bench) available(m *room.Machine) string {
	b.t.Helper()
	n := b.register(m)
	b.target(n.UUID, nodes.TargetManage, nodes.Manageable)
	b.target(n.UUID, nodes.TargetInspect, nodes.Manageable)
	b.target(n.UUID, nodes.TargetProvide, nodes.Available)
	return n.UUID
}

// active brings a machine there.
func (b *bench) active(m *room.Machine) string {
	b.t.Helper()
	uuid := b.available(m)
	b.image(uuid, "http://images/debian")
	b.target(uuid, nodes.TargetActive, nodes.Active)
	return uuid
}

// onDisk is a file of a machine's disk.
func (b *bench) onDisk(m *room.Machine, file string) string {
	return filepath.Join(room.Folder{Dir: room.MachineDir(b.dir, m.Name)}.Disk(), file)
}

// refused fails the test unless the request was answered with a code.
func (b *bench) refused(err error, code int) {
	b.t.Helper()
	if !gophercloud.ResponseCodeIs(err, code) {
		b.t.Errorf("answered with %v, want %d", err, code)
	}
}
