package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/route"
)

const (
	// deleteGrace is how long the pods of a control plane that is deleted may take to end,
	// in seconds: nobody is served any more, so there is nothing to drain.
	deleteGrace = 1
	// deletePatience is after how long what is still there is a problem for a person to look
	// at.
	deletePatience = 2 * time.Minute
	// deletePoll is how often the namespace is looked at; a watch usually comes first.
	deletePoll = time.Second
	// deletingMessage is said from when nothing but the control plane itself is waited for.
	deletingMessage = "the control plane is being deleted"
)

// delete removes what belongs to the control plane and then lets go of it. It asks
// nothing of the tenant: an API server, a datastore or an endpoint that is gone cannot
// hold it up.
func (s *scope) delete(ctx context.Context) (ctrl.Result, error) {
	if !s.machinesReleased() {
		if released, err := s.releaseMachines(ctx); !released {
			return s.serveMachines(ctx, err)
		}
	}
	s.Tenants.Close(s.input.Owner)
	s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonDeleting, deletingMessage)

	done, err := s.deleteNamespace(ctx)
	if err != nil {
		reason := teapotv1.ReasonReconcileFailed
		if s.deletionIsLate() {
			reason = teapotv1.ReasonDeletionBlocked
		}
		s.setFalse(teapotv1.ReadyCondition, reason, "%v", err)
	}
	ready := meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.ReadyCondition)
	if ready.Reason != teapotv1.ReasonDeletionBlocked {
		ready = nil // going on
	}
	s.summarizeStalled(ready)
	if err != nil {
		return ctrl.Result{}, errors.Join(err, s.patchStatus(ctx))
	}
	if !done {
		return ctrl.Result{RequeueAfter: deletePoll}, s.patchStatus(ctx)
	}

	controllerutil.RemoveFinalizer(s.tcp, teapotv1.ControlPlaneFinalizer)
	patch := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, s.tcp, patch); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("removing the finalizer of TenantControlPlane %s: %w", s.input.Owner, err)
	}
	log.FromContext(ctx).Info("deleted control plane")
	return ctrl.Result{}, nil
}

// deleteNamespace deletes the control plane's own namespace, or empties it of all but the
// tenant's data, and reports whether that is done.
func (s *scope) deleteNamespace(ctx context.Context) (bool, error) {
	namespace := &corev1.Namespace{}
	err := s.Live.Get(ctx, types.NamespacedName{Name: s.input.Namespace()}, namespace)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("reading namespace %s: %w", s.input.Namespace(), err)
	case namespace.Annotations[teapotv1.ControlPlaneUIDAnnotation] != string(s.tcp.UID):
		// Somebody else's: passed by.
		return true, nil
	}
	if s.tcp.Spec.DeletionPolicy == teapotv1.DeletionPolicyRetain && namespace.DeletionTimestamp.IsZero() {
		return s.retain(ctx, namespace)
	}

	// The namespace first: in one that is terminating no controller can start new pods.
	if namespace.DeletionTimestamp.IsZero() {
		err := s.Client.Delete(ctx, namespace, client.Preconditions{UID: ptr.To(namespace.UID)})
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("deleting namespace %s: %w", namespace.Name, err)
		}
		log.FromContext(ctx).Info("deleting namespace", "namespace", namespace.Name)
	}
	if err := s.endPods(ctx); err != nil {
		return false, err
	}
	if since := namespace.DeletionTimestamp; since != nil && s.now.Sub(since.Time) > deletePatience {
		s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonDeletionBlocked,
			"namespace %s is still there %s after it was deleted: %s", namespace.Name, s.now.Sub(since.Time).Round(time.Minute), remaining(namespace))
	}
	return false, nil
}

// deletionIsLate says whether the deletion takes longer than it should.
func (s *scope) deletionIsLate() bool {
	return s.now.Sub(s.tcp.DeletionTimestamp.Time) > deletePatience
}

// remaining is what the namespace controller says is in the way.
func remaining(namespace *corev1.Namespace) string {
	var messages []string
	for _, condition := range namespace.Status.Conditions {
		if condition.Status == corev1.ConditionTrue {
			messages = append(messages, condition.Message)
		}
	}
	if len(messages) == 0 {
		return "its conditions say nothing; see kubectl get namespace " + namespace.Name + " -o yaml"
	}
	return strings.Join(messages, "; ")
}

