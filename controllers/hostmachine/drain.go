package hostmachine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

const (
	// deadAfter is after how long without an answer nobody waits for a tenant's API to drain a
	// Node: a restart of one with a single replica is well over by then.
	deadAfter = 2 * time.Minute
	// drainPoll is how often the tenant's API is looked at while a Machine is being deleted.
	drainPoll = 30 * time.Second
)

// skipDrain spares a Machine that is being deleted what only the tenant's API can do, if that is
// dead or asleep: Cluster API drains the Node and waits for its volumes before it deletes the
// HostMachine, and tries until the time-outs of the Machine are over, or for ever (reconcileDelete
// in core/reconcilers/machine/machine_controller.go, v1.14.2).
func (s *scope) skipDrain(ctx context.Context) error {
	if s.machine == nil || s.cluster == nil || s.machine.DeletionTimestamp.IsZero() || !s.machine.Status.NodeRef.IsDefined() {
		return nil
	}
	skips := []string{clusterv1.ExcludeNodeDrainingAnnotation, clusterv1.ExcludeWaitForNodeVolumeDetachAnnotation}
	if !slices.ContainsFunc(skips, func(skip string) bool { return !metav1.HasAnnotation(s.machine.ObjectMeta, skip) }) {
		return nil
	}
	dead, err := s.tenantIsDead(ctx)
	if err != nil {
		return err
	}
	if !dead {
		s.requeueAfter(drainPoll)
		return nil
	}
	before := s.machine.DeepCopy()
	for _, skip := range skips {
		metav1.SetMetaDataAnnotation(&s.machine.ObjectMeta, skip, "the tenant's API does not answer")
	}
	if err := s.Client.Patch(ctx, s.machine, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("letting Machine %s/%s go without draining its Node: %w", s.machine.Namespace, s.machine.Name, err)
	}
	log.FromContext(ctx).Info("the node is not drained, since the tenant's API does not answer", "machine", s.machine.Name)
	return nil
}

// tenantIsDead says whether the Cluster's control plane has not answered for a while, sleeps, or is gone.
// Of another provider's nothing is known.
func (s *scope) tenantIsDead(ctx context.Context) (bool, error) {
	if s.hibernation() != "" {
		return true, nil
	}
	name := s.controlPlaneName()
	if name == "" {
		return false, nil
	}
	tcp := &teapotv1.TenantControlPlane{}
	found, err := s.find(ctx, s.Client, name, tcp)
	if err != nil || !found {
		return err == nil, err
	}
	available := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.AvailableCondition)
	return available != nil && available.Status != metav1.ConditionTrue && s.now.Sub(available.LastTransitionTime.Time) > deadAfter, nil
}
