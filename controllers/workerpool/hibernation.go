package workerpool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	"github.com/teapot-cloud/teapot/workers/pool"
)

// Values of annotations that are set while the control plane sleeps. One with another value is somebody
// else's, and stays.
const (
	// pausedBySleep is on the health check: a machine that is switched off is well, and one that boots
	// takes its time. Cluster API does not look at a health check with it, nor at one of a Cluster that
	// is paused (Reconcile in core/reconcilers/machinehealthcheck/machinehealthcheck_controller.go,
	// v1.14.2); the Cluster is not for as long as machines go.
	pausedBySleep = "teapot.dev/hibernation"
	// undrainedBySleep is on Machines that are about to be deleted.
	undrainedBySleep = "the control plane goes to sleep"
)

// undrained are the annotations of a Machine of whose Node Cluster API asks nothing before its host
// is given back (isNodeDrainAllowed and isNodeVolumeDetachingAllowed in
// core/reconcilers/machine/machine_controller.go, v1.14.2).
var undrained = []string{clusterv1.ExcludeNodeDrainingAnnotation, clusterv1.ExcludeWaitForNodeVolumeDetachAnnotation}

// theCluster is the control plane's Cluster as far as the cache knows; nil if there is none, or nobody can
// say which it is.
func (s *scope) theCluster() *clusterv1.Cluster {
	if s.controlPlane == nil {
		return nil
	}
	cluster, _ := pool.ChooseCluster(s.controlPlane.Name, clusterapi.OwnerName(s.controlPlane, clusterv1.ClusterKind), s.naming)
	return cluster
}

// asleep says that the tenant's API is not there, or about to go.
func (s *scope) asleep() bool { return s.hibernation != "" && s.hibernation != clusterapi.Waking }

// goToSleep prepares the release of the pool's machines: it notes how many there are, and then has their
// Nodes left undrained, so that no machine waits for the tenant's API. The plan of the
// MachineDeployment does the rest.
func (s *scope) goToSleep(ctx context.Context) error {
	if !pool.Released(s.pool, s.hibernation) || s.machineDeployment == nil {
		return nil
	}
	if err := s.noteReplicas(ctx); err != nil {
		return err
	}
	if ptr.Deref(s.machineDeployment.Spec.Replicas, 0) == 0 {
		return nil
	}
	return s.skipDrains(ctx)
}

// noteReplicas notes the number of machines, unless it is noted already: then an earlier sleep was not
// over yet. It asks the API server, since a cache that is behind would note the size of before, or
// release the machines of a control plane that is awake again.
func (s *scope) noteReplicas(ctx context.Context) error {
	if pool.AwakeReplicas(s.pool) != nil {
		return nil
	}
	cluster, md := &clusterv1.Cluster{}, &clusterv1.MachineDeployment{}
	if found, err := s.find(ctx, s.Live, s.theCluster().Name, cluster); err != nil || !found {
		return errors.Join(err, errStale)
	}
	if mode, _ := clusterapi.Hibernating(cluster); mode != teapotv1.HibernatedWorkersRelease {
		return errStale
	}
	if found, err := s.find(ctx, s.Live, s.pool.Name, md); err != nil || !found {
		return errors.Join(err, errStale)
	}
	n := strconv.Itoa(int(ptr.Deref(md.Spec.Replicas, 0)))
	if err := s.patch(ctx, "noting the number of machines", func() {
		metav1.SetMetaDataAnnotation(&s.pool.ObjectMeta, teapotv1.AwakeReplicasAnnotation, n)
	}); err != nil {
		return err
	}
	log.FromContext(ctx).Info("releasing the machines, since the control plane goes to sleep", "replicas", n)
	return nil
}