// endPods shortens the time that pods have to end. Only pods that still have more than
// that are asked again, so that a repeated reconcile writes nothing.
func (s *scope) endPods(ctx context.Context) error {
	pods := &corev1.PodList{}
	if err := s.Live.List(ctx, pods, client.InNamespace(s.input.Namespace())); err != nil {
		return fmt.Errorf("listing the pods of namespace %s: %w", s.input.Namespace(), err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if grace := pod.DeletionGracePeriodSeconds; grace != nil && *grace <= deleteGrace {
			continue
		}
		err := s.Client.Delete(ctx, pod, client.GracePeriodSeconds(deleteGrace), client.Preconditions{UID: ptr.To(pod.UID)})
		if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

// retain deletes what runs and all that leads to it, and keeps etcd's volume claims and
// the authorities. The label is written last: it says that the namespace belongs to
// nobody any more.
func (s *scope) retain(ctx context.Context, namespace *corev1.Namespace) (bool, error) {
	own := client.InNamespace(namespace.Name)
	// etcd goes last: without it an API server waits for the requests that it still has until it
	// is killed, and what it writes at its end is data, too.
	if err := s.deleteAll(ctx, &appsv1.Deployment{}, &policyv1.PodDisruptionBudget{}); err != nil {
		return false, err
	}
	if left, err := s.podsLeft(ctx, client.MatchingLabels{teapotv1.ComponentLabel: controlplane.ControlPlaneName}); left || err != nil {
		return false, err
	}
	if err := s.deleteAll(ctx, &appsv1.StatefulSet{}, &corev1.Service{}); err != nil {
		return false, err
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: route.LeaseName}}
	if err := s.Client.Delete(ctx, lease); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("deleting Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	secrets := &corev1.SecretList{}
	if err := s.Live.List(ctx, secrets, own); err != nil {
		return false, fmt.Errorf("listing the Secrets of namespace %s: %w", namespace.Name, err)
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if secret.Name == controlplane.AuthoritiesName {
			if err := s.markRetained(ctx, secret); err != nil {
				return false, err
			}
			continue
		}
		if err := s.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("deleting Secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
	}
	claims := &corev1.PersistentVolumeClaimList{}
	if err := s.Live.List(ctx, claims, own); err != nil {
		return false, fmt.Errorf("listing the volume claims of namespace %s: %w", namespace.Name, err)
	}
	for i := range claims.Items {
		if err := s.markRetained(ctx, &claims.Items[i]); err != nil {
			return false, err
		}
	}
	if left, err := s.podsLeft(ctx); left || err != nil {
		return false, err
	}
	return true, s.markNamespaceRetained(ctx, namespace)
}

// deleteAll deletes Teapot's objects of some kinds in the control plane's own namespace.
func (s *scope) deleteAll(ctx context.Context, kinds ...client.Object) error {
	for _, kind := range kinds {
		err := s.Client.DeleteAllOf(ctx, kind, client.InNamespace(s.input.Namespace()),
			client.MatchingLabels{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot},
			client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil {
			return fmt.Errorf("deleting %T in namespace %s: %w", kind, s.input.Namespace(), err)
		}
	}
	return nil
}

// podsLeft says whether pods have not ended yet, and tells of it when they should have.
func (s *scope) podsLeft(ctx context.Context, which ...client.ListOption) (bool, error) {
	pods := &corev1.PodList{}
	if err := s.Live.List(ctx, pods, append(which, client.InNamespace(s.input.Namespace()), client.Limit(1))...); err != nil {
		return false, fmt.Errorf("listing the pods of namespace %s: %w", s.input.Namespace(), err)
	}
	if len(pods.Items) == 0 {
		return false, nil
	}
	if s.deletionIsLate() {
		s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonDeletionBlocked,
			"pod %s/%s has not ended yet, and its volume cannot be let go before; see kubectl describe pod, and delete the pod by force only if its node is gone for good", pods.Items[0].Namespace, pods.Items[0].Name)
	}
	return true, nil
}

// markNamespaceRetained labels the namespace and notes what of the spec its data depends on.
func (s *scope) markNamespaceRetained(ctx context.Context, namespace *corev1.Namespace) error {
	spec, err := controlplane.EncodeRetained(s.input)
	if err != nil {
		return err
	}
	return s.mark(ctx, namespace, map[string]string{teapotv1.RetainedSpecAnnotation: spec})
}

func (s *scope) markRetained(ctx context.Context, object client.Object) error {
	return s.mark(ctx, object, nil)
}

func (s *scope) mark(ctx context.Context, object client.Object, annotations map[string]string) error {
	if object.GetLabels()[teapotv1.RetainedLabel] != "" {
		return nil
	}
	before := object.DeepCopyObject().(client.Object)
	object.SetLabels(labels.Merge(object.GetLabels(), labels.Set{teapotv1.RetainedLabel: s.tcp.Name}))
	object.SetAnnotations(labels.Merge(object.GetAnnotations(), annotations))
	if err := s.Client.Patch(ctx, object, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager+"-retain")); err != nil {
		return fmt.Errorf("labelling %T %s as retained: %w", object, client.ObjectKeyFromObject(object), err)
	}
	return nil
}
