package tenantcontrolplane

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// blockMoveAnnotation keeps clusterctl from moving anything of the Cluster's: it waits about two
// minutes for the annotation to go, and then fails (BlockMoveAnnotation in
// cmd/clusterctl/api/v1alpha3/annotations.go and waitReadyForMove in
// cmd/clusterctl/client/cluster/mover.go, Cluster API v1.14.2).
const blockMoveAnnotation = "clusterctl.cluster.x-k8s.io/block-move"

// guardMove keeps `clusterctl move` from taking a control plane away from its data, which is in a
// namespace that clusterctl knows nothing of: the keys and etcd's volumes would stay behind, and
// where the control plane came to it would begin empty, with machines that know other keys.
//
// Whoever means to bring the data names it beforehand, in spec.datastore.adoptFrom. The control plane
// then waits for it where it comes to (awaitsData). The annotation is taken away in spite of a pause:
// clusterctl pauses the Cluster before it waits.
func (s *scope) guardMove(ctx context.Context) error {
	if !s.setBlockMove() {
		return nil
	}
	status := s.tcp.Status
	patch := client.MergeFrom(s.before)
	if err := s.Client.Patch(ctx, s.tcp, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the annotation %s of TenantControlPlane %s: %w", blockMoveAnnotation, s.input.Owner, err))
	}
	s.tcp.Status = status
	s.before.ObjectMeta = *s.tcp.ObjectMeta.DeepCopy()
	return nil
}

// setBlockMove brings the annotation up to date, and reports whether it was not.
func (s *scope) setBlockMove() bool {
	wanted := s.tcp.Spec.Datastore.AdoptFrom != s.input.Namespace()
	_, blocked := s.tcp.Annotations[blockMoveAnnotation]
	switch {
	case wanted == blocked, wanted && s.paused:
		return false
	case wanted:
		metav1.SetMetaDataAnnotation(&s.tcp.ObjectMeta, blockMoveAnnotation, "")
	default:
		delete(s.tcp.Annotations, blockMoveAnnotation)
	}
	return true
}

// awaitsData says that the control plane's data is elsewhere, and is to be brought: its namespace,
// which is not there, is to be adopted, or the control plane had an endpoint before it was ever
// initialized here, since it was copied (`clusterctl move --to-directory`, a backup). Nothing is made
// in the data's place.
func (s *scope) awaitsData() bool {
	copied := s.tcp.Spec.ControlPlaneEndpoint.IsValid()
	return !s.initialized() && (copied || s.tcp.Spec.Datastore.AdoptFrom == s.input.Namespace())
}
