package ironic

import (
	"encoding/json"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// Provision states, as Ironic names them (ironic/common/states.py).
const (
	enroll        = "enroll"
	verifying     = "verifying"
	manageable    = "manageable"
	available     = "available"
	deploying     = "deploying"
	deployWait    = "wait call-back"
	deployFailed  = "deploy failed"
	active        = "active"
	deleting      = "deleting"
	failure       = "error"
	cleaning      = "cleaning"
	cleanWait     = "clean wait"
	cleanFailed   = "clean failed"
	inspecting    = "inspecting"
	inspectWait   = "inspect wait"
	inspectFailed = "inspect failed"
	adopting      = "adopting"
	adoptFailed   = "adopt failed"
)

// Power states, as Ironic names them.
const (
	powerOn       = "power on"
	powerOff      = "power off"
	softPowerOff  = "soft power off"
	rebooting     = "rebooting"
	softRebooting = "soft rebooting"
)

// Faults of nodes, as Ironic names them (ironic/common/faults.py).
const (
	powerFailure = "power failure"
	cleanFailure = "clean failure"
)

// text is a string that is null when it is empty, as Ironic's are.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// object is free-form JSON.
type object map[string]any

// link is a relative link of Ironic's.
type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// Settings are the attributes of a node that a client may write.
type Settings struct {
	Name           text   `json:"name"`
	Driver         string `json:"driver"`
	DriverInfo     object `json:"driver_info"`
	Properties     object `json:"properties"`
	InstanceInfo   object `json:"instance_info"`
	InstanceUUID   text   `json:"instance_uuid"`
	Extra          object `json:"extra"`
	AutomatedClean *bool  `json:"automated_clean"`
	NetworkData    object `json:"network_data"`
	ResourceClass  text   `json:"resource_class"`
	ConductorGroup string `json:"conductor_group"`
	Owner          text   `json:"owner"`
	Description    text   `json:"description"`

	BIOSInterface       string `json:"bios_interface"`
	BootInterface       string `json:"boot_interface"`
	ConsoleInterface    string `json:"console_interface"`
	DeployInterface     string `json:"deploy_interface"`
	FirmwareInterface   string `json:"firmware_interface"`
	InspectInterface    string `json:"inspect_interface"`
	ManagementInterface string `json:"management_interface"`
	NetworkInterface    string `json:"network_interface"`
	PowerInterface      string `json:"power_interface"`
	RAIDInterface       string `json:"raid_interface"`
	RescueInterface     string `json:"rescue_interface"`
	StorageInterface    string `json:"storage_interface"`
	VendorInterface     string `json:"vendor_interface"`
}

// Node is a node as the API shows it.
type Node struct {
	UUID string `json:"uuid"`
	Settings

	PowerState           text   `json:"power_state"`
	TargetPowerState     text   `json:"target_power_state"`
	ProvisionState       string `json:"provision_state"`
	TargetProvisionState text   `json:"target_provision_state"`
	Maintenance          bool   `json:"maintenance"`
	MaintenanceReason    text   `json:"maintenance_reason"`
	Fault                text   `json:"fault"`
	LastError            text   `json:"last_error"`
	Reservation          text   `json:"reservation"`
	CleanStep            object `json:"clean_step"`
	DeployStep           object `json:"deploy_step"`
	RAIDConfig           object `json:"raid_config"`
	TargetRAIDConfig     object `json:"target_raid_config"`
	DriverInternalInfo   object `json:"driver_internal_info"`

	CreatedAt            time.Time  `json:"created_at"`
	UpdatedAt            *time.Time `json:"updated_at"`
	ProvisionUpdatedAt   *time.Time `json:"provision_updated_at"`
	InspectionStartedAt  *time.Time `json:"inspection_started_at"`
	InspectionFinishedAt *time.Time `json:"inspection_finished_at"`

	Links []link `json:"links"`
	Ports []link `json:"ports"`
}

// record is a node's file: the node and what the API does not show of it.
type record struct {
	Node Node `json:"node"`
	// Machine is the name of the machine that the node turned out to be.
	Machine string `json:"machine,omitempty"`
	// Inventory is what inspection found.
	Inventory *room.Hardware `json:"inventory,omitempty"`
	// NodePorts are its network interfaces.
	NodePorts []port `json:"ports,omitempty"`
	// Drive is the config drive of its deployment.
	Drive *configDrive `json:"configDrive,omitempty"`
	// CleanSteps are the steps of manual cleaning; none are those of automated cleaning.
	CleanSteps []step `json:"cleanSteps,omitempty"`
}

// entry is a node in memory. All of it is guarded by Server.mu.
type entry struct {
	record
	// job is what is done with the node in the background; nil if nothing is.
	job *job
	// powerFailures counts attempts in a row to read the power state that failed.
	powerFailures int
}

// defaults fills what the client left out, as the redfish and ipmi hardware types do.
func (s *Settings) defaults() {
	for field, value := range map[*string]string{
		&s.BIOSInterface: "no-bios", &s.BootInterface: "ipxe", &s.ConsoleInterface: "no-console",
		&s.DeployInterface: "direct", &s.FirmwareInterface: "no-firmware", &s.InspectInterface: "agent",
		&s.ManagementInterface: managementOf(s.Driver), &s.NetworkInterface: "noop", &s.PowerInterface: managementOf(s.Driver),
		&s.RAIDInterface: "no-raid", &s.RescueInterface: "no-rescue", &s.StorageInterface: "noop", &s.VendorInterface: "no-vendor",
	} {
		if *field == "" {
			*field = value
		}
	}
	for _, o := range []*object{&s.DriverInfo, &s.Properties, &s.InstanceInfo, &s.Extra, &s.NetworkData} {
		if *o == nil {
			*o = object{}
		}
	}
}

// managementOf is the default power and management interface of a hardware type.
func managementOf(driver string) string {
	if driver == "ipmi" {
		return "ipmitool"
	}
	return driver
}
