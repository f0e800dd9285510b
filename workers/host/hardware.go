package host

import (
	"strconv"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/resource"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Inspected says that the host's hardware is known.
func (h *Host) Inspected() bool { return h.details != nil }

// CPUs is the number of processors (threads).
func (h *Host) CPUs() int {
	if h.details == nil {
		return 0
	}
	return h.details.CPU.Count
}

// Architecture is x86_64 or aarch64.
func (h *Host) Architecture() string {
	if h.details == nil {
		return ""
	}
	return h.details.CPU.Arch
}

// Memory is the amount of memory in bytes.
func (h *Host) Memory() int64 {
	if h.details == nil {
		return 0
	}
	return int64(h.details.RAMMebibytes) << 20
}

// Disks is the number of disks of at least so many bytes, of a type ("HDD", "SSD", "NVME") or of
// any ("").
func (h *Host) Disks(bytes int64, kind string) int {
	count := 0
	for disk := range h.eachDisk() {
		if int64(disk.SizeBytes) >= bytes && (kind == "" || diskType(disk) == kind) {
			count++
		}
	}
	return count
}

// Storage is what all disks that spin hold, and all that do not, in bytes.
func (h *Host) Storage() (spinning, solid int64) {
	for disk := range h.eachDisk() {
		if diskType(disk) == string(metal3v1.HDD) {
			spinning += int64(disk.SizeBytes)
		} else {
			solid += int64(disk.SizeBytes)
		}
	}
	return spinning, solid
}

func (h *Host) eachDisk() func(func(*metal3v1.Storage) bool) {
	return func(yield func(*metal3v1.Storage) bool) {
		if h.details == nil {
			return
		}
		for i := range h.details.Storage {
			if !yield(&h.details.Storage[i]) {
				return
			}
		}
	}
}

// diskType is the disk's type, or what the older field says of one without.
func diskType(disk *metal3v1.Storage) string {
	switch {
	case disk.Type != "":
		return string(disk.Type)
	case disk.Rotational:
		return string(metal3v1.HDD)
	default:
		return string(metal3v1.SSD)
	}
}

// NICs is the number of network interfaces of at least so many Gbit/s. One with addresses of both
// families is listed twice and counts once.
func (h *Host) NICs(gbps int) int {
	count := 0
	if h.details == nil {
		return 0
	}
	nics := h.details.NIC
	for i := range nics {
		if nics[i].SpeedGbps >= gbps && !listedBefore(nics, i) {
			count++
		}
	}
	return count
}

func listedBefore(nics []metal3v1.NIC, i int) bool {
	for j := range i {
		if nics[j].MAC != "" && nics[j].MAC == nics[i].MAC && nics[j].Name == nics[i].Name {
			return true
		}
	}
	return false
}

// Bandwidth is the speed of all network interfaces together in Gbit/s.
func (h *Host) Bandwidth() int {
	sum := 0
	if h.details == nil {
		return 0
	}
	nics := h.details.NIC
	for i := range nics {
		if !listedBefore(nics, i) {
			sum += nics[i].SpeedGbps
		}
	}
	return sum
}

// GPUs is the number of accelerators, which a label says. One that is not a number is none.
func (h *Host) GPUs() int {
	count, err := strconv.Atoi(h.Labels[teapotv1.GPUCountLabel])
	if err != nil || count < 0 {
		return 0
	}
	return count
}

// GPUModel is the model of the accelerators, which a label says.
func (h *Host) GPUModel() string { return h.Labels[teapotv1.GPUModelLabel] }

// Hardware sums up what the host has; nil: it was not inspected.
func (h *Host) Hardware() *teapotv1.HardwareSummary {
	if h.details == nil {
		return nil
	}
	return &teapotv1.HardwareSummary{
		CPUs:         int32(h.CPUs()),
		Architecture: h.Architecture(),
		Memory:       resource.NewQuantity(h.Memory(), resource.BinarySI),
		Disks:        int32(h.Disks(0, "")),
		NICs:         int32(h.NICs(0)),
		GPUs:         int32(h.GPUs()),
		GPUModel:     h.GPUModel(),
	}
}
