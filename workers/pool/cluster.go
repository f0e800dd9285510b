package pool

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

const (
	controlPlaneKind  = "TenantControlPlane"
	tenantClusterKind = "TenantCluster"
)

// NewCluster renders the Cluster that all pools of a control plane share, with its infrastructure.
// Both have the control plane's name, so that what is named after a Cluster keeps its name. No pool
// owns them: they stay when the last one goes, and go with their control plane.
func NewCluster(controlPlane *teapotv1.TenantControlPlane) (*clusterv1.Cluster, *teapotv1.TenantCluster) {
	named := metav1.ObjectMeta{
		Namespace: controlPlane.Namespace, Name: controlPlane.Name,
		Labels: map[string]string{
			teapotv1.ManagedByLabel:             teapotv1.ManagedByTeapot,
			teapotv1.ControlPlaneNamespaceLabel: controlPlane.Namespace,
			teapotv1.ControlPlaneNameLabel:      controlPlane.Name,
		},
	}
	infrastructure := &teapotv1.TenantCluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: teapotv1.GroupVersion.String(), Kind: tenantClusterKind},
		ObjectMeta: *named.DeepCopy(),
	}
	infrastructure.Labels[clusterv1.ClusterNameLabel] = named.Name
	return &clusterv1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: clusterv1.ClusterKind},
		ObjectMeta: named,
		Spec: clusterv1.ClusterSpec{
			ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: controlPlaneKind, Name: named.Name},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: tenantClusterKind, Name: named.Name},
		},
	}, infrastructure
}

// ChooseCluster finds the Cluster of a control plane among those that name it; owner is the name of
// the one that owns the control plane, or "". It returns nil if there is none, and a refusal if
// nobody can say which it is.
func ChooseCluster(controlPlane, owner string, naming []clusterv1.Cluster) (*clusterv1.Cluster, *Refusal) {
	if owner != "" {
		at := slices.IndexFunc(naming, func(c clusterv1.Cluster) bool { return c.Name == owner })
		if at < 0 {
			return nil, &Refusal{Reason: teapotv1.ReasonWaitingForCluster, Message: fmt.Sprintf(
				"waiting for Cluster %s, which owns TenantControlPlane %s and does not name it in spec.controlPlaneRef, or is gone", owner, controlPlane)}
		}
		return &naming[at], nil
	}
	switch len(naming) {
	case 0:
		return nil, nil
	case 1:
		return &naming[0], nil
	}
	names := make([]string, len(naming))
	for i := range naming {
		names[i] = naming[i].Name
	}
	slices.Sort(names)
	return nil, &Refusal{Stalled: true, Reason: teapotv1.ReasonNameTaken, Message: fmt.Sprintf(
		"more than one Cluster names TenantControlPlane %s in spec.controlPlaneRef: %s; delete all but one", controlPlane, strings.Join(names, ", "))}
}
