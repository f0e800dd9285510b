package ironic_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"

	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
)

func TestWhatMayBeAskedInWhichState(t *testing.T) {
	all := []nodes.TargetProvisionState{
		nodes.TargetManage, nodes.TargetInspect, nodes.TargetProvide, nodes.TargetActive, nodes.TargetRebuild,
		nodes.TargetDeleted, nodes.TargetAdopt, nodes.TargetAbort, nodes.TargetRescue, nodes.TargetService,
	}
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	n := b.register(m)
	refusedBut := func(allowed ...nodes.TargetProvisionState) {
		t.Helper()
		state := b.get(n.UUID).ProvisionState
		for _, target := range all {
			if fmt.Sprint(allowed) == "" || strings.Contains(fmt.Sprint(allowed), string(target)) {
				continue
			}
			err := nodes.ChangeProvisionState(t.Context(), b.client, n.UUID, nodes.ProvisionStateOpts{Target: target}).Err
			if !gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
				t.Errorf("%s in state %s: %v, want it refused", target, state, err)
			}
		}
	}
	refusedBut(nodes.TargetManage)
	b.target(n.UUID, nodes.TargetManage, nodes.Manageable)
	refusedBut(nodes.TargetInspect, nodes.TargetProvide, nodes.TargetAdopt)
	b.target(n.UUID, nodes.TargetProvide, nodes.Available)
	refusedBut(nodes.TargetManage, nodes.TargetActive)
	// An active node needs an image.
	err := nodes.ChangeProvisionState(t.Context(), b.client, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetActive}).Err
	if err == nil || !strings.Contains(err.Error(), "image_source") {
		t.Errorf("without an image: %v", err)
	}
	b.image(n.UUID, "http://images/debian")
	b.target(n.UUID, nodes.TargetActive, nodes.Active)
	refusedBut(nodes.TargetDeleted, nodes.TargetRebuild)
	b.target(n.UUID, nodes.TargetRebuild, nodes.Active)

	b.must(nodes.SetMaintenance(t.Context(), b.client, n.UUID, nodes.MaintenanceOpts{Reason: "by hand"}).Err)
	err = nodes.ChangeProvisionState(t.Context(), b.client, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild}).Err
	if err == nil || !strings.Contains(err.Error(), "maintenance mode") {
		t.Errorf("in maintenance: %v", err)
	}
}

func TestAdoptionLeavesTheMachineAlone(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	old := b.active(m)
	b.must(os.WriteFile(b.onDisk(m, "marker"), nil, 0o600))
	b.must(nodes.SetMaintenance(t.Context(), b.client, old, nodes.MaintenanceOpts{}).Err)
	b.must(nodes.Delete(t.Context(), b.client, old).Err)

	uuid := b.register(m).UUID
	b.target(uuid, nodes.TargetManage, nodes.Manageable)
	if n := b.target(uuid, nodes.TargetAdopt, nodes.AdoptFail); !strings.Contains(n.LastError, "image_source") {
		t.Errorf("adoption without an image: %q", n.LastError)
	}
	b.image(uuid, "http://images/debian")
	if n := b.target(uuid, nodes.TargetAdopt, nodes.Active); n.PowerState != "power on" {
		t.Errorf("an adopted node has power %q", n.PowerState)
	}
	if _, err := os.Stat(b.onDisk(m, "marker")); err != nil {
		t.Errorf("adoption changed the disk: %v", err)
	}
}

func TestPatch(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	uuid := b.register(b.room.Machines()[0]).UUID
	n := b.patch(uuid,
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/properties/cpu_arch", Value: "x86_64"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/root_device", Value: map[string]string{"name": "s== /dev/sda"}},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/deploy_interface", Value: "ramdisk"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/automated_clean", Value: true},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_uuid", Value: "u"})
	if n.Properties["cpu_arch"] != "x86_64" || n.Properties["capabilities"] != "boot_mode:uefi" || n.DeployInterface != "ramdisk" || !*n.AutomatedClean || n.InstanceUUID != "u" {
		t.Errorf("after the patch: %+v", n)
	}
	n = b.patch(uuid,
		nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/instance_info/root_device"},
		nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/deploy_interface"},
		nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/instance_uuid"})
	if len(n.InstanceInfo) != 0 || n.DeployInterface != "direct" || n.InstanceUUID != "" {
		t.Errorf("after the removal: %+v", n)
	}
	for _, op := range []nodes.UpdateOperation{
		{Op: nodes.RemoveOp, Path: "/instance_info/none"}, {Op: nodes.AddOp, Path: "/provision_state", Value: "active"},
		{Op: nodes.AddOp, Path: "/disable_power_off", Value: true}, {Op: nodes.ReplaceOp, Path: "/driver", Value: "magic"},
		{Op: nodes.AddOp, Path: "/driver_info", Value: "text"},
	} {
		b.refused(nodes.Update(t.Context(), b.client, uuid, nodes.UpdateOpts{op}).Err, http.StatusBadRequest)
	}
}

