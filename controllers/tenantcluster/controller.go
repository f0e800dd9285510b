// Package tenantcluster reconciles TenantClusters, Cluster API's InfraCluster contract, version
// v1beta2. There is nothing to make or to remove for a cluster of hosts as such, so there is no
// finalizer, and a deletion waits for nothing.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-cluster
package tenantcluster

import (
	"context"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	// hostsInterval is how often the failure domains are looked at again. Hosts come and go rarely,
	// and following each of thousands for each of many clusters would cost more than it tells.
	hostsInterval = 5 * time.Minute
	// maxFailureDomains is how many the contract's list may have.
	maxFailureDomains = 100
)

// Reconciler reconciles TenantClusters.
type Reconciler struct {
	// Client reads TenantClusters and Clusters from the manager's cache.
	Client client.Client
	Hosts  hosts.Reader
	Clock  clock.PassiveClock
}

// SetupWithManager registers the controller and what it watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("tenantcluster").
		WithOptions(options).
		For(&teapotv1.TenantCluster{}).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(toTenantCluster), builder.WithPredicates(ClusterChanges())).
		Complete(r)
}

// toTenantCluster finds the TenantCluster that a Cluster refers to.
func toTenantCluster(_ context.Context, object client.Object) []reconcile.Request {
	reference := object.(*clusterv1.Cluster).Spec.InfrastructureRef
	if reference.APIGroup != teapotv1.GroupVersion.Group || reference.Kind != "TenantCluster" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: reference.Name}}}
}

// Reconcile brings the status of one TenantCluster up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	tc := &teapotv1.TenantCluster{}
	if err := r.Client.Get(ctx, request.NamespacedName, tc); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading TenantCluster %s: %w", request.NamespacedName, err)
	}
	if annotations.IsExternallyManaged(tc) {
		return ctrl.Result{}, nil // its status is another's to write
	}
	s := &scope{Reconciler: r, tc: tc, before: tc.DeepCopy()}
	if err := s.observe(ctx); err != nil {
		return ctrl.Result{}, err
	}
	failure := s.update(ctx)
	if err := s.patchStatus(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.requeue}, failure
}

// scope is one reconcile of one TenantCluster.
type scope struct {
	*Reconciler
	tc      *teapotv1.TenantCluster
	before  *teapotv1.TenantCluster
	cluster *clusterv1.Cluster // nil while there is none
	requeue time.Duration
}

// observe reads the Cluster that owns the object.
func (s *scope) observe(ctx context.Context) error {
	name := clusterapi.OwnerName(s.tc, clusterv1.ClusterKind)
	if name == "" {
		return nil
	}
	cluster := &clusterv1.Cluster{}
	err := s.Client.Get(ctx, types.NamespacedName{Namespace: s.tc.Namespace, Name: name}, cluster)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading Cluster %s/%s, which owns TenantCluster %s: %w", s.tc.Namespace, name, s.tc.Name, err)
	}
	s.cluster = cluster
	return nil
}

// update writes the status of what was seen.
func (s *scope) update(ctx context.Context) error {
	if clusterapi.Paused(s.cluster, s.tc) {
		s.set(teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused,
			"the Cluster has spec.paused, or this object the annotation %s: nothing is changed", clusterv1.PausedAnnotation)
		return nil
	}
	s.set(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
	if !s.tc.DeletionTimestamp.IsZero() {
		s.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, "there is nothing of Teapot's to remove; metadata.finalizers says who is waited for")
		return nil
	}
	switch {
	case s.cluster == nil:
		s.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForCluster,
			"waiting for a Cluster to own this object; Cluster API sees to it if the Cluster's spec.infrastructureRef names TenantCluster %s", s.tc.Name)
		return nil
	case !s.hasEndpoint():
		s.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForCluster,
			"waiting for spec.controlPlaneEndpoint of Cluster %s, which comes from its control plane; see kubectl describe tcp %s", s.cluster.Name, s.cluster.Spec.ControlPlaneRef.Name)
		return nil
	}
	// Hosts come as machines ask for them: there is nothing to wait for.
	s.tc.Status.Initialization.Provisioned = ptr.To(true)
	s.tc.Status.ObservedGeneration = s.tc.Generation
	return s.updateFailureDomains(ctx)
}

// hasEndpoint says whether the Cluster has an endpoint, which a provider that does not give one must
// wait for, or is about to get the one that its author wrote into this object.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-cluster#infracluster-control-plane-endpoint
func (s *scope) hasEndpoint() bool {
	return s.cluster.Spec.ControlPlaneEndpoint.IsValid() || s.tc.Spec.ControlPlaneEndpoint.IsValid()
}

func (s *scope) updateFailureDomains(ctx context.Context) error {
	names, err := s.Hosts.FailureDomains(ctx, s.tc.Namespace)
	if err != nil {
		err = fmt.Errorf("finding the failure domains of TenantCluster %s/%s: %w", s.tc.Namespace, s.tc.Name, err)
		s.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonReconcileFailed, "%v", err)
		return err
	}
	message := ""
	if len(names) > maxFailureDomains {
		message = fmt.Sprintf("hosts are in %d failure domains, of which the first %d are listed", len(names), maxFailureDomains)
		names = names[:maxFailureDomains]
	}
	domains := make([]clusterv1.FailureDomain, len(names))
	for i, name := range names {
		// Control planes do not run on hosts.
		domains[i] = clusterv1.FailureDomain{Name: name, ControlPlane: ptr.To(false)}
	}
	s.tc.Status.FailureDomains = domains
	s.set(teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "%s", message)
	s.requeue = hostsInterval
	return nil
}

func (s *scope) set(kind string, status metav1.ConditionStatus, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	meta.SetStatusCondition(&s.tc.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.tc.Generation,
		LastTransitionTime: metav1.NewTime(s.Clock.Now()),
	})
}

// patchStatus writes the status once, if it changed.
func (s *scope) patchStatus(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(s.before.Status, s.tc.Status) {
		return nil
	}
	if err := s.Client.Status().Patch(ctx, s.tc, client.MergeFrom(s.before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of TenantCluster %s/%s: %w", s.tc.Namespace, s.tc.Name, err)
	}
	return nil
}