// skipDrains annotates the pool's Machines, before any of them is deleted. One that is made in this
// moment has no Node yet, and controllers/hostmachine annotates what is being deleted, too.
func (s *scope) skipDrains(ctx context.Context) error {
	machines := &clusterv1.MachineList{}
	if err := s.list(ctx, s.Live, machines, s.machinesOf()...); err != nil {
		return err
	}
	for i := range machines.Items {
		err := s.patchMachine(ctx, &machines.Items[i], func(machine *clusterv1.Machine) {
			for _, key := range undrained {
				if !metav1.HasAnnotation(machine.ObjectMeta, key) {
					metav1.SetMetaDataAnnotation(&machine.ObjectMeta, key, undrainedBySleep)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// passNodes has Machines that are being deleted not wait until their Nodes are. Cluster API brings the plan's
// time to the Machines of a MachineDeployment that stays, and not to those of one that goes (reconcileDelete in
// core/reconcilers/machineset/machineset_controller.go, v1.14.2).
func (s *scope) passNodes(ctx context.Context) error {
	for i := range s.machines {
		machine := &s.machines[i]
		if machine.DeletionTimestamp.IsZero() {
			continue
		}
		if err := s.patchMachine(ctx, machine, func(machine *clusterv1.Machine) {
			machine.Spec.Deletion.NodeDeletionTimeoutSeconds = ptr.To[int32](pool.NodeDeletionAsleep)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scope) patchMachine(ctx context.Context, machine *clusterv1.Machine, change func(*clusterv1.Machine)) error {
	changed := machine.DeepCopy()
	if change(changed); apiequality.Semantic.DeepEqual(changed, machine) {
		return nil
	}
	if err := s.Client.Patch(ctx, changed, client.MergeFrom(machine)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("saying what Machine %s/%s waits for when it is deleted: %w", machine.Namespace, machine.Name, err)
	}
	return nil
}

// comeBack ends what goToSleep began, once the MachineDeployment has its machines again: the autoscaler's
// number is the autoscaler's, and Nodes are drained.
func (s *scope) comeBack(ctx context.Context) error {
	if s.hibernation != "" {
		return nil
	}
	bySleep := func(_, value string) bool { return value == undrainedBySleep }
	for i := range s.machines {
		machine := &s.machines[i]
		if !machine.DeletionTimestamp.IsZero() {
			continue
		}
		if err := s.patchMachine(ctx, machine, func(m *clusterv1.Machine) { maps.DeleteFunc(m.Annotations, bySleep) }); err != nil {
			return err
		}
	}
	return s.forgetReplicas(ctx)
}

// forgetReplicas ends the note. It asks the API server for the number first: a cache that has not seen the
// release yet says that nothing was to be done, and an autoscaled pool would be left with the least number.
func (s *scope) forgetReplicas(ctx context.Context) error {
	if !metav1.HasAnnotation(s.pool.ObjectMeta, teapotv1.AwakeReplicasAnnotation) {
		return nil
	}
	md := &clusterv1.MachineDeployment{}
	found, err := s.find(ctx, s.Live, s.pool.Name, md)
	if err != nil {
		return err
	}
	if !found || ptr.Deref(md.Spec.Replicas, 0) != ptr.Deref(s.machineDeployment.Spec.Replicas, 0) {
		return errStale
	}
	return s.patch(ctx, "forgetting the number of machines", func() {
		delete(s.pool.Annotations, teapotv1.AwakeReplicasAnnotation)
	})
}

// sleepUnapplied has the machines of a pool whose spec is refused released all the same, and made again as
// they were: a spec that may not be applied is no reason to hold hosts.
func (s *scope) sleepUnapplied(ctx context.Context) error {
	md, cluster := s.machineDeployment, s.theCluster()
	if md == nil || !md.DeletionTimestamp.IsZero() || cluster == nil || !cluster.DeletionTimestamp.IsZero() || !s.controlPlane.DeletionTimestamp.IsZero() {
		return nil
	}
	noted := pool.AwakeReplicas(s.pool)
	switch {
	case pool.Released(s.pool, s.hibernation):
		if err := s.goToSleep(ctx); err != nil {
			return err
		}
		return s.scaleUnapplied(ctx, md, 0)
	case s.hibernation == "" && noted != nil:
		if err := s.scaleUnapplied(ctx, md, *noted); err != nil {
			return err
		}
		return s.comeBack(ctx)
	}
	return nil
}

func (s *scope) scaleUnapplied(ctx context.Context, md *clusterv1.MachineDeployment, replicas int32) error {
	if ptr.Deref(md.Spec.Replicas, -1) == replicas {
		return nil
	}
	before := md.DeepCopy()
	md.Spec.Replicas = &replicas
	if err := s.Client.Patch(ctx, md, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager+"-hibernation")); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("scaling MachineDeployment %s/%s: %w", md.Namespace, md.Name, err)
	}
	return nil
}
