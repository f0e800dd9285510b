package clusterapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Waking is the value of teapotv1.HibernationAnnotation on a Cluster whose control plane is back and
// whose machines are being switched on: the Cluster stays paused until their Nodes had time to boot,
// so that no MachineHealthCheck replaces them. It is no intent of a spec.
const Waking teapotv1.HibernatedWorkers = "Waking"

// Hibernating says what is to become of the machines of a Cluster whose control plane sleeps or goes to
// sleep; false: it is awake, or there is no Cluster. A value that is not known lets machines run on.
func Hibernating(cluster *clusterv1.Cluster) (teapotv1.HibernatedWorkers, bool) {
	if cluster == nil {
		return "", false
	}
	value, is := cluster.Annotations[teapotv1.HibernationAnnotation]
	switch mode := teapotv1.HibernatedWorkers(value); {
	case !is:
		return "", false
	case mode == teapotv1.HibernatedWorkersRelease, mode == teapotv1.HibernatedWorkersPowerOff, mode == Waking:
		return mode, true
	default:
		return teapotv1.HibernatedWorkersKeep, true
	}
}

// Paused says whether Cluster API wants an object to be left alone: it has the annotation, or its
// Cluster, nil if there is none, is paused. A Cluster that is paused because its control plane sleeps
// is so for Cluster API's controllers alone. `clusterctl move` refuses a Cluster that is paused
// already (checkClustersNotPaused in cmd/clusterctl/client/cluster/mover.go, v1.14.2), so the two
// reasons for it do not meet.
func Paused(cluster *clusterv1.Cluster, object metav1.Object) bool {
	return ClusterPaused(cluster) || annotations.HasPaused(object)
}

// ClusterPaused says whether a Cluster, nil if there is none, is paused by somebody, and not because
// its control plane sleeps.
func ClusterPaused(cluster *clusterv1.Cluster) bool {
	if cluster == nil {
		return false
	}
	_, asleep := Hibernating(cluster)
	return ptr.Deref(cluster.Spec.Paused, false) && !asleep
}
