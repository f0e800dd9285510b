// Package clusterapi says how objects of Cluster API and of Teapot refer to one another.
package clusterapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// OwnerName is the name of the object of a kind of Cluster API's that owns an object, or "".
func OwnerName(object metav1.Object, kind string) string {
	for _, reference := range object.GetOwnerReferences() {
		group, err := schema.ParseGroupVersion(reference.APIVersion)
		if err == nil && group.Group == clusterv1.GroupVersion.Group && reference.Kind == kind {
			return reference.Name
		}
	}
	return ""
}

// ControlPlaneOf is the name of the TenantControlPlane that a Cluster names, or "".
func ControlPlaneOf(cluster *clusterv1.Cluster) string {
	reference := cluster.Spec.ControlPlaneRef
	if reference.APIGroup != teapotv1.GroupVersion.Group || reference.Kind != "TenantControlPlane" {
		return ""
	}
	return reference.Name
}

// MadeFor says whether an object, a Cluster or a TenantCluster, is one that Teapot made for the
// pools of a control plane of its namespace.
func MadeFor(object metav1.Object, controlPlane string) bool {
	labels := object.GetLabels()
	return labels[teapotv1.ManagedByLabel] == teapotv1.ManagedByTeapot &&
		labels[teapotv1.ControlPlaneNamespaceLabel] == object.GetNamespace() &&
		labels[teapotv1.ControlPlaneNameLabel] == controlPlane
}
