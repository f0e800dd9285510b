package ironic_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

func TestAMachineFails(t *testing.T) {
	for _, tc := range []struct {
		name, fault string
		// from brings the node to where target is asked for, and want is where it gets. Once the
		// machine is well, again is asked for, and then, if it is not "", leads to available.
		from        func(*bench, *room.Machine) string
		target      nodes.TargetProvisionState
		want        nodes.ProvisionState
		says        string
		maintenance bool
		again       nodes.TargetProvisionState
		recovered   nodes.ProvisionState
		then        nodes.TargetProvisionState
	}{
		{
			name: "inspection", fault: "fail-inspect", from: manageableNode, target: nodes.TargetInspect,
			want: nodes.InspectFail, says: "Failed to inspect hardware", again: nodes.TargetInspect, recovered: nodes.Manageable,
		},
		{
			name: "inspection without power", fault: "no-power-on", from: manageableNode, target: nodes.TargetInspect,
			want: nodes.InspectFail, says: "no-power-on", again: nodes.TargetInspect, recovered: nodes.Manageable,
		},
		{
			name: "deployment", fault: "fail-provision", from: imagedNode, target: nodes.TargetActive,
			want: nodes.DeployFail, says: "fail-provision", again: nodes.TargetActive, recovered: nodes.Active,
		},
		{
			name: "deployment without power", fault: "no-power-on", from: imagedNode, target: nodes.TargetActive,
			want: nodes.DeployFail, says: "failed to set node power state", again: nodes.TargetDeleted, recovered: nodes.Available,
		},
		{
			name: "release", fault: "fail-clean", from: (*bench).active, target: nodes.TargetDeleted,
			want: nodes.CleanFail, says: "deploy.erase_devices_metadata", maintenance: true,
			again: nodes.TargetManage, recovered: nodes.Manageable, then: nodes.TargetProvide,
		},
		{
			name: "release without power", fault: "no-power-on", from: (*bench).active, target: nodes.TargetDeleted,
			want: nodes.CleanFail, says: "Failed to prepare node", maintenance: true,
			again: nodes.TargetManage, recovered: nodes.Manageable, then: nodes.TargetProvide,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, 1, ironic.Options{})
			m := b.room.Machines()[0]
			uuid := tc.from(b, m)
			b.must(m.Tell(t.Context(), tc.fault))
			n := b.target(uuid, tc.target, tc.want)
			if !strings.Contains(n.LastError, tc.says) {
				t.Errorf("last_error is %q, want %q in it", n.LastError, tc.says)
			}
			if n.Maintenance != tc.maintenance || (n.Fault == "clean failure") != tc.maintenance {
				t.Errorf("maintenance %t, fault %q; want %t", n.Maintenance, n.Fault, tc.maintenance)
			}
			b.must(m.Tell(t.Context(), "none"))
			if tc.maintenance {
				b.must(nodes.UnsetMaintenance(t.Context(), b.client, uuid).Err)
			}
			n = b.target(uuid, tc.again, tc.recovered)
			if tc.then != "" {
				n = b.target(uuid, tc.then, nodes.Available)
			}
			if n.LastError != "" || n.Maintenance || n.Fault != "" {
				t.Errorf("after recovery: error %q, maintenance %t, fault %q", n.LastError, n.Maintenance, n.Fault)
			}
		})
	}
}

func manageableNode(b *bench, m *room.Machine) string {
	uuid := b.register(m).UUID
	b.target(uuid, nodes.TargetManage, nodes.Manageable)
	return uuid
}

func imagedNode(b *bench, m *room.Machine) string {
	uuid := b.available(m)
	b.image(uuid, "http://images/debian")
	return uuid
}

func TestAnImageThatIsNotThere(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	uuid := b.available(b.room.Machines()[0])
	b.image(uuid, "http://images/plan9")
	if n := b.target(uuid, nodes.TargetActive, nodes.DeployFail); !strings.Contains(n.LastError, "plan9") || n.PowerState != "power off" {
		t.Errorf("error %q, power %q", n.LastError, n.PowerState)
	}
}

