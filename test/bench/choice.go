package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

const (
	// choiceHosts is how many hosts a claim chooses among, and choices how often it does.
	choiceHosts = 10_000
	choices     = 51
)

// measureChoice takes select_10000_hosts_ms: what a claim's controller does to choose, from the
// hosts that its watch has seen to the one to take. Nothing outside of this process is asked.
func (b *bench) measureChoice(context.Context, options) ([]Result, error) {
	known, siblings := make([]host.Host, choiceHosts), claim.Siblings{}
	for i := range known {
		known[i] = host.Of(registered(i))
		if i%100 == 0 {
			siblings.Add(known[i].Key, false)
		}
	}
	wanted := &teapotv1.MachineClaim{}
	wanted.Namespace, wanted.Name = tenantsNamespace, "choice"
	wanted.Spec.HostSelector.MatchExpressions = []teapotv1.HostSelectorRequirement{
		{Key: control.RackLabel, Operator: "Exists"}, {Key: control.ClassLabel, Operator: "NotIn", Values: []string{"storage"}},
	}
	wanted.Spec.Hardware.CPU = teapotv1.CPURequirements{MinCount: 16, Architecture: "x86_64"}
	wanted.Spec.Hardware.Memory = ptr.To(resource.MustParse("64Gi"))
	wanted.Spec.Hardware.Disks.MinSize = ptr.To(resource.MustParse("400G"))
	wanted.Spec.Hardware.NICs.MinSpeedGbps = 10

	var took []float64
	for range choices {
		begun := time.Now()
		request, err := claim.NewRequest(wanted, "")
		if err != nil {
			return nil, err
		}
		choice := request.Choose(claim.Pool{Hosts: slices.Clone(known), Namespaces: sets.New(hostsNamespace), Siblings: siblings})
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
		if choice.Host == nil {
			return nil, errors.New("choosing among hosts: " + choice.String())
		}
	}
	progress("choice among %d hosts: %.2f ms", choiceHosts, median(took))
	return []Result{newResult(selectHosts, "ms", took, nil)}, nil
}

// registered is the host of the machine room's machine of that number, available and inspected;
// one of three is taken.
func registered(index int) *host.Object {
	hardware := room.HardwareOf(index)
	object, _ := control.Host(hostsNamespace, control.Machine{Name: room.IdentityOf(index).Name, Hardware: hardware})
	object.Status.Provisioning.State = metal3.StateAvailable
	object.Status.OperationalStatus = metal3.OperationalStatusOK
	details := &metal3.HardwareDetails{
		RAMMebibytes: hardware.MemoryMiB,
		CPU:          metal3.CPU{Arch: hardware.CPU.Arch, Count: hardware.CPU.Count},
	}
	for _, disk := range hardware.Disks {
		details.Storage = append(details.Storage, metal3.Storage{Name: disk.Name, SizeBytes: metal3.Capacity(disk.Bytes), Rotational: disk.Rotational})
	}
	for _, nic := range hardware.NICs {
		details.NIC = append(details.NIC, metal3.NIC{Name: nic.Name, MAC: nic.MAC, SpeedGbps: nic.Mbps / 1000})
	}
	object.Status.HardwareDetails = details
	if index%3 == 0 {
		object.Spec.ConsumerRef = &corev1.ObjectReference{
			APIVersion: teapotv1.GroupVersion.String(), Kind: host.HolderKind, Namespace: "other", Name: fmt.Sprintf("claim-%d", index),
		}
	}
	return object
}
