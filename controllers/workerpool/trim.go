package workerpool

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/workers/pool"
)

// Trim keeps of the kinds that a pool is made of what is read of them. Of others' objects only the
// metadata is kept, which says whose they are.
//
// References to Cluster API's owners go: it adds the Cluster to what a pool applied, beside the
// pool's own, and apply would take the longer list for a change.
func Trim(in any) (any, error) {
	switch object := in.(type) {
	case *clusterv1.Machine:
		return trimMachine(object), nil
	case *clusterv1.MachineDeployment:
		object.OwnerReferences = withoutClusters(object.OwnerReferences)
		object.Status.Deprecated = nil
		if !ours(object) {
			object.Spec, object.Status = clusterv1.MachineDeploymentSpec{}, clusterv1.MachineDeploymentStatus{}
		}
	case *clusterv1.MachineHealthCheck:
		object.OwnerReferences = withoutClusters(object.OwnerReferences)
		object.Status = clusterv1.MachineHealthCheckStatus{}
		if !ours(object) {
			object.Spec = clusterv1.MachineHealthCheckSpec{}
		}
	case *bootstrapv1.KubeadmConfigTemplate:
		object.OwnerReferences = withoutClusters(object.OwnerReferences)
		if !ours(object) {
			object.Spec = bootstrapv1.KubeadmConfigTemplateSpec{}
		}
	case *teapotv1.HostMachineTemplate:
		object.OwnerReferences = withoutClusters(object.OwnerReferences)
	}
	return apply.Transform(in)
}

// ours says whether an object belongs to some pool.
func ours(object metav1.Object) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && owner.Kind == "WorkerPool" && isOf(owner.APIVersion, teapotv1.GroupVersion.Group)
}

func withoutClusters(references []metav1.OwnerReference) []metav1.OwnerReference {
	return slices.DeleteFunc(references, func(reference metav1.OwnerReference) bool {
		return isOf(reference.APIVersion, clusterv1.GroupVersion.Group)
	})
}

func isOf(apiVersion, group string) bool {
	parsed, err := schema.ParseGroupVersion(apiVersion)
	return err == nil && parsed.Group == group
}

// trimMachine keeps of a Machine what is read of it, here and by the controller of HostMachines.
func trimMachine(machine *clusterv1.Machine) *clusterv1.Machine {
	machine.ManagedFields = nil
	machine.Status = clusterv1.MachineStatus{
		NodeRef: machine.Status.NodeRef,
		Conditions: slices.DeleteFunc(machine.Status.Conditions, func(condition metav1.Condition) bool {
			return !pool.IsRead(condition.Type)
		}),
	}
	return machine
}
