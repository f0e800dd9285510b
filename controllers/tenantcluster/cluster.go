package tenantcluster

import (
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// ClusterChanges lets through the changes of a Cluster that an infrastructure provider acts on.
func ClusterChanges() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, beforeOK := e.ObjectOld.(*clusterv1.Cluster)
		after, afterOK := e.ObjectNew.(*clusterv1.Cluster)
		return !beforeOK || !afterOK || whatCounts(before) != whatCounts(after)
	}}
}

// counting is what is read of a Cluster.
type counting struct {
	paused, provisioned bool
	hibernation         teapotv1.HibernatedWorkers
	endpoint            clusterv1.APIEndpoint
	infrastructure      clusterv1.ContractVersionedObjectReference
	controlPlane        clusterv1.ContractVersionedObjectReference
}

func whatCounts(cluster *clusterv1.Cluster) counting {
	mode, _ := clusterapi.Hibernating(cluster)
	return counting{
		paused:         clusterapi.ClusterPaused(cluster),
		hibernation:    mode,
		provisioned:    ptr.Deref(cluster.Status.Initialization.InfrastructureProvisioned, false),
		endpoint:       cluster.Spec.ControlPlaneEndpoint,
		infrastructure: cluster.Spec.InfrastructureRef,
		controlPlane:   cluster.Spec.ControlPlaneRef,
	}
}
