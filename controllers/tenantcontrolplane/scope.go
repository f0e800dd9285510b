package tenantcontrolplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/sync/errgroup"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// scope is one reconcile of one control plane: the object, what the steps found out,
// and what the planner is given.
type scope struct {
	*Reconciler
	tcp    *teapotv1.TenantControlPlane
	before *teapotv1.TenantControlPlane
	// paused says that nothing is to be changed, and pausedBy why: one of the API's reasons.
	paused   bool
	pausedBy string
	// inCluster says that a Cluster of Cluster API owns the control plane.
	inCluster bool
	input     controlplane.Input
	now       time.Time

	service     *corev1.Service
	statefulSet *appsv1.StatefulSet
	deployment  *appsv1.Deployment
	observation tenant.Observation
	// running is what ran before this reconcile; without a name, nothing.
	running struct {
		deployment  appsv1.Deployment
		statefulSet appsv1.StatefulSet
	}
	// chores are what the tenant is asked for beside its content, and answers what became of that.
	chores  tenant.Chores
	answers tenant.Answers
	// sleep is what is known of hibernation.
	sleep sleep
	// cluster is the control plane's Cluster; nil if there is none.
	cluster *clusterv1.Cluster
	// noGateway is why users cannot come through the gateway.
	noGateway string
	wanted    *tenant.Content

	// gone says that the object was not there any more when its status was to be written.
	gone bool

	// behind says that the object was changed since it was read.
	behind bool

	// requeue is the shortest time after which a step wants to be run again.
	requeue time.Duration
}

func (r *Reconciler) newScope(tcp *teapotv1.TenantControlPlane) *scope {
	owner := types.NamespacedName{Namespace: tcp.Namespace, Name: tcp.Name}
	cluster := clusterapi.OwnerName(tcp, clusterv1.ClusterKind)
	inCluster := cluster != ""
	s := &scope{
		Reconciler: r,
		tcp:        tcp,
		before:     tcp.DeepCopy(),
		now:        r.Clock.Now(),
		inCluster:  inCluster,
		input: controlplane.Input{
			Owner:       owner,
			UID:         tcp.UID,
			ClusterName: cmp.Or(cluster, tcp.Name),
			Spec:        tcp.Spec,
			Settings:    r.Settings,
		},
	}
	if tcp.Spec.Paused {
		s.paused, s.pausedBy = true, teapotv1.ReasonPaused
	}
	return s
}

func (s *scope) requeueAfter(d time.Duration) {
	if s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// apply applies objects side by side. While the control plane is paused it only reads. What
// somebody else changed or deleted is told of by an event.
func (s *scope) apply(ctx context.Context, force bool, objects ...client.Object) error {
	applier := apply.Applier{Client: s.Client, ReadOnly: s.paused}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, object := range objects {
		group.Go(func() error {
			name := kindAndName(object.GetObjectKind().GroupVersionKind().Kind, client.ObjectKeyFromObject(object))
			outcome, err := applier.Apply(ctx, object, apply.Options{Force: force})
			switch {
			case err != nil:
				return err
			case outcome == apply.Missing && holdsFacts(object):
				return waiting{}
			case outcome == apply.Repaired:
				s.tellRepair(object, "was changed by somebody else and is as it was: %s", name)
			case outcome == apply.Made && s.established():
				s.tellRepair(object, "was deleted by somebody else, or lost the label %s, and is as it was: %s", teapotv1.ManagedByLabel, name)
			}
			return nil
		})
	}
	return group.Wait()
}

// holdsFacts says of an object that, while it is missing, nothing can be planned that depends on
// it: an address or a key.
func holdsFacts(object client.Object) bool {
	switch object.(type) {
	case *corev1.Service, *corev1.Secret:
		return true
	default:
		return false
	}
}

// established says that everything the spec asks for was made before.
func (s *scope) established() bool {
	return s.before.Status.ObservedGeneration == s.tcp.Generation && s.initialized()
}

// initialized says that the API has answered before.
func (s *scope) initialized() bool {
	return ptr.Deref(s.before.Status.Initialization.ControlPlaneInitialized, false)
}

// tellRepair tells of an object of the management cluster, or of a reference to one inside the
// tenant's. The recorder counts events that differ in their words alone as one: the object
// keeps them apart.
func (s *scope) tellRepair(object runtime.Object, format string, args ...any) {
	s.Recorder.Eventf(s.tcp, object, corev1.EventTypeWarning, teapotv1.ReasonRepaired, "Repair", format, args...)
}

func kindAndName(kind string, name types.NamespacedName) string {
	return kind + " " + strings.TrimPrefix(name.String(), "/")
}

// set writes a condition. The message of one that has not changed otherwise is kept only
// if it is the same, and then the API server is not written to.
func (s *scope) set(kind string, status metav1.ConditionStatus, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	meta.SetStatusCondition(&s.tcp.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.tcp.Generation,
		LastTransitionTime: metav1.NewTime(s.now),
	})
}

func (s *scope) setTrue(kind, format string, args ...any) {
	s.set(kind, metav1.ConditionTrue, teapotv1.ReasonReady, format, args...)
}

func (s *scope) setFalse(kind, reason, format string, args ...any) {
	s.set(kind, metav1.ConditionFalse, reason, format, args...)
}

// patchStatus writes the status once, if it changed, or learns that there is no object any more. A patch
// against a read of before another write would mix fields of both: replicas of one moment and versions
// of another. Then nothing is written, and the reconcile is to be repeated.
func (s *scope) patchStatus(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(s.before.Status, s.tcp.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, s.tcp, patch); err != nil {
		if apierrors.IsConflict(err) {
			s.behind = true
			return nil
		}
		s.gone = apierrors.IsNotFound(err)
		return client.IgnoreNotFound(fmt.Errorf("writing the status of TenantControlPlane %s: %w", s.input.Owner, err))
	}
	return nil
}

// conclude turns the end of the steps into conditions and a result.
func (s *scope) conclude(failure error) (ctrl.Result, error) {
	var wait waiting
	if errors.As(failure, &wait) {
		failure = nil
		if wait.after > 0 {
			s.requeueAfter(wait.after)
		}
	}
	s.summarize(failure)
	return ctrl.Result{RequeueAfter: s.requeue}, failure
}
