// Package machineclaim reconciles MachineClaims: it observes a claim and its host, asks the pure
// package workers/claim for the next step, does it, and so on until there is something to wait
// for, which it writes into the status once.
//
// A host is changed in host.go alone, and there only after a live read that shows that the claim
// holds it (or, to take it, that nobody does), with the resource version of that read.
package machineclaim

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/source"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

const (
	// maxSteps is how many steps one reconcile does: more than a life has between two waits.
	maxSteps = 10
	// conflictPause is after how long a claim is looked at again whose host, or whose own object,
	// somebody else changed in the same moment.
	conflictPause = 200 * time.Millisecond
)

// errOutdated ends a reconcile that was planned from what is not so any more.
var errOutdated = errors.New("what was planned from has changed")

// Reconciler reconciles MachineClaims.
type Reconciler struct {
	// Client reads from the manager's cache, in which hosts are trimmed by host.Transform.
	Client client.Client
	// Live reads from the API server, for decisions that a stale cache must not make.
	Live     client.Reader
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Hosts returns what is known of all hosts; the caller may change the slice. Default: what
	// the watch of SetupWithManager has seen.
	Hosts func(context.Context) ([]host.Host, error)

	reserved reservations
	waiting  line
}

// SetupWithManager registers the controller and what it watches. Metal3's kinds and Cluster must
// be installed.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	known := &roster{}
	if r.Hosts == nil {
		r.Hosts = known.all
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("machineclaim").
		WithOptions(options).
		// Changes of status, too: what a reconcile wrote while its cache was behind is looked at
		// again when the cache has caught up.
		For(&teapotv1.MachineClaim{}).
		WatchesRawSource(source.Kind(mgr.GetCache(), &host.Object{}, r.onHost(known))).
		Watches(&host.Policy{}, handler.EnqueueRequestsFromMapFunc(r.onPolicy)).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.onCluster)).
		Complete(r)
}

// Reconcile brings one claim on as far as it gets without waiting.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &teapotv1.MachineClaim{}
	if err := r.Client.Get(ctx, request.NamespacedName, object); err != nil {
		r.reserved.drop(request.NamespacedName)
		r.waiting.leave(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !object.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(object, teapotv1.MachineClaimFinalizer) {
		return ctrl.Result{}, nil
	}
	s := &scope{Reconciler: r, claim: object, before: object.DeepCopy(), now: r.Clock.Now()}
	paused, err := s.observePaused(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	var after time.Duration
	if !paused {
		after, err = s.advance(ctx)
	}
	if s.gone {
		return ctrl.Result{}, err
	}
	switch {
	case errors.Is(err, errOutdated), apierrors.IsConflict(err):
		after, err = conflictPause, nil
	case err != nil && !meta.IsStatusConditionTrue(object.Status.Conditions, teapotv1.ReadyCondition):
		// A call that failed says nothing of a machine that runs.
		s.setCondition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonReconcileFailed, err.Error())
	}
	return ctrl.Result{RequeueAfter: after}, errors.Join(err, s.patchStatus(ctx))
}

// scope is one reconcile of one claim.
type scope struct {
	*Reconciler
	claim  *teapotv1.MachineClaim
	before *teapotv1.MachineClaim
	now    time.Time

	// host is the host that the claim holds, or else the one that it names.
	host *host.Object
	// all are all hosts that are known, once they were looked at.
	all     []host.Host
	choice  *claim.Choice
	missing string
	// tenant is who the claim is to hosts that are kept for somebody, once that was read.
	tenant host.Tenant
	// confirmed says that the claim is known to be the API server's.
	confirmed bool
	// gone says that there is no claim any more.
	gone bool
}

// advance does one step after the other, and returns when to look again.
func (s *scope) advance(ctx context.Context) (time.Duration, error) {
	if err := s.observeHost(ctx); err != nil {
		return 0, err
	}
	for range maxSteps {
		plan := claim.Next(claim.Observed{
			Claim: s.claim, Host: s.host, Choice: s.choice, MissingSecret: s.missing, Now: s.now,
		})
		if plan.Step == claim.Wait {
			s.claim.Status = plan.Status
			s.summarizePaused("", "")
			s.tellEnd()
			return plan.After, nil
		}
		if err := s.do(ctx, plan); err != nil {
			return 0, err
		}
		if plan.Step != claim.Choose && (plan.Step != claim.Admit || s.choice != nil) && s.missing == "" {
			log.FromContext(ctx).Info(string(plan.Step), "host", plan.Host.String())
		}
		if plan.Event != nil {
			s.tell(*plan.Event)
		}
		if s.gone {
			return 0, nil
		}
	}
	return conflictPause, nil
}

// do does one step.
func (s *scope) do(ctx context.Context, plan claim.Plan) error {
	holder := host.HolderOf(s.claim)
	held := func(h *host.Host) bool { return h.HeldBy(holder) }
	switch plan.Step {
	case claim.Choose:
		return s.choose(ctx)
	case claim.Intend:
		return s.intend(ctx, plan.Host)
	case claim.Withdraw:
		return s.withdraw(ctx)
	case claim.Admit:
		return s.admit(ctx, plan.Host)
	case claim.Take:
		return s.take(ctx, plan.Host)
	case claim.Adopt:
		if err := s.knowTenant(ctx); err != nil {
			return err
		}
		return s.change(ctx, plan.Host, held, func(o *host.Object) { host.Take(o, holder, s.tenant.UID) })
	case claim.Note:
		return s.patchClaim(ctx, "noting that the host runs the image", func(c *teapotv1.MachineClaim) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, teapotv1.ProvisionedAnnotation, plan.Host.String())
		})
	case claim.Provision:
		return s.provision(ctx, plan.Host)
	case claim.SetPower:
		on := s.claim.Spec.PoweredOn == nil || *s.claim.Spec.PoweredOn
		return s.change(ctx, plan.Host, held, func(o *host.Object) { host.SetPower(o, on) })
	case claim.GiveUp:
		return s.patchClaim(ctx, "noting a host that failed", func(c *teapotv1.MachineClaim) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, teapotv1.FailedHostsAnnotation, claim.AddFailed(c, plan.Host))
		})
	case claim.Deprovision:
		return s.change(ctx, plan.Host, held, host.Deprovision)
	case claim.Free:
		return s.free(ctx, plan.Host)
	case claim.LetGo:
		return s.letGo(ctx)
	default:
		return fmt.Errorf("step %q of MachineClaim %s is not known", plan.Step, client.ObjectKeyFromObject(s.claim))
	}
}