func TestNamesAndPortsAreUnique(t *testing.T) {
	b := newBench(t, 2, ironic.Options{})
	m := b.room.Machines()[0]
	n := b.register(m)
	b.refused(nodes.Create(t.Context(), b.client, nodes.CreateOpts{Name: n.Name, Driver: "redfish"}).Err, http.StatusConflict)
	if found := b.get(n.Name); found.UUID != n.UUID {
		t.Errorf("by its name: %s, want %s", found.UUID, n.UUID)
	}
	b.must(ports.Create(t.Context(), b.client, ports.CreateOpts{NodeUUID: n.UUID, Address: strings.ToUpper(m.MAC)}).Err)
	other := b.register(b.room.Machines()[1])
	b.refused(ports.Create(t.Context(), b.client, ports.CreateOpts{NodeUUID: other.UUID, Address: m.MAC}).Err, http.StatusConflict)
	page, err := ports.List(b.client, ports.ListOpts{Address: m.MAC, Fields: []string{"node_uuid"}}).AllPages(t.Context())
	b.must(err)
	if list, err := ports.ExtractPorts(page); err != nil || len(list) != 1 || list[0].NodeUUID != n.UUID {
		t.Errorf("by its address: %+v, %v", list, err)
	}
}

func TestARestartGoesOn(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := imagedNode(b, m)
	b.must(m.Tell(t.Context(), "hang"))
	b.ask(uuid, nodes.ProvisionStateOpts{Target: nodes.TargetActive, ConfigDrive: nodes.ConfigDrive{UserData: "words"}})
	b.reaches(uuid, nodes.DeployWait)

	b.restart()
	m = b.room.Machines()[0]
	b.reaches(uuid, nodes.DeployWait)
	b.must(m.Tell(t.Context(), "none"))
	n := b.reaches(uuid, nodes.Active)
	if got, err := os.ReadFile(b.onDisk(m, "openstack/latest/user_data")); err != nil || string(got) != "words" {
		t.Errorf("after the restart the user data are %q, %v", got, err)
	}

	b.restart()
	if after := b.get(uuid); after.ProvisionState != "active" || after.PowerState != "power on" || !after.ProvisionUpdatedAt.Equal(n.ProvisionUpdatedAt) {
		t.Errorf("a restart changed an active node: %+v", after)
	}
	b.target(uuid, nodes.TargetDeleted, nodes.Available)
}

// What a conductor was in the middle of has failed after its restart.
func TestARestartFailsWhatCannotBeResumed(t *testing.T) {
	for state, want := range map[string]string{
		"verifying": "enroll", "inspecting": "inspect failed", "deploying": "deploy failed", "deleting": "error",
		"adopting": "adopt failed", "cleaning": "clean failed",
	} {
		t.Run(state, func(t *testing.T) {
			b := newBench(t, 1, ironic.Options{})
			uuid := b.register(b.room.Machines()[0]).UUID
			b.close()
			file := filepath.Join(b.dir, "nodes", uuid+".json")
			data, err := os.ReadFile(file)
			b.must(err)
			var record map[string]map[string]any
			b.must(json.Unmarshal(data, &record))
			record["node"]["provision_state"] = state
			record["node"]["target_power_state"] = "power on"
			data, err = json.Marshal(record)
			b.must(err)
			b.must(os.WriteFile(file, data, 0o600))
			b.open(1)
			n := b.get(uuid)
			if n.ProvisionState != want || !strings.Contains(n.LastError, "Moving to fail state") || n.TargetPowerState != "" || n.Reservation != "" {
				t.Errorf("the node is %q, error %q, target power %q, reserved by %q", n.ProvisionState, n.LastError, n.TargetPowerState, n.Reservation)
			}
		})
	}
}

func TestAThousandNodes(t *testing.T) {
	const count = 1000
	b := newBench(t, count+1, ironic.Options{PowerSync: time.Second})
	began := time.Now()
	for _, m := range b.room.Machines()[:count] {
		b.register(m)
	}
	// As the operator asks for hosts that are busy (ironic.go, loadBusyHosts).
	opts := nodes.ListOpts{Fields: []string{"uuid,name,provision_state,boot_interface"}}
	page, err := nodes.List(b.client, opts).AllPages(t.Context())
	b.must(err)
	list, err := nodes.ExtractNodes(page)
	b.must(err)
	if len(list) != count || list[999].Name != "metal~machine-999" || list[0].BootInterface != "redfish-virtual-media" {
		t.Errorf("%d nodes, the last is %+v", len(list), list[len(list)-1])
	}
	for _, n := range list {
		b.ask(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage})
	}
	for _, n := range list {
		b.reaches(n.UUID, nodes.Manageable)
	}
	t.Logf("%d nodes were registered and manageable after %s", count, time.Since(began).Round(time.Millisecond))

	b.register(b.room.Machines()[count])
	var body struct {
		Nodes []nodes.Node `json:"nodes"`
		Next  string       `json:"next"`
	}
	_, err = b.client.Get(t.Context(), b.client.ServiceURL("nodes"), &body, nil)
	b.must(err)
	if len(body.Nodes) != count || body.Next == "" {
		t.Errorf("the first page has %d nodes, the next is %q", len(body.Nodes), body.Next)
	}
	body.Nodes = nil
	next := body.Next
	body.Next = ""
	_, err = b.client.Get(t.Context(), next, &body, nil)
	b.must(err)
	if len(body.Nodes) != 1 || body.Next != "" {
		t.Errorf("the second page has %d nodes, the next is %q", len(body.Nodes), body.Next)
	}
}
