package pool

import (
	"fmt"
	"strconv"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// NodeDeletionAsleep is how long, in seconds, Cluster API tries to delete the Node of a machine that is
// given back while its control plane goes to sleep: the least that is not "for ever". It tries once in
// any case, for 10 s (reconcileDelete in core/reconcilers/machine/machine_controller.go, v1.14.2), and a
// Machine would otherwise be there for spec.deletion.nodeDeletionTimeoutSeconds after the tenant's API
// has gone. Cluster API brings the field to Machines that are being deleted already (syncMachines in
// core/reconcilers/machineset/machineset_controller.go), and replaces none for its sake.
const NodeDeletionAsleep = 1

// AwakeReplicas is how many machines a pool had before its control plane went to sleep; nil: it is not
// known, or the pool has its machines.
func AwakeReplicas(p *teapotv1.WorkerPool) *int32 {
	noted, err := strconv.ParseInt(p.Annotations[teapotv1.AwakeReplicasAnnotation], 10, 32)
	if err != nil || noted < 0 {
		return nil
	}
	return ptr.To(int32(noted))
}

// Released says whether a pool is to have no machines, since its control plane sleeps in the mode given
// (workers/clusterapi; empty: it is awake). What was released stays so until it wakes, though the mode
// is changed meanwhile.
func Released(p *teapotv1.WorkerPool, mode teapotv1.HibernatedWorkers) bool {
	switch mode {
	case teapotv1.HibernatedWorkersRelease:
		return true
	case "", clusterapi.Waking:
		return false
	default:
		return AwakeReplicas(p) != nil
	}
}

// replicas is the number of machines that the MachineDeployment is given; nil: it is the autoscaler's.
// When an autoscaled pool comes back it is given as many as it had before, and is then left to the
// autoscaler again: the note is gone once the MachineDeployment has the number.
func (in Input) replicas() *int32 {
	switch spec := in.Pool.Spec; {
	case Released(in.Pool, in.Hibernation):
		return ptr.To[int32](0)
	case spec.Autoscaling == nil:
		return spec.Replicas
	default:
		return withinBounds(AwakeReplicas(in.Pool), spec.Autoscaling)
	}
}

func withinBounds(n *int32, bounds *teapotv1.PoolAutoscaling) *int32 {
	if n == nil {
		return nil
	}
	return ptr.To(min(max(*n, bounds.MinReplicas), bounds.MaxReplicas))
}

// release changes the plan of a MachineDeployment that is to have no machines. Without bounds it is no
// group of the autoscaler's, which passes over what has no greatest size
// (newNodeGroupFromScalableResource in
// cluster-autoscaler/cloudprovider/clusterapi/clusterapi_nodegroup.go): else it would make machines in the
// moments in which the tenant's API is there and its pods have no place.
func release(md *clusterv1.MachineDeployment) {
	delete(md.Annotations, clusterv1.AutoscalerMinSizeAnnotation)
	delete(md.Annotations, clusterv1.AutoscalerMaxSizeAnnotation)
	md.Spec.Template.Spec.Deletion.NodeDeletionTimeoutSeconds = ptr.To[int32](NodeDeletionAsleep)
}

// asleep says why a pool whose control plane sleeps is not Ready.
func (o Observed) asleep() (reason, message string) {
	name, exist := o.Pool.Spec.ControlPlaneName, len(o.Machines)
	desired := replicas(o.Pool.Status.DesiredReplicas)
	switch {
	case o.Hibernation == clusterapi.Waking:
		return teapotv1.ReasonWaking, fmt.Sprintf("TenantControlPlane %s is back, and the machines boot: waiting until Nodes of %s are ready", name, count(desired, "machine"))
	case o.Hibernation == teapotv1.HibernatedWorkersPowerOff && !Released(o.Pool, o.Hibernation):
		return teapotv1.ReasonAsleep, fmt.Sprintf("TenantControlPlane %s sleeps: %s switched off until it wakes", name, are(exist))
	case o.Hibernation == teapotv1.HibernatedWorkersKeep && !Released(o.Pool, o.Hibernation):
		return teapotv1.ReasonAsleep, fmt.Sprintf("TenantControlPlane %s sleeps: %s kept running until it wakes", name, are(exist))
	case exist > 0:
		return teapotv1.ReasonHibernating, fmt.Sprintf("TenantControlPlane %s sleeps: %s being given back%s", name, are(exist), list(which(o.Machines, machine.deleting)))
	default:
		return teapotv1.ReasonAsleep, fmt.Sprintf("TenantControlPlane %s sleeps: the pool has no machines, and %d when it wakes", name, desired)
	}
}
