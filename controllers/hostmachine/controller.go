// Package hostmachine reconciles HostMachines, Cluster API's InfraMachine contract, version
// v1beta2, and the status of their templates.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine
//
// A HostMachine gets its provider id, then the meta data that carries it, then a MachineClaim of
// the same name, whose state it shows. Deleting it deletes the claim, and waits for that alone:
// the tenant's API server is asked nothing. While the control plane sleeps the machine is switched off, or
// given back at once (hibernation.go).
package hostmachine

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
)

// Tokens removes bootstrap tokens inside the tenants' clusters. *tenant.Registry does.
type Tokens interface {
	// RemoveToken asks for the Secret of a bootstrap token, in the namespace kube-system of a
	// control plane's cluster, to be deleted, and says whether it is gone. It returns at once: if
	// it is not gone, why says what is waited for, and the caller asks again.
	RemoveToken(controlPlane types.NamespacedName, secret string) (gone bool, why string)
}

// Reconciler reconciles HostMachines.
type Reconciler struct {
	// Client reads from the manager's cache: HostMachines, MachineClaims, Machines, Clusters, and
	// Secrets with the label of Teapot's.
	Client client.Client
	// Live reads from the API server, for decisions that a stale cache must not make.
	Live     client.Reader
	Tokens   Tokens
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// NewID makes the ids of new machines: lower-case letters, digits and '-', never the same
	// again, anywhere (uuid.NewString).
	NewID func() string
}

// SetupWithManager registers the controller and what it watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("hostmachine").
		WithOptions(options).
		For(&teapotv1.HostMachine{}).
		Owns(&teapotv1.MachineClaim{}).
		Owns(&corev1.Secret{}).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(toHostMachine)).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster),
			builder.WithPredicates(tenantcluster.ClusterChanges())).
		Complete(r)
}

// toHostMachine finds the HostMachine that a Machine refers to.
func toHostMachine(_ context.Context, object client.Object) []reconcile.Request {
	reference := object.(*clusterv1.Machine).Spec.InfrastructureRef
	if reference.APIGroup != teapotv1.GroupVersion.Group || reference.Kind != "HostMachine" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: reference.Name}}}
}

// ofCluster finds the HostMachines of a Cluster.
func (r *Reconciler) ofCluster(ctx context.Context, object client.Object) []reconcile.Request {
	list := &teapotv1.HostMachineList{}
	err := r.Client.List(ctx, list, client.InNamespace(object.GetNamespace()),
		client.MatchingLabels{clusterv1.ClusterNameLabel: object.GetName()})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the HostMachines of a Cluster", "cluster", client.ObjectKeyFromObject(object))
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// Reconcile brings one machine nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	hm := &teapotv1.HostMachine{}
	if err := r.Client.Get(ctx, request.NamespacedName, hm); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading HostMachine %s: %w", request.NamespacedName, err)
	}
	s := &scope{Reconciler: r, hm: hm, before: hm.DeepCopy(), now: r.Clock.Now()}
	if err := s.observe(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if s.paused() {
		s.setPaused()
		if err := s.letMove(ctx); err != nil && !errors.Is(err, errStale) {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, s.patchStatus(ctx)
	}
	if !hm.DeletionTimestamp.IsZero() {
		return s.delete(ctx)
	}

	var failure error
	for _, step := range []func(context.Context) error{
		s.waitForMachine,
		s.begin,
		s.cancel,
		s.waitForBootstrapData,
		s.ensureMetaData,
		s.ensureClaim,
		s.setPower,
		s.showClaim,
		s.letMove,
		s.skipDrain,
		s.removeToken,
	} {
		if failure = step(ctx); failure != nil {
			break
		}
	}
	return s.conclude(ctx, failure)
}
