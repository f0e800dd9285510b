package room

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Hardware is what inspection finds in a machine. None of it is real: a machine runs with the
// processors and the memory of this computer.
type Hardware struct {
	// Class names the kind of machine, for people.
	Class        string `json:"class"`
	Manufacturer string `json:"manufacturer"`
	Product      string `json:"product"`
	Serial       string `json:"serial"`
	BIOSVersion  string `json:"biosVersion"`
	BMCVersion   string `json:"bmcVersion"`
	CPU          CPU    `json:"cpu"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB int    `json:"memoryMiB"`
	Disks     []Disk `json:"disks"`
	NICs      []NIC  `json:"nics"`
	GPUs      []GPU  `json:"gpus,omitempty"`
}

// CPU is the processors of a machine.
type CPU struct {
	// Arch is x86_64 or aarch64.
	Arch  string `json:"arch"`
	Model string `json:"model"`
	// Count is the number of threads.
	Count int `json:"count"`
	// MHz is the clock rate.
	MHz int `json:"mhz"`
}

// Disk is a disk.
type Disk struct {
	Name       string `json:"name"`
	Model      string `json:"model"`
	Serial     string `json:"serial"`
	Bytes      int64  `json:"bytes"`
	Rotational bool   `json:"rotational,omitempty"`
}

// NIC is a network interface. The machine boots from the first.
type NIC struct {
	Name  string `json:"name"`
	MAC   string `json:"mac"`
	Model string `json:"model"`
	// Mbps is the speed in Mbit/s.
	Mbps int `json:"mbps"`
}

// GPU is an accelerator.
type GPU struct {
	Model string `json:"model"`
	// VendorID and ProductID are those of PCI, in hexadecimal.
	VendorID  string `json:"vendorID"`
	ProductID string `json:"productID"`
}

// disks describes some disks of one model.
type disks struct {
	count      int
	model      string
	bytes      int64
	rotational bool
}

// class is a kind of machine.
type class struct {
	name, manufacturer, product string
	cpu                         CPU
	memoryGiB                   int
	disks                       []disks
	nics, gigabits              int
	nicModel                    string
	gpus                        int
	gpu                         GPU
}

const (
	gigabyte = 1_000_000_000
	intelNIC = "Intel Ethernet Controller"
	mlxNIC   = "Mellanox ConnectX"
)

// classes are the kinds of machines; machine i is of classes[i % 8]. The one that is not x86_64
// is last: what boots on this computer is not of its architecture.
var classes = []class{
	{
		name: "small", manufacturer: "Supermicro", product: "SYS-510T-MR",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) E-2388G CPU @ 3.20GHz", Count: 16, MHz: 3200}, memoryGiB: 32,
		disks: []disks{{count: 1, model: "SAMSUNG MZ7L3480", bytes: 480 * gigabyte}}, nics: 2, gigabits: 10, nicModel: intelNIC + " X710",
	},
	{
		name: "medium", manufacturer: "Dell Inc.", product: "PowerEdge R650",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz", Count: 56, MHz: 2000}, memoryGiB: 128,
		disks: []disks{{count: 2, model: "Dell Ent NVMe v2 AGN RI U.2 960GB", bytes: 960 * gigabyte}}, nics: 2, gigabits: 25, nicModel: mlxNIC + "-5",
	},
	{
		name: "small", manufacturer: "HPE", product: "ProLiant DL20 Gen11",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) E-2434 CPU @ 3.40GHz", Count: 8, MHz: 3400}, memoryGiB: 64,
		disks: []disks{{count: 2, model: "MK000480GZXQT", bytes: 480 * gigabyte}}, nics: 2, gigabits: 10, nicModel: intelNIC + " X710",
	},
	{
		name: "large", manufacturer: "Lenovo", product: "ThinkSystem SR645",
		cpu: CPU{Arch: "x86_64", Model: "AMD EPYC 7543 32-Core Processor", Count: 128, MHz: 2800}, memoryGiB: 512,
		disks: []disks{{count: 4, model: "INTEL SSDPE2KX020T8", bytes: 2000 * gigabyte}}, nics: 4, gigabits: 25, nicModel: mlxNIC + "-6",
	},
	{
		name: "storage", manufacturer: "Supermicro", product: "SSG-540P-E1CTR36L",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", Count: 64, MHz: 2400}, memoryGiB: 256,
		disks: []disks{
			{count: 2, model: "Micron 7450 MTFDKBA960TFR", bytes: 960 * gigabyte},
			{count: 12, model: "ST16000NM001G", bytes: 16_000 * gigabyte, rotational: true},
		}, nics: 2, gigabits: 25, nicModel: mlxNIC + "-6",
	},
	{
		name: "gpu", manufacturer: "Dell Inc.", product: "PowerEdge XE9680",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) Platinum 8480+", Count: 224, MHz: 2000}, memoryGiB: 2048,
		disks: []disks{{count: 8, model: "Dell Ent NVMe CM6 RI 3.84TB", bytes: 3840 * gigabyte}}, nics: 4, gigabits: 200, nicModel: mlxNIC + "-7",
		gpus: 8, gpu: GPU{Model: "H100", VendorID: "10de", ProductID: "2330"},
	},
	{
		name: "gpu", manufacturer: "Supermicro", product: "SYS-221GE-NR",
		cpu: CPU{Arch: "x86_64", Model: "Intel(R) Xeon(R) Gold 6438Y+", Count: 64, MHz: 2000}, memoryGiB: 256,
		disks: []disks{{count: 2, model: "SAMSUNG MZQL21T9HCJR", bytes: 1920 * gigabyte}}, nics: 2, gigabits: 100, nicModel: mlxNIC + "-6",
		gpus: 2, gpu: GPU{Model: "L4", VendorID: "10de", ProductID: "27b8"},
	},
	{
		name: "arm", manufacturer: "HPE", product: "ProLiant RL300 Gen11",
		cpu: CPU{Arch: "aarch64", Model: "Ampere(R) Altra(R) Max Processor", Count: 128, MHz: 3000}, memoryGiB: 256,
		disks: []disks{{count: 2, model: "SAMSUNG MZQL21T9HCJR", bytes: 1920 * gigabyte}}, nics: 2, gigabits: 25, nicModel: mlxNIC + "-6",
	},
}

// HardwareOf returns the hardware of the machine with that number. It is the same each time.
// Machines of one class differ by their serial numbers and addresses.
func HardwareOf(index int) Hardware {
	c := classes[index%len(classes)]
	h := Hardware{
		Class: c.name, Manufacturer: c.manufacturer, Product: c.product,
		Serial:      fmt.Sprintf("TP%06d", index),
		BIOSVersion: fmt.Sprintf("2.%d.0", 1+index%5), BMCVersion: fmt.Sprintf("6.10.%d", index%3),
		CPU: c.cpu, MemoryMiB: c.memoryGiB * 1024,
	}
	for kind, d := range c.disks {
		for range d.count {
			n := len(h.Disks)
			disk := Disk{
				Name: fmt.Sprintf("/dev/sd%c", 'a'+n), Model: d.model, Bytes: d.bytes, Rotational: d.rotational,
				Serial: fmt.Sprintf("S%d%02dX%06d", kind, n, index),
			}
			if !d.rotational && c.name != "small" {
				disk.Name = fmt.Sprintf("/dev/nvme%dn1", n)
			}
			h.Disks = append(h.Disks, disk)
		}
	}
	for n := range c.nics {
		h.NICs = append(h.NICs, NIC{Name: fmt.Sprintf("eth%d", n), MAC: mac(n, index), Model: c.nicModel, Mbps: c.gigabits * 1000})
	}
	for range c.gpus {
		h.GPUs = append(h.GPUs, c.gpu)
	}
	return h
}

// mac returns the address of a machine's network interface. 52:54:00 is what QEMU gives to
// virtual machines; no vendor has it.
func mac(nic, index int) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", nic, index/256, index%256)
}

// Identity is what of a machine never changes.
type Identity struct {
	// Name is machine-<index>.
	Name  string
	Index int
	// MAC is the address of the interface that it boots from.
	MAC string
	// Address is what its first interface gets by what stands for DHCP. Beyond machine 154 there
	// is none left, and it is not valid.
	Address netip.Prefix
	// BMCAddress is where its management controller would listen. The network is one for
	// benchmarks (RFC 2544): nothing answers there, and Ironic's part of the room does not dial.
	BMCAddress netip.Addr
}

const (
	// MaxMachines is how many machines there can be, and as many folders: half of the numbers that
	// have a MAC and a BMC address each.
	MaxMachines = 1 << 15
	// FirstFolder is the number of the first folder (Settings.Folders).
	FirstFolder = MaxMachines
	// namePrefix is before a machine's number in its name.
	namePrefix = "machine-"
	// firstHost is the last octet of machine 0's address.
	firstHost = 100
)

// IdentityOf returns the identity of the machine with that number. It is the same each time.
func IdentityOf(index int) Identity {
	id := Identity{
		Name: namePrefix + strconv.Itoa(index), Index: index, MAC: mac(0, index),
		BMCAddress: netip.AddrFrom4([4]byte{198, 18, byte(index / 256), byte(index % 256)}),
	}
	if host := firstHost + index; host < 255 {
		id.Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 30, 0, byte(host)}), 24)
	}
	return id
}

// IndexOf returns the number of a machine; -1 if the name is not that of one.
func IndexOf(name string) int {
	number, ok := strings.CutPrefix(name, namePrefix)
	index, err := strconv.Atoi(number)
	if !ok || err != nil {
		return -1
	}
	return index
}

// SystemPath is the path of the machine in its management controller's Redfish API.
func (id Identity) SystemPath() string { return "/redfish/v1/Systems/" + id.Name }