func TestWrongCredentials(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	for what, info := range map[string]map[string]any{
		"401":                    {"redfish_password": "guess"},
		"404":                    {"redfish_system_id": "/redfish/v1/Systems/1"},
		"unable to connect":      {"redfish_address": "https://198.18.255.1"},
		"Missing parameters":     {"redfish_address": ""},
		"invalid user name or p": {"redfish_username": "root"},
	} {
		wrong := driverInfo(m)
		for k, v := range info {
			wrong[k] = v
		}
		n, err := nodes.Create(t.Context(), b.client, nodes.CreateOpts{Driver: "redfish", DriverInfo: wrong}).Extract()
		b.must(err)
		b.ask(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage})
		n = b.wait(n.UUID, "refused", func(n *nodes.Node) bool { return n.ProvisionState == "enroll" && n.LastError != "" })
		if !strings.Contains(n.LastError, what) || !strings.HasPrefix(n.LastError, "Failed to get power state for node") || n.TargetProvisionState != "" {
			t.Errorf("%v: last_error is %q, target %q; want %q in it", info, n.LastError, n.TargetProvisionState, what)
		}
		b.patch(n.UUID, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/driver_info", Value: driverInfo(m)})
		if n := b.target(n.UUID, nodes.TargetManage, nodes.Manageable); n.LastError != "" {
			t.Errorf("after the right credentials: %q", n.LastError)
		}
		b.must(nodes.Delete(t.Context(), b.client, n.UUID).Err)
	}
}

func TestCredentialsThatChangeLaterAreAPowerFailure(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.active(m)
	b.patch(uuid, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/driver_info/redfish_password", Value: "old"})
	n := b.wait(uuid, "in fault", func(n *nodes.Node) bool { return n.Fault == "power failure" })
	if !n.Maintenance || n.PowerState != "" || n.MaintenanceReason == "" {
		t.Errorf("maintenance %t (%s), power %q", n.Maintenance, n.MaintenanceReason, n.PowerState)
	}
	_, password := m.Credentials()
	b.patch(uuid, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/driver_info/redfish_password", Value: password})
	b.wait(uuid, "well", func(n *nodes.Node) bool { return n.Fault == "" && !n.Maintenance && n.PowerState == "power on" })
}

func TestPowerIsLost(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.active(m)
	b.must(m.Tell(t.Context(), "lose-power"))
	if on, err := m.On(); on || err != nil {
		t.Errorf("the machine runs on: %v, %v", on, err)
	}
	n := b.wait(uuid, "off", func(n *nodes.Node) bool { return n.PowerState == "power off" })
	if n.ProvisionState != "active" || n.LastError != "" {
		t.Errorf("the node is %q, error %q", n.ProvisionState, n.LastError)
	}
	b.must(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: nodes.PowerOn}).Err)
	b.wait(uuid, "on again", func(n *nodes.Node) bool { return n.PowerState == "power on" && n.TargetPowerState == "" })
	if on, err := m.On(); !on || err != nil {
		t.Errorf("the machine does not run: %v, %v", on, err)
	}
}

func TestPowerIsCutWhileTheImageIsWritten(t *testing.T) {
	b := newBench(t, 1, ironic.Options{CallbackTimeout: 300 * time.Millisecond})
	m := b.room.Machines()[0]
	uuid := imagedNode(b, m)
	b.must(m.Tell(t.Context(), "hang"))
	b.target(uuid, nodes.TargetActive, nodes.DeployWait)
	b.must(m.Cut(t.Context()))
	b.must(m.Tell(t.Context(), "none"))
	n := b.reaches(uuid, nodes.DeployFail)
	if !strings.Contains(n.LastError, "Timeout reached while waiting for callback") {
		t.Errorf("last_error is %q", n.LastError)
	}
	if _, err := os.Stat(b.onDisk(m, "image")); !os.IsNotExist(err) {
		t.Errorf("the image was written without power: %v", err)
	}
}

