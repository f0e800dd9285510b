package route

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// Lease renders the controllers' part of the Lease. What the gateway writes is not in it, and stays.
func (r Route) Lease() *coordinationv1.Lease {
	labels := controlplane.OwnerLabels(r.Owner)
	labels[teapotv1.GatewayLabel] = "true"
	return &coordinationv1.Lease{
		TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: controlplane.Namespace(r.Owner), Name: LeaseName, Labels: labels, Annotations: r.Annotations(),
		},
	}
}
