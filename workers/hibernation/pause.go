package hibernation

import (
	"fmt"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Pause is what a decision to pause a Cluster stands on: the Cluster, and what has its name in the
// label cluster.x-k8s.io/cluster-name. Pools are those of the control plane.
type Pause struct {
	Cluster            *clusterv1.Cluster
	Pools              []teapotv1.WorkerPool
	MachineDeployments []clusterv1.MachineDeployment
	Machines           []clusterv1.Machine
}

// MayPause says why Cluster API must not be told yet to leave the Cluster of a control plane that
// sleeps alone, or not any longer; empty: it may be. Its controllers do nothing for what is paused,
// not even remove their finalizers from what is being deleted (EnsurePausedCondition in
// util/paused/paused.go comes before reconcileDelete in each of core/reconcilers, v1.14.2): a pool
// that is deleted while its control plane sleeps needs them.
//
// Unpaused they do no harm while nobody answers: a MachineHealthCheck replaces no machine without a
// connection to the tenant's API server (reconcile in
// core/reconcilers/machinehealthcheck/machinehealthcheck_controller.go), and a Machine made anew gets
// no bootstrap data. But when the control plane comes back, it must have been paused before: Nodes of
// machines that are off are not ready since long ago.
func (p Pause) MayPause(mode teapotv1.HibernatedWorkers) (why string) {
	if !p.Cluster.DeletionTimestamp.IsZero() {
		return fmt.Sprintf("Cluster %s is being deleted", p.Cluster.Name)
	}
	var going []string
	for i := range p.Pools {
		if pool := &p.Pools[i]; !pool.DeletionTimestamp.IsZero() {
			going = append(going, fmt.Sprintf("WorkerPool %s is being deleted", pool.Name))
		}
	}
	release := mode == teapotv1.HibernatedWorkersRelease
	held := map[string]bool{} // somebody paused the pool: its machines are not given back
	for i := range p.MachineDeployments {
		switch md := &p.MachineDeployments[i]; {
		case !md.DeletionTimestamp.IsZero():
			going = append(going, fmt.Sprintf("MachineDeployment %s is being deleted", md.Name))
		case annotations.HasPaused(md):
			held[md.Name] = true
		case release && md.Labels[teapotv1.PoolLabel] == md.Name && !isScaledToZero(md):
			going = append(going, fmt.Sprintf("MachineDeployment %s is being scaled to 0", md.Name))
		}
	}
	for i := range p.Machines {
		switch machine := &p.Machines[i]; {
		case !machine.DeletionTimestamp.IsZero():
			going = append(going, fmt.Sprintf("Machine %s is being deleted", machine.Name))
		case release && OfPool(machine) && !held[machine.Labels[clusterv1.MachineDeploymentNameLabel]]:
			going = append(going, fmt.Sprintf("Machine %s is to be deleted", machine.Name))
		}
	}
	return sentence("Cluster API has work to do", going)
}

// isScaledToZero says that Cluster API has seen that no machine is wanted, and there is none.
func isScaledToZero(md *clusterv1.MachineDeployment) bool {
	return ptr.Deref(md.Spec.Replicas, 1) == 0 && ptr.Deref(md.Status.Replicas, 0) == 0 &&
		md.Status.ObservedGeneration >= md.Generation
}
