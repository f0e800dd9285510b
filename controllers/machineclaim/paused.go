package machineclaim

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// observePaused finds out whether the claim, or the Cluster that it is of, is to be left alone.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine#inframachine-pausing
func (s *scope) observePaused(ctx context.Context) (bool, error) {
	if annotations.HasPaused(s.claim) {
		s.summarizePaused(teapotv1.ReasonPaused, "annotation "+clusterv1.PausedAnnotation)
		return true, nil
	}
	name := types.NamespacedName{Namespace: s.claim.Namespace, Name: s.claim.Labels[clusterv1.ClusterNameLabel]}
	if name.Name == "" {
		return false, nil
	}
	cluster := &clusterv1.Cluster{}
	if err := s.Client.Get(ctx, name, cluster); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading Cluster %s, which MachineClaim %s is of: %w", name, s.claim.Name, err)
	}
	if !clusterapi.ClusterPaused(cluster) {
		return false, nil
	}
	s.summarizePaused(teapotv1.ReasonClusterPaused, "spec.paused of Cluster "+name.Name)
	return true, nil
}

// summarizePaused writes the condition Paused; no reason: the claim is not.
func (s *scope) summarizePaused(reason, by string) {
	if reason == "" {
		s.setCondition(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
		return
	}
	s.setCondition(teapotv1.PausedCondition, metav1.ConditionTrue, reason, by+": nothing is changed, the machine goes on running")
}