func TestChangesOfPower(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.active(m)
	for _, step := range []struct {
		target nodes.TargetPowerState
		want   string
	}{
		{nodes.PowerOff, "power off"}, {nodes.PowerOn, "power on"}, {nodes.Rebooting, "power on"}, {nodes.SoftPowerOff, "power off"}, {nodes.PowerOff, "power off"},
	} {
		b.must(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: step.target}).Err)
		n := b.wait(uuid, step.want, func(n *nodes.Node) bool { return n.TargetPowerState == "" && n.PowerState == step.want })
		if on, err := m.On(); err != nil || on != (step.want == "power on") || n.ProvisionState != "active" {
			t.Errorf("%s: the machine is on: %t, %v; the node is %s", step.target, on, err, n.ProvisionState)
		}
	}
	b.must(m.Tell(t.Context(), "no-power-on"))
	b.must(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: nodes.PowerOn}).Err)
	n := b.wait(uuid, "failed", func(n *nodes.Node) bool { return n.LastError != "" })
	if !strings.HasPrefix(n.LastError, "Failed to change power state to 'power on'") || n.PowerState != "power off" || n.TargetPowerState != "" {
		t.Errorf("error %q, power %q, target %q", n.LastError, n.PowerState, n.TargetPowerState)
	}
	b.must(m.Tell(t.Context(), "hang"))
	b.must(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: nodes.PowerOn, Timeout: 1}).Err)
	b.refused(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: nodes.PowerOff}).Err, http.StatusConflict)
	b.refused(nodes.ChangeProvisionState(t.Context(), b.client, uuid, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}).Err, http.StatusConflict)
	if n := b.get(uuid); n.Reservation == "" || n.TargetPowerState != "power on" {
		t.Errorf("a node whose power changes is reserved by %q, target %q", n.Reservation, n.TargetPowerState)
	}
	b.wait(uuid, "timed out", func(n *nodes.Node) bool {
		return strings.Contains(n.LastError, "timed out") && n.TargetPowerState == ""
	})
}

func TestAbortAndReleaseOfWhatHangs(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := imagedNode(b, m)

	b.must(m.Tell(t.Context(), "hang"))
	b.target(uuid, nodes.TargetActive, nodes.DeployWait)
	b.refused(nodes.ChangePowerState(t.Context(), b.client, uuid, nodes.PowerStateOpts{Target: nodes.PowerOff}).Err, http.StatusBadRequest)
	b.refused(nodes.Update(t.Context(), b.client, uuid, nodes.UpdateOpts{nodes.UpdateOperation{Op: nodes.AddOp, Path: "/extra/a", Value: "b"}}).Err, http.StatusConflict)
	b.target(uuid, nodes.TargetDeleted, nodes.CleanWait)
	b.ask(uuid, nodes.ProvisionStateOpts{Target: nodes.TargetAbort})
	n := b.wait(uuid, "aborted", func(n *nodes.Node) bool {
		return n.ProvisionState == "clean failed" && n.LastError != "" && n.Reservation == ""
	})
	if !strings.Contains(n.LastError, "aborted") || n.PowerState != "power off" || n.Maintenance {
		t.Errorf("error %q, power %q, maintenance %t", n.LastError, n.PowerState, n.Maintenance)
	}
	b.target(uuid, nodes.TargetManage, nodes.Manageable)
	b.target(uuid, nodes.TargetInspect, nodes.InspectWait)
	b.ask(uuid, nodes.ProvisionStateOpts{Target: nodes.TargetAbort})
	n = b.wait(uuid, "aborted", func(n *nodes.Node) bool { return n.ProvisionState == "inspect failed" && n.Reservation == "" })
	if !strings.Contains(n.LastError, "aborted") {
		t.Errorf("error %q", n.LastError)
	}
	b.must(m.Tell(t.Context(), "none"))
	b.target(uuid, nodes.TargetInspect, nodes.Manageable)
	b.target(uuid, nodes.TargetProvide, nodes.Available)
}

func TestASlowMachine(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := imagedNode(b, m)
	const slow = 300 * time.Millisecond
	b.must(m.Tell(t.Context(), "slow="+slow.String()))
	began := time.Now()
	b.target(uuid, nodes.TargetActive, nodes.Active)
	if took := time.Since(began); took < slow {
		t.Errorf("provisioning took %s, want %s at least", took, slow)
	}
}

func TestWhatAnOperatingSystemEndsByItself(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.active(m)
	// As `poweroff` does.
	b.must(room.Folder{Dir: room.MachineDir(b.dir, m.Name)}.PowerOff(context.Background(), false))
	b.wait(uuid, "off", func(n *nodes.Node) bool { return n.PowerState == "power off" })
}
