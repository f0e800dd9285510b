package hibernation

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// named is how many objects a sentence names.
const named = 5

// Workers are the machines of one Cluster: all Machines, HostMachines and MachineClaims of its
// namespace with its name in the label cluster.x-k8s.io/cluster-name.
type Workers struct {
	Machines     []clusterv1.Machine
	HostMachines []teapotv1.HostMachine
	Claims       []teapotv1.MachineClaim
}

// Handover is how far machines are from what is to become of them.
type Handover struct {
	// Waiting is a sentence that names what is waited for; empty: nothing is, and the control plane is
	// not needed for its machines any longer.
	Waiting string
	// Left is a sentence that names what stays as it is, since it is not Teapot's to give back or to
	// switch off; empty: nothing does. It is not waited for.
	Left string
}

// HandedOver says whether machines of a control plane that goes to sleep are handed over. With Release
// they are once each Machine and each MachineClaim is being deleted or gone: the claim gives the host
// back by itself, and nobody waits for its disks. The Machines may be gone by then: a Node is of a
// machine that was given back if no Machine that stays has its provider id. With PowerOff they are
// when their hosts are off, and with Keep at once.
//
// It waits for ever for a host that does not do what it should, so the caller has a deadline.
func HandedOver(mode teapotv1.HibernatedWorkers, workers Workers) Handover {
	switch mode {
	case teapotv1.HibernatedWorkersRelease:
		return workers.released()
	case teapotv1.HibernatedWorkersPowerOff:
		return workers.off()
	default:
		return Handover{}
	}
}

func (w Workers) released() Handover {
	var waiting, left []string
	staying := map[string]bool{}
	for i := range w.Machines {
		switch machine := &w.Machines[i]; {
		case !machine.DeletionTimestamp.IsZero():
		case OfPool(machine):
			waiting = append(waiting, fmt.Sprintf("Machine %s is to be deleted", machine.Name))
		default:
			staying[machine.Name] = true
			left = append(left, "Machine "+machine.Name)
		}
	}
	for i := range w.Claims {
		claim := &w.Claims[i]
		hostMachine := w.ownerOf(claim)
		switch {
		case !claim.DeletionTimestamp.IsZero():
		case hostMachine == nil:
			left = append(left, "MachineClaim "+claim.Name)
		case !staying[clusterapi.OwnerName(hostMachine, "Machine")]:
			waiting = append(waiting, fmt.Sprintf("MachineClaim %s is to be deleted", claim.Name))
		}
	}
	return Handover{
		Waiting: sentence("waiting until machines are given back", waiting),
		Left:    sentence("not given back, since no WorkerPool made them", left),
	}
}

func (w Workers) off() Handover {
	var waiting, left []string
	for i := range w.Machines {
		if machine := &w.Machines[i]; machine.DeletionTimestamp.IsZero() && machine.Spec.InfrastructureRef.Kind != "HostMachine" {
			left = append(left, "Machine "+machine.Name)
		}
	}
	for i := range w.Claims {
		claim := &w.Claims[i]
		switch {
		case !claim.DeletionTimestamp.IsZero():
		case w.ownerOf(claim) == nil:
			left = append(left, "MachineClaim "+claim.Name)
		case ptr.Deref(claim.Spec.PoweredOn, true):
			waiting = append(waiting, fmt.Sprintf("MachineClaim %s is to be switched off", claim.Name))
		case claim.Status.Host != nil && !claim.Status.PoweredOn:
		default:
			if ready := meta.FindStatusCondition(claim.Status.Conditions, teapotv1.ReadyCondition); ready == nil || ready.ObservedGeneration < claim.Generation {
				waiting = append(waiting, fmt.Sprintf("MachineClaim %s has not been looked at yet", claim.Name))
			} else if ready.Status == metav1.ConditionTrue {
				left = append(left, fmt.Sprintf("MachineClaim %s (%s)", claim.Name, ready.Message))
			} else {
				waiting = append(waiting, fmt.Sprintf("MachineClaim %s: %s", claim.Name, ready.Message))
			}
		}
	}
	return Handover{
		Waiting: sentence("waiting until machines are switched off", waiting),
		Left:    sentence("not switched off, since that is not Teapot's to do", left),
	}
}

// ownerOf is the HostMachine that made a claim; nil: somebody else did.
func (w Workers) ownerOf(claim *teapotv1.MachineClaim) *teapotv1.HostMachine {
	at := slices.IndexFunc(w.HostMachines, func(hm teapotv1.HostMachine) bool { return metav1.IsControlledBy(claim, &hm) })
	if at < 0 {
		return nil
	}
	return &w.HostMachines[at]
}

// OfPool says whether a Machine was made by the MachineDeployment of a WorkerPool.
func OfPool(machine *clusterv1.Machine) bool {
	pool := machine.Labels[teapotv1.PoolLabel]
	return pool != "" && machine.Labels[clusterv1.MachineDeploymentNameLabel] == pool
}

// sentence names the first few, by name; empty: there are none.
func sentence(what string, objects []string) string {
	if len(objects) == 0 {
		return ""
	}
	slices.Sort(objects)
	more := ""
	if n := len(objects) - named; n > 0 {
		objects, more = objects[:named], fmt.Sprintf("; and %d more", n)
	}
	return what + ": " + strings.Join(objects, "; ") + more
}
