package ironic_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/utils"

	"github.com/teapot-cloud/teapot/test/machineroom/ironic"
)

func TestOneMicroversionIsServed(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	// As the operator asks (pkg/provisioner/ironic/clients/features.go).
	supported, err := utils.GetSupportedMicroversions(t.Context(), b.client)
	b.must(err)
	if want := (utils.SupportedMicroversions{MinMajor: 1, MinMinor: 89, MaxMajor: 1, MaxMinor: 89}); supported != want {
		t.Errorf("it supports %+v, want %+v", supported, want)
	}
	for version, code := range map[string]int{"": 406, "1.88": 406, "1.90": 406, "2.0": 406, "1.89": 404, "latest": 404} {
		req := httptest.NewRequest(http.MethodGet, "/v1/nodes/none", nil)
		req.Header.Set("X-OpenStack-Ironic-API-Version", version)
		answer := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(answer, req)
		if answer.Code != code {
			t.Errorf("microversion %q: answered with %d, want %d", version, answer.Code, code)
		}
		var body struct {
			Message string `json:"error_message"`
		}
		var inner struct {
			Text string `json:"faultstring"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &body) != nil || json.Unmarshal([]byte(body.Message), &inner) != nil || inner.Text == "" {
			t.Errorf("microversion %q: the error is not in Ironic's form: %s", version, answer.Body)
		}
	}
	page, err := drivers.ListDrivers(b.client, drivers.ListDriversOpts{}).AllPages(t.Context())
	b.must(err)
	if list, err := drivers.ExtractDrivers(page); err != nil || len(list) == 0 {
		t.Errorf("no driver says that a conductor is up: %v, %v", list, err)
	}
}

func TestLifeOfANode(t *testing.T) {
	b := newBench(t, 6, ironic.Options{})
	m := b.room.Machine("machine-5")
	n := b.register(m)
	if n.ProvisionState != "enroll" || n.PowerState != "" || n.DriverInfo["redfish_password"] != "******" {
		t.Errorf("a new node is %q with power %q, and shows the password as %q", n.ProvisionState, n.PowerState, n.DriverInfo["redfish_password"])
	}
	_, err := ports.Create(t.Context(), b.client, ports.CreateOpts{NodeUUID: n.UUID, Address: m.MAC}).Extract()
	b.must(err)
	n = b.target(n.UUID, nodes.TargetManage, nodes.Manageable)
	if n.PowerState != "power off" || n.TargetProvisionState != "" {
		t.Errorf("a manageable node has power %q, target %q", n.PowerState, n.TargetProvisionState)
	}
	b.refused(nodes.GetInventory(t.Context(), b.client, n.UUID).Err, http.StatusNotFound)

	b.target(n.UUID, nodes.TargetInspect, nodes.Manageable)
	found, err := nodes.GetInventory(t.Context(), b.client, n.UUID).Extract()
	b.must(err)
	inv := found.Inventory
	if inv.CPU.Count != m.Hardware.CPU.Count || inv.CPU.Frequency != "2000" || inv.Memory.PhysicalMb != m.Hardware.MemoryMiB ||
		len(inv.Disks) != len(m.Hardware.Disks) || inv.Disks[0].Serial != m.Hardware.Disks[0].Serial ||
		len(inv.Interfaces) != len(m.Hardware.NICs) || inv.Interfaces[0].MACAddress != m.MAC || inv.SystemVendor.SerialNumber != m.Hardware.Serial {
		t.Errorf("inspection found %+v, the machine has %+v", inv, m.Hardware)
	}
	if data, err := found.PluginData.AsStandardData(); err != nil || !data.AllInterfaces["eth0"].PXEEnabled {
		t.Errorf("the plug-ins' data are %+v, %v", data, err)
	}
	page, err := ports.List(b.client, ports.ListOpts{NodeUUID: n.UUID, Fields: []string{"node_uuid", "address"}}).AllPages(t.Context())
	b.must(err)
	if list, err := ports.ExtractPorts(page); err != nil || len(list) != len(m.Hardware.NICs) {
		t.Errorf("ports after inspection: %+v, %v", list, err)
	}
	if bios, err := nodes.ListBIOSSettings(t.Context(), b.client, n.UUID, nodes.ListBIOSSettingsOpts{Detail: true}).Extract(); err != nil || len(bios) == 0 {
		t.Errorf("BIOS settings: %v, %v", bios, err)
	}
	if firmware, err := nodes.ListFirmware(t.Context(), b.client, n.UUID).Extract(); err != nil || len(firmware) != 2 {
		t.Errorf("firmware: %v, %v", firmware, err)
	}

	n = b.target(n.UUID, nodes.TargetProvide, nodes.Available)
	if n.PowerState != "power off" {
		t.Errorf("an available node has power %q", n.PowerState)
	}
	b.image(n.UUID, "http://172.30.0.2:6385/images/debian")
	b.patch(n.UUID, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_uuid", Value: "6bcb5f49-0000-4000-8000-000000000000"})
	verdict, err := nodes.Validate(t.Context(), b.client, n.UUID).Extract()
	b.must(err)
	if !verdict.Boot.Result || !verdict.Deploy.Result {
		t.Errorf("validation says %+v", verdict)
	}
	b.ask(n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetActive, ConfigDrive: nodes.ConfigDrive{
		UserData: "#cloud-config\n", MetaData: map[string]any{"metal3-name": m.Name}, NetworkData: map[string]any{"links": []any{}},
	}})
	n = b.reaches(n.UUID, nodes.Active)
	if n.PowerState != "power on" || n.LastError != "" || n.InstanceInfo["configdrive"] != "******" {
		t.Errorf("an active node has power %q, error %q, drive %v", n.PowerState, n.LastError, n.InstanceInfo["configdrive"])
	}
	for file, want := range map[string]string{
		"openstack/latest/user_data": "#cloud-config\n", "image": "debian", "openstack/latest/network_data.json": `{"links":[]}`,
	} {
		if got, err := os.ReadFile(b.onDisk(m, file)); err != nil || string(got) != want {
			t.Errorf("%s on the disk is %q, %v; want %q", file, got, err, want)
		}
	}
	meta, err := os.ReadFile(b.onDisk(m, "openstack/latest/meta_data.json"))
	if err != nil || !strings.Contains(string(meta), m.Name) || !strings.Contains(string(meta), n.UUID) {
		t.Errorf("the meta data do not name machine and node: %s, %v", meta, err)
	}
	b.must(os.WriteFile(b.onDisk(m, "marker"), nil, 0o600))

	n = b.target(n.UUID, nodes.TargetDeleted, nodes.Available)
	if n.PowerState != "power off" || n.InstanceUUID != "" || len(n.InstanceInfo) != 0 {
		t.Errorf("a released node has power %q, instance %q, %v", n.PowerState, n.InstanceUUID, n.InstanceInfo)
	}
	if _, err := os.Stat(b.onDisk(m, "")); !os.IsNotExist(err) {
		t.Errorf("the disk was not erased: %v", err)
	}

	b.image(n.UUID, "http://172.30.0.2:6385/images/debian")
	b.target(n.UUID, nodes.TargetActive, nodes.Active)
	if _, err := os.Stat(b.onDisk(m, "openstack/latest/user_data")); !os.IsNotExist(err) {
		t.Errorf("the next tenant finds the former one's user data: %v", err)
	}
	b.refused(nodes.Delete(t.Context(), b.client, n.UUID).Err, http.StatusConflict)
	b.must(nodes.SetMaintenance(t.Context(), b.client, n.UUID, nodes.MaintenanceOpts{Reason: "test"}).Err)
	b.must(nodes.Delete(t.Context(), b.client, n.UUID).Err)
	b.refused(nodes.Get(t.Context(), b.client, n.UUID).Err, http.StatusNotFound)
	if on, err := m.On(); !on || err != nil {
		t.Errorf("deleting a node changed its machine's power: %v, %v", on, err)
	}
	// The ports went with it.
	again := b.register(m)
	_, err = ports.Create(t.Context(), b.client, ports.CreateOpts{NodeUUID: again.UUID, Address: m.MAC}).Extract()
	b.must(err)
}

func TestCleaningThatIsSwitchedOffLeavesTheDisk(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.active(m)
	b.must(os.WriteFile(b.onDisk(m, "marker"), nil, 0o600))
	b.patch(uuid, nodes.UpdateOperation{Op: nodes.AddOp, Path: "/automated_clean", Value: false})
	b.target(uuid, nodes.TargetDeleted, nodes.Available)
	if _, err := os.Stat(b.onDisk(m, "marker")); err != nil {
		t.Errorf("the disk was erased: %v", err)
	}
}

func TestManualCleaning(t *testing.T) {
	b := newBench(t, 1, ironic.Options{})
	m := b.room.Machines()[0]
	uuid := b.available(m)
	b.target(uuid, nodes.TargetManage, nodes.Manageable)
	b.ask(uuid, nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{
		{Interface: nodes.InterfaceBIOS, Step: "apply_configuration"}, {Interface: nodes.InterfaceDeploy, Step: "erase_devices"},
	}})
	if n := b.reaches(uuid, nodes.Manageable); n.LastError != "" {
		t.Errorf("manual cleaning ended with %q", n.LastError)
	}
	b.ask(uuid, nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{{Interface: nodes.InterfaceDeploy, Step: "polish"}}})
	if n := b.reaches(uuid, nodes.CleanFail); !strings.Contains(n.LastError, "deploy.polish") || n.Fault != "clean failure" || !n.Maintenance {
		t.Errorf("an unknown step: error %q, fault %q, maintenance %t", n.LastError, n.Fault, n.Maintenance)
	}
}

func TestMachinesCannotReachIronic(t *testing.T) {
	b := newBench(t, 2, ironic.Options{})
	for from, code := range map[string]int{"172.30.0.100:1": 403, "172.30.0.101:1": 403, "172.30.0.102:1": 200, "10.129.0.9:1": 200} {
		req := httptest.NewRequest(http.MethodGet, "/v1/nodes", nil)
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
		req.RemoteAddr = from
		answer := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(answer, req)
		if answer.Code != code {
			t.Errorf("a request from %s was answered with %d, want %d", from, answer.Code, code)
		}
	}
}
