package hostmachine

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// blockMoveAnnotation keeps clusterctl from moving anything of the Cluster's. A provider sets it on
// what cannot be paused at once and removes it when that is paused; clusterctl waits about two
// minutes (BlockMoveAnnotation in cmd/clusterctl/api/v1alpha3/annotations.go and waitReadyForMove in
// cmd/clusterctl/client/cluster/mover.go, Cluster API v1.14.2).
const blockMoveAnnotation = "clusterctl.cluster.x-k8s.io/block-move"

// letMove removes the annotation once nothing is under way: the machine runs, or it is paused and so
// is its claim. While a claim takes and provisions a host, a copy of both made elsewhere could
// be behind what is written here.
func (s *scope) letMove(ctx context.Context) error {
	if _, blocked := s.hm.Annotations[blockMoveAnnotation]; !blocked {
		return nil
	}
	claimPaused := s.claim == nil || !s.ours(s.claim) || meta.IsStatusConditionTrue(s.claim.Status.Conditions, teapotv1.PausedCondition)
	if !s.provisioned() && !(s.paused() && claimPaused) {
		return nil
	}
	return s.patch(ctx, "removing the annotation "+blockMoveAnnotation, func() { delete(s.hm.Annotations, blockMoveAnnotation) })
}
