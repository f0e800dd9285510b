package claim

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// HostOf is the host that the claim's annotation names, if it names one.
func HostOf(claim *teapotv1.MachineClaim) (types.NamespacedName, bool) {
	namespace, name, ok := strings.Cut(claim.Annotations[teapotv1.HostAnnotation], "/")
	return types.NamespacedName{Namespace: namespace, Name: name}, ok && namespace != "" && name != ""
}

// failedHosts are the hosts that the claim gave back because they could not be provisioned.
func failedHosts(claim *teapotv1.MachineClaim) []string {
	return strings.FieldsFunc(claim.Annotations[teapotv1.FailedHostsAnnotation], func(r rune) bool { return r == ',' || r == ' ' })
}

// AddFailed is the value of the annotation teapot.dev/failed-hosts with one more host.
func AddFailed(claim *teapotv1.MachineClaim, failed types.NamespacedName) string {
	return strings.Join(append(failedHosts(claim), failed.String()), ",")
}

// Group is what a claim's siblings have in common: the Cluster and the MachineDeployment that
// they are of. Claims made by hand have neither, and those of a namespace are siblings.
type Group struct{ Namespace, Cluster, Deployment string }

// GroupOf is the group of a claim.
func GroupOf(claim *teapotv1.MachineClaim) Group {
	return Group{claim.Namespace, claim.Labels[clusterv1.ClusterNameLabel], claim.Labels[clusterv1.MachineDeploymentNameLabel]}
}
