// Package tenantcontrolplane reconciles TenantControlPlanes: it observes, asks the pure
// package controlplane what should be, applies that, and writes one status patch.
//
// One file a step, in the order of steps() below.
package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/metrics"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controlplane"
)

// Reconciler reconciles TenantControlPlanes.
type Reconciler struct {
	// Client reads from the manager's cache, which holds only what is labelled as ours.
	Client client.Client
	// Live reads from the API server, for decisions that a stale cache must not make.
	Live client.Reader
	// Tenants holds the clients of the tenants' API servers.
	Tenants  *tenant.Registry
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	Settings controlplane.Settings

	clusters clusterWatch
	gateway  gatewayService
	// stopping holds, by owner, since when a control plane is to sleep whose pods were told to end.
	stopping sync.Map
}

// SetupWithManager registers the controller and what it watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	owned := handler.EnqueueRequestsFromMapFunc(toOwner)
	built, err := ctrl.NewControllerManagedBy(mgr).
		Named("tenantcontrolplane").
		WithOptions(options).
		// Changes of status, too: what a reconcile wrote while its cache was behind is looked
		// at again when the cache has caught up.
		For(&teapotv1.TenantControlPlane{}).
		Watches(&corev1.Namespace{}, owned).
		Watches(&corev1.Secret{}, owned).
		Watches(&corev1.ServiceAccount{}, owned).
		Watches(&corev1.Service{}, owned).
		Watches(&networkingv1.NetworkPolicy{}, owned).
		Watches(&policyv1.PodDisruptionBudget{}, owned).
		Watches(&appsv1.StatefulSet{}, owned).
		Watches(&appsv1.Deployment{}, owned).
		Watches(&coordinationv1.Lease{}, owned).
		// Machines of a pool that is deleted go, also while the control plane sleeps.
		Watches(&teapotv1.WorkerPool{}, handler.EnqueueRequestsFromMapFunc(ofPool), builder.WithPredicates(poolGoes)).
		WatchesRawSource(source.Channel(r.Tenants.Events(), &handler.EnqueueRequestForObject{})).
		Build(r)
	if err != nil {
		return err
	}
	r.clusters.controller, r.clusters.cache = built, mgr.GetCache()
	return nil
}

// ofPool finds the control plane of a WorkerPool.
func ofPool(_ context.Context, object client.Object) []reconcile.Request {
	pool := object.(*teapotv1.WorkerPool)
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pool.Namespace, Name: pool.Spec.ControlPlaneName}}}
}

// poolGoes tells of the beginning and the end of a pool's deletion.
var poolGoes = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetDeletionTimestamp().IsZero() && !e.ObjectNew.GetDeletionTimestamp().IsZero()
	},
}

// toOwner finds the control plane that an object belongs to by its labels.
func toOwner(_ context.Context, object client.Object) []reconcile.Request {
	labels := object.GetLabels()
	name := types.NamespacedName{
		Namespace: labels[teapotv1.ControlPlaneNamespaceLabel],
		Name:      labels[teapotv1.ControlPlaneNameLabel],
	}
	if name.Namespace == "" || name.Name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: name}}
}

// behindInterval is how long the cache is given to catch up with what was written to a control plane.
const behindInterval = 50 * time.Millisecond

// Reconcile brings one control plane nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	tcp := &teapotv1.TenantControlPlane{}
	if err := r.Client.Get(ctx, request.NamespacedName, tcp); err != nil {
		if apierrors.IsNotFound(err) {
			r.Tenants.Close(request.NamespacedName)
			r.stopping.Delete(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading TenantControlPlane %s: %w", request.NamespacedName, err)
	}
	s := r.newScope(tcp)
	if err := s.observeCluster(ctx); err != nil {
		return ctrl.Result{}, err
	}

	if !tcp.DeletionTimestamp.IsZero() {
		s.summarizePaused()
		if s.paused || !controllerutil.ContainsFinalizer(tcp, teapotv1.ControlPlaneFinalizer) {
			return ctrl.Result{}, s.patchStatus(ctx)
		}
		began := r.Clock.Now()
		defer func() { metrics.ObserveStep(metrics.StepDelete, r.Clock.Since(began)) }()
		return s.delete(ctx)
	}
	begins := !s.paused && controllerutil.AddFinalizer(tcp, teapotv1.ControlPlaneFinalizer)
	if begins {
		s.setBlockMove()
		// Before anything is made: what exists without the finalizer could leak.
		patch := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, tcp, patch); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("adding the finalizer to TenantControlPlane %s: %w", request.NamespacedName, err))
		}
		s.before = tcp.DeepCopy()
	}
	if err := s.guardMove(ctx); err != nil {
		return ctrl.Result{}, err
	}

	result, failure := s.conclude(s.run(ctx))
	failure = errors.Join(failure, s.patchStatus(ctx))
	if s.behind {
		result.RequeueAfter = behindInterval
	}
	if begins && s.gone {
		// It was deleted in the moment in which the finalizer was added. An API server looks for
		// finalizers once and then deletes, whatever was written meanwhile (Store.Delete in
		// k8s.io/apiserver/pkg/registry/generic/registry/store.go, v0.36.3).
		log.FromContext(ctx).Info("deleted while it began")
		_, err := s.deleteNamespace(ctx)
		return ctrl.Result{}, errors.Join(failure, err)
	}
	return result, failure
}

// run runs the steps until one says that it must wait, or fails.
func (s *scope) run(ctx context.Context) error {
	for _, step := range s.steps() {
		began := s.Clock.Now()
		err := step.run(ctx)
		metrics.ObserveStep(step.name, s.Clock.Since(began))
		if err != nil {
			return err
		}
	}
	return nil
}

// step is one part of a reconcile; its name is what metrics call it.
type step struct {
	name string
	run  func(context.Context) error
}

// steps are run in order until one says that it must wait, or fails.
func (s *scope) steps() []step {
	return []step{
		{metrics.StepNamespace, s.ensureNamespace},
		{metrics.StepBase, s.ensureBase},
		{metrics.StepEndpoint, s.resolveEndpoint},
		{metrics.StepGateway, s.resolveGateway},
		{metrics.StepCredentials, s.ensureCredentials},
		{metrics.StepHibernation, s.hibernate},
		{metrics.StepWorkloads, s.ensureWorkloads},
		{metrics.StepTenantSecrets, s.ensureTenantSecrets},
		{metrics.StepInside, s.askTenant},
		{metrics.StepWake, s.wakeWorkers},
	}
}

// waiting ends the steps without being a failure: a condition says what is waited for,
// and a watch or the time given brings the control plane back.
type waiting struct{ after time.Duration }

func (w waiting) Error() string { return "waiting" }
