package workerpool

import (
	"context"
	"errors"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// deletePoll is how often what is left is looked at; a watch usually comes first.
const deletePoll = 15 * time.Second

// delete removes what is the pool's, in the order in which nothing is made anew, and then lets go of
// the pool. Cluster API drains the machines and gives them back. Everything is read live: what a
// cache does not know would stay.
func (s *scope) delete(ctx context.Context) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.pool, teapotv1.WorkerPoolFinalizer) {
		return ctrl.Result{}, nil
	}
	done, failure := s.end(ctx)
	if failure != nil || !done {
		s.requeueAfter(deletePoll)
		s.requeueAfter(s.observed(failure).SummarizeDeletion())
		s.tell()
		return ctrl.Result{RequeueAfter: s.requeue}, errors.Join(failure, s.patchStatus(ctx))
	}
	err := s.patch(ctx, "removing the finalizer", func() {
		controllerutil.RemoveFinalizer(s.pool, teapotv1.WorkerPoolFinalizer)
	})
	switch {
	case err == nil:
		log.FromContext(ctx).Info("deleted pool")
	case !errors.Is(err, errStale):
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, nil
}

// end deletes the pool's objects and reports whether they are gone.
func (s *scope) end(ctx context.Context) (bool, error) {
	// First: it would have machines replaced that go.
	if _, err := s.endObject(ctx, &clusterv1.MachineHealthCheck{}); err != nil {
		return false, err
	}
	if s.asleep() {
		if err := s.skipDrains(ctx); err != nil {
			return false, err
		}
	}
	md := &clusterv1.MachineDeployment{}
	left, err := s.endObject(ctx, md)
	if err != nil {
		return false, err
	}
	machines := &clusterv1.MachineList{}
	if err := s.list(ctx, s.Live, machines, s.machinesOf()...); err != nil {
		return false, err
	}
	s.machines, s.machineDeployment = machines.Items, nil
	if left {
		s.machineDeployment = md
	}
	if s.asleep() {
		if err := s.passNodes(ctx); err != nil {
			return false, err
		}
	}
	if left || len(s.machines) > 0 {
		abandoned, err := s.abandoned(ctx)
		if err != nil || !abandoned {
			return false, err
		}
	}
	if err := s.endHostMachines(ctx); err != nil {
		return false, err
	}
	if err := s.endTemplates(ctx); err != nil {
		return false, err
	}
	return true, s.endOrphanedCluster(ctx)
}

// endObject deletes an object of the pool's name, if it is the pool's, and says whether it is still
// there.
func (s *scope) endObject(ctx context.Context, object client.Object) (bool, error) {
	found, err := s.find(ctx, s.Live, s.pool.Name, object)
	if err != nil || !found || !s.owns(object) {
		return false, err
	}
	if object.GetDeletionTimestamp().IsZero() {
		return true, s.remove(ctx, object, "the pool is being deleted")
	}
	return true, nil
}

// abandoned says that nobody deletes the machines any more: without their Cluster, Cluster API's
// controllers do nothing (GetClusterByName in core/reconcilers/machinedeployment and machine,
// v1.14.2). Usually a Cluster waits for its machines; this one was torn away.
func (s *scope) abandoned(ctx context.Context) (bool, error) {
	name := ""
	switch {
	case s.machineDeployment != nil:
		name = s.machineDeployment.Spec.ClusterName
	case len(s.machines) > 0:
		name = s.machines[0].Spec.ClusterName
	}
	found, err := s.find(ctx, s.Live, name, &clusterv1.Cluster{})
	return !found && err == nil, err
}

// endHostMachines gives back hosts of machines that Cluster API does not delete any more: it, or the
// Cluster, was removed. Who deletes a Machine deletes its HostMachine, so there are none otherwise.
func (s *scope) endHostMachines(ctx context.Context) error {
	machines := &teapotv1.HostMachineList{}
	if err := s.list(ctx, s.Live, machines, s.machinesOf()...); err != nil {
		return err
	}
	for i := range machines.Items {
		if machine := &machines.Items[i]; machine.DeletionTimestamp.IsZero() {
			if err := s.remove(ctx, machine, "Cluster API does not delete its Machine any more"); err != nil {
				return err
			}
		}
	}
	return nil
}

// endTemplates deletes the templates.
func (s *scope) endTemplates(ctx context.Context) error {
	templates, err := s.listTemplates(ctx, s.Live)
	if err != nil {
		return err
	}
	for _, template := range templates {
		if err := s.remove(ctx, template, "the pool is being deleted"); err != nil {
			return err
		}
	}
	return nil
}

// endOrphanedCluster deletes the Cluster that Teapot made if its control plane is gone: a manager
// that ended in the moment in which it made the Cluster could not.
func (s *scope) endOrphanedCluster(ctx context.Context) error {
	name := s.pool.Spec.ControlPlaneName
	if found, err := s.find(ctx, s.Live, name, &teapotv1.TenantControlPlane{}); err != nil || found {
		return err
	}
	cluster := &clusterv1.Cluster{}
	found, err := s.find(ctx, s.Live, name, cluster)
	if err != nil || !found || !cluster.DeletionTimestamp.IsZero() || !clusterapi.MadeFor(cluster, name) {
		return err
	}
	return s.endCluster(ctx, cluster, nil)
}
