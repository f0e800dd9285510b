package claim

import (
	"math"

	"github.com/teapot-cloud/teapot/workers/host"
)

// Weights of a host's cost. The unit is what one CPU thread costs; the others follow what public
// clouds ask for the same hardware, roughly: what matters is that a host is not given away for
// something that a lesser one could do.
const (
	costPerCPU = 1.0
	// costPerGiB is per GiB of memory: general-purpose machines have four to a thread.
	costPerGiB = 0.25
	// costPerSpinningTB and costPerSolidTB are per 10^12 bytes of disk.
	costPerSpinningTB = 0.5
	costPerSolidTB    = 2.0
	// costPerGbps is per Gbit/s of all network interfaces together.
	costPerGbps = 0.05
	// costPerGPU is per accelerator: more than any machine without one has otherwise, so that
	// one with is the last to go to a claim that does not ask for it.
	costPerGPU = 10_000.0

	// costDigits is to how many significant digits a cost made from hardware is rounded: disks of
	// one class differ by a few megabytes, and hosts of one class are to be spread.
	costDigits = 2
)

// Cost is what a host is worth: the operator's own number (annotation teapot.dev/cost), or one made
// from its hardware. One that is not known costs nothing.
func Cost(h *host.Host) float64 {
	if cost, ok := h.Cost(); ok {
		return cost
	}
	const gib, tb = 1 << 30, 1e12
	spinning, solid := h.Storage()
	return round(costPerCPU*float64(h.CPUs()) +
		costPerGiB*float64(h.Memory())/gib +
		costPerSpinningTB*float64(spinning)/tb + costPerSolidTB*float64(solid)/tb +
		costPerGbps*float64(h.Bandwidth()) +
		costPerGPU*float64(h.GPUs()))
}

func round(cost float64) float64 {
	if cost <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(cost))-costDigits+1)
	return math.Round(cost/unit) * unit
}
