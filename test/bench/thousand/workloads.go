package thousand

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// workloads stands for all that runs pods: the controllers of Deployments and StatefulSets,
// the scheduler, kubelets and kube-proxy. It makes no pods: every replica that is wanted is
// reported ready at once, and a control plane's node port answers from then on (tenants.go).
type workloads struct {
	client  client.Client
	live    client.Reader
	tenants *tenantAPIs
}

func (w *workloads) setUp(mgr ctrl.Manager) error {
	if err := ctrl.NewControllerManagedBy(mgr).For(&appsv1.Deployment{}).Complete(reconcilerFunc(w.deployment)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).For(&appsv1.StatefulSet{}).Complete(reconcilerFunc(w.statefulSet))
}

type reconcilerFunc func(context.Context, types.NamespacedName) error

// Reconcile makes the function a reconciler.
func (f reconcilerFunc) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return ctrl.Result{}, f(ctx, request.NamespacedName)
}

func (w *workloads) deployment(ctx context.Context, key types.NamespacedName) error {
	deployment := &appsv1.Deployment{}
	if err := w.client.Get(ctx, key, deployment); err != nil {
		return client.IgnoreNotFound(err)
	}
	if deployment.Name == controlplane.ControlPlaneName {
		if err := w.serve(ctx, deployment); err != nil {
			return err
		}
	}
	replicas := ptr.Deref(deployment.Spec.Replicas, 1)
	ready := appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation, Replicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	if apiequality.Semantic.DeepEqual(deployment.Status, ready) {
		return nil
	}
	deployment.Status = ready
	return w.client.Status().Update(ctx, deployment)
}

func (w *workloads) statefulSet(ctx context.Context, key types.NamespacedName) error {
	set := &appsv1.StatefulSet{}
	if err := w.client.Get(ctx, key, set); err != nil {
		return client.IgnoreNotFound(err)
	}
	replicas := ptr.Deref(set.Spec.Replicas, 1)
	ready := appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: replicas, CurrentReplicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	if apiequality.Semantic.DeepEqual(set.Status, ready) {
		return nil
	}
	set.Status = ready
	return w.client.Status().Update(ctx, set)
}

// serve lets the tenant's API answer by what its pods would mount and its Service's port.
func (w *workloads) serve(ctx context.Context, deployment *appsv1.Deployment) error {
	files, service := &corev1.Secret{}, &corev1.Service{}
	for _, object := range []client.Object{files, service} {
		if err := w.live.Get(ctx, client.ObjectKeyFromObject(deployment), object); err != nil {
			return fmt.Errorf("reading what control plane %s is served by: %w", deployment.Namespace, err)
		}
	}
	owner := types.NamespacedName{
		Namespace: deployment.Labels[teapotv1.ControlPlaneNamespaceLabel],
		Name:      deployment.Labels[teapotv1.ControlPlaneNameLabel],
	}
	return w.tenants.serve(owner, service.Spec.Ports[0].NodePort, files)
}
