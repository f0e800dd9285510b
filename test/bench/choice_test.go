package main

import (
	"testing"

	"github.com/teapot-cloud/teapot/workers/host"
)

// The hosts to choose among are such that the choice has work to do: they differ, a third is
// taken, and the others could be had by somebody.
func TestRegistered(t *testing.T) {
	taken, sizes := 0, map[int64]bool{}
	for i := range 48 {
		h := host.Of(registered(i))
		switch refusal := h.Claimable(host.Tenant{Namespace: tenantsNamespace}); refusal {
		case host.Taken:
			taken++
		case host.Claimable:
		default:
			t.Errorf("host %s is %s", h.Key, refusal)
		}
		if !h.Inspected() || h.CPUs() == 0 || h.Disks(1, "") == 0 || h.NICs(10) == 0 || h.FailureDomain == "" {
			t.Errorf("host %s is not as inspection leaves it: %+v", h.Key, h)
		}
		sizes[h.Memory()] = true
	}
	if taken != 16 {
		t.Errorf("%d of 48 hosts are taken, want 16", taken)
	}
	if len(sizes) < 4 {
		t.Errorf("hosts have memories of %v sizes alone", len(sizes))
	}
}