// patchClaim changes the claim's metadata. The lock makes a change that was planned from a stale
// read fail.
func (s *scope) patchClaim(ctx context.Context, doing string, change func(*teapotv1.MachineClaim)) error {
	before := s.claim.DeepCopy()
	change(s.claim)
	status := s.claim.Status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, s.claim, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		before.DeepCopyInto(s.claim)
		if apierrors.IsNotFound(err) {
			s.gone = true
			return nil
		}
		return fmt.Errorf("%s on MachineClaim %s: %w", doing, client.ObjectKeyFromObject(s.claim), err)
	}
	s.before.ObjectMeta = *s.claim.ObjectMeta.DeepCopy()
	s.claim.Status = status
	s.confirmed = true
	return nil
}

// confirm makes sure that the claim asks for the host still: the cache may be behind what another
// manager, or this one, did.
func (s *scope) confirm(ctx context.Context) error {
	if s.confirmed {
		return nil
	}
	name := client.ObjectKeyFromObject(s.claim)
	now := &teapotv1.MachineClaim{}
	if err := s.Live.Get(ctx, name, now); err != nil {
		if apierrors.IsNotFound(err) {
			return errOutdated
		}
		return fmt.Errorf("reading MachineClaim %s: %w", name, err)
	}
	same := func(annotation string) bool { return now.Annotations[annotation] == s.claim.Annotations[annotation] }
	if now.UID != s.claim.UID || !now.DeletionTimestamp.Equal(s.claim.DeletionTimestamp) ||
		!same(teapotv1.HostAnnotation) || !same(teapotv1.AdmittedAnnotation) || !same(teapotv1.FailedHostsAnnotation) {
		return errOutdated
	}
	s.confirmed = true
	return nil
}

// letGo removes the finalizer.
func (s *scope) letGo(ctx context.Context) error {
	if err := s.patchClaim(ctx, "removing the finalizer", func(c *teapotv1.MachineClaim) {
		controllerutil.RemoveFinalizer(c, teapotv1.MachineClaimFinalizer)
	}); err != nil {
		return err
	}
	s.gone = true
	s.reserved.drop(client.ObjectKeyFromObject(s.claim))
	s.waiting.leave(client.ObjectKeyFromObject(s.claim))
	return nil
}

// patchStatus writes the status once, if it changed.
func (s *scope) patchStatus(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(s.before.Status, s.claim.Status) {
		return nil
	}
	if err := s.Client.Status().Patch(ctx, s.claim, client.MergeFrom(s.before)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status of MachineClaim %s: %w", client.ObjectKeyFromObject(s.claim), err))
	}
	return nil
}

func (s *scope) setCondition(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&s.claim.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.claim.Generation, LastTransitionTime: metav1.NewTime(s.now),
	})
}

func (s *scope) tell(event claim.Event) {
	kind := corev1.EventTypeNormal
	if event.Warning {
		kind = corev1.EventTypeWarning
	}
	s.Recorder.Eventf(s.claim, nil, kind, event.Reason, "Reconcile", "%s", event.Message)
}

// tellEnd tells of a change of Ready, and of a claim that begins to need a person.
func (s *scope) tellEnd() {
	was := meta.IsStatusConditionTrue(s.before.Status.Conditions, teapotv1.ReadyCondition)
	ready := meta.FindStatusCondition(s.claim.Status.Conditions, teapotv1.ReadyCondition)
	switch is := ready.Status == metav1.ConditionTrue; {
	case is != was:
		s.tell(claim.Event{Warning: was && ready.Reason != teapotv1.ReasonProgressing, Reason: ready.Reason, Message: ready.Message})
	case !meta.IsStatusConditionTrue(s.before.Status.Conditions, teapotv1.StalledCondition) &&
		meta.IsStatusConditionTrue(s.claim.Status.Conditions, teapotv1.StalledCondition):
		s.tell(claim.Event{Warning: true, Reason: ready.Reason, Message: ready.Message})
	}
}
