// Package workerpool reconciles WorkerPools: it observes, asks the pure package workers/pool what
// Cluster API's objects should be, applies them, and writes one status patch. The machines
// themselves are Cluster API's to make, to replace and to delete.
//
// One file a part: controlplane.go finds or makes what the pools of a control plane share,
// machines.go applies what is the pool's own, hibernation.go is what the machines of a control plane that
// sleeps need besides, delete.go and pause.go are the other ways in which a reconcile goes.
package workerpool

import (
	"context"
	"errors"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	"github.com/teapot-cloud/teapot/workers/pool"
)

// Indexes of the manager's cache by the name of the TenantControlPlane that an object names.
const (
	poolsIndex    = "spec.controlPlaneName"
	clustersIndex = "spec.controlPlaneRef.name"
)

// Reconciler reconciles WorkerPools.
type Reconciler struct {
	// Client reads from the manager's cache (see Trim).
	Client client.Client
	// Live reads from the API server, for decisions that a stale cache must not make.
	Live     client.Reader
	Recorder events.EventRecorder
	Clock    clock.PassiveClock

	kinds kinds
}

// SetupWithManager registers the controller and what it watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &teapotv1.WorkerPool{}, poolsIndex, func(object client.Object) []string {
		return []string{object.(*teapotv1.WorkerPool).Spec.ControlPlaneName}
	}); err != nil {
		return fmt.Errorf("indexing WorkerPools by their control plane: %w", err)
	}
	built, err := ctrl.NewControllerManagedBy(mgr).
		Named("workerpool").
		WithOptions(options).
		For(&teapotv1.WorkerPool{}).
		Owns(&teapotv1.HostMachineTemplate{}).
		Watches(&teapotv1.TenantControlPlane{}, handler.EnqueueRequestsFromMapFunc(r.ofControlPlane), builder.WithPredicates(changes(sameControlPlane))).
		Build(r)
	if err != nil {
		return err
	}
	r.kinds.manager, r.kinds.controller = mgr, built
	return nil
}

// toPool finds the pool of a Machine.
func toPool(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[teapotv1.PoolLabel]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

func (r *Reconciler) ofCluster(ctx context.Context, object client.Object) []reconcile.Request {
	return r.poolsOf(ctx, object.GetNamespace(), clusterapi.ControlPlaneOf(object.(*clusterv1.Cluster)))
}

func (r *Reconciler) ofControlPlane(ctx context.Context, object client.Object) []reconcile.Request {
	return r.poolsOf(ctx, object.GetNamespace(), object.GetName())
}

// poolsOf finds the pools of a control plane.
func (r *Reconciler) poolsOf(ctx context.Context, namespace, controlPlane string) []reconcile.Request {
	if controlPlane == "" {
		return nil
	}
	pools := &teapotv1.WorkerPoolList{}
	if err := r.Client.List(ctx, pools, client.InNamespace(namespace), client.MatchingFields{poolsIndex: controlPlane}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the WorkerPools of a control plane", "namespace", namespace, "controlPlane", controlPlane)
		return nil
	}
	requests := make([]reconcile.Request, len(pools.Items))
	for i := range pools.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&pools.Items[i])
	}
	return requests
}

// changes lets through updates of objects that differ in what a pool depends on.
func changes[T client.Object](same func(before, after T) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, beforeOK := e.ObjectOld.(T)
		after, afterOK := e.ObjectNew.(T)
		return !beforeOK || !afterOK || before.GetUID() != after.GetUID() || !same(before, after) ||
			before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero()
	}}
}

func sameMachine(before, after *clusterv1.Machine) bool {
	return before.Labels[teapotv1.PoolLabel] == after.Labels[teapotv1.PoolLabel] &&
		apiequality.Semantic.DeepEqual(before.Status, after.Status)
}

func sameCluster(before, after *clusterv1.Cluster) bool {
	return before.Spec.ControlPlaneRef == after.Spec.ControlPlaneRef &&
		clusterapi.ClusterPaused(before) == clusterapi.ClusterPaused(after) && hibernation(before) == hibernation(after)
}

func hibernation(cluster *clusterv1.Cluster) teapotv1.HibernatedWorkers {
	mode, _ := clusterapi.Hibernating(cluster)
	return mode
}

func sameControlPlane(before, after *teapotv1.TenantControlPlane) bool {
	return before.Spec.Version == after.Spec.Version && before.Status.Version == after.Status.Version &&
		clusterapi.OwnerName(before, clusterv1.ClusterKind) == clusterapi.OwnerName(after, clusterv1.ClusterKind)
}

// Reconcile brings one pool nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	wp := &teapotv1.WorkerPool{}
	if err := r.Client.Get(ctx, request.NamespacedName, wp); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading WorkerPool %s: %w", request.NamespacedName, err)
	}
	s := &scope{Reconciler: r, pool: wp, before: wp.DeepCopy(), now: r.Clock.Now()}
	var err error
	if s.missing, err = r.kinds.ensure(context.WithoutCancel(ctx), r, s.now); err != nil {
		return ctrl.Result{}, err
	}
	if err := s.observe(ctx); err != nil {
		return ctrl.Result{}, err
	}
	switch why := s.pausedBy(); {
	case why != "":
		return s.pause(ctx, why)
	case !wp.DeletionTimestamp.IsZero():
		return s.delete(ctx)
	}

	var failure error
	for _, step := range []func(context.Context) error{
		s.waitForClusterAPI,
		s.waitForControlPlane,
		s.begin,
		s.ensureCluster,
		s.goToSleep,
		s.ensureTemplates,
		s.ensureMachineDeployment,
		s.ensureHealthCheck,
		s.comeBack,
		s.prune,
	} {
		if failure = step(ctx); failure != nil {
			break
		}
	}
	if refusal := (&pool.Refusal{}); errors.As(failure, &refusal) {
		if err := s.sleepUnapplied(ctx); err != nil {
			failure = err
		}
	}
	return s.conclude(ctx, failure)
}
