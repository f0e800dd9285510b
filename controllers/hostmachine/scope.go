package hostmachine

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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// patience is how long a machine may wait for what Cluster API does before a person should look:
// several times what a control plane takes to start.
const patience = 10 * time.Minute

// scope is one reconcile of one machine: the object, and what was found out.
type scope struct {
	*Reconciler
	hm     *teapotv1.HostMachine
	before *teapotv1.HostMachine
	now    time.Time

	// machine, cluster and claim are nil while there are none.
	machine *clusterv1.Machine
	cluster *clusterv1.Cluster
	claim   *teapotv1.MachineClaim

	// requeue is after how long the machine is looked at again; 0: when something changes.
	requeue time.Duration
}

// errWaiting ends the steps without being a failure: Ready says what is waited for.
var errWaiting = errors.New("waiting")

// errStale ends a reconcile that began with a read that is behind: the object has changed since,
// or is gone, and the watch brings it back if it is not.
var errStale = errors.New("stale")

// observe reads the Machine that owns the object, its Cluster, and the claim.
func (s *scope) observe(ctx context.Context) error {
	if name := clusterapi.OwnerName(s.hm, "Machine"); name != "" {
		machine := &clusterv1.Machine{}
		found, err := s.find(ctx, s.Client, name, machine)
		if err != nil {
			return err
		}
		// An owner reference is a field of metadata, which whoever may write the object may write.
		// The chart's admission policy guards it; the Machine's own word does where that is off.
		if found && refersTo(machine, s.hm) {
			s.machine = machine
		}
	}
	if name := s.clusterName(); name != "" {
		cluster := &clusterv1.Cluster{}
		found, err := s.find(ctx, s.Client, name, cluster)
		if err != nil {
			return err
		}
		if found {
			s.cluster = cluster
		}
	}
	return s.findClaim(ctx, s.Client)
}

// refersTo says whether a Machine names the HostMachine as its infrastructure.
func refersTo(machine *clusterv1.Machine, hm *teapotv1.HostMachine) bool {
	reference := machine.Spec.InfrastructureRef
	return reference.APIGroup == teapotv1.GroupVersion.Group && reference.Kind == "HostMachine" && reference.Name == hm.Name
}

func (s *scope) clusterName() string {
	if s.machine != nil {
		return s.machine.Spec.ClusterName
	}
	return s.hm.Labels[clusterv1.ClusterNameLabel]
}

func (s *scope) findClaim(ctx context.Context, from client.Reader) error {
	claim := &teapotv1.MachineClaim{}
	found, err := s.find(ctx, from, s.hm.Name, claim)
	s.claim = nil
	if found {
		s.claim = claim
	}
	return err
}

// find reads an object of the machine's namespace, and says whether there is one.
func (s *scope) find(ctx context.Context, from client.Reader, name string, object client.Object) (bool, error) {
	key := types.NamespacedName{Namespace: s.hm.Namespace, Name: name}
	err := from.Get(ctx, key, object)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading %T %s for HostMachine %s: %w", object, key, s.hm.Name, err)
	}
	return err == nil, nil
}

// paused says whether Cluster API wants the machine to be left alone.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine#inframachine-pausing
func (s *scope) paused() bool {
	return clusterapi.Paused(s.cluster, s.hm)
}

func (s *scope) setPaused() {
	if s.paused() {
		s.set(teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused,
			"Cluster %s has spec.paused, or this object the annotation %s: nothing is changed, what runs goes on running", s.clusterName(), clusterv1.PausedAnnotation)
		return
	}
	s.set(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
}

// provisioned says whether the machine has run its image at some time. Cluster API keeps that in
// the Machine's spec, which outlives a status.
func (s *scope) provisioned() bool {
	return ptr.Deref(s.hm.Status.Initialization.Provisioned, false) ||
		s.machine != nil && s.machine.Spec.ProviderID != "" && s.machine.Spec.ProviderID == s.hm.Spec.ProviderID
}

func (s *scope) set(kind string, status metav1.ConditionStatus, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	meta.SetStatusCondition(&s.hm.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: s.hm.Generation,
		LastTransitionTime: metav1.NewTime(s.now),
	})
}

// wait says what is waited for before there is a claim, and ends the steps.
func (s *scope) wait(reason, format string, args ...any) error {
	s.set(teapotv1.ReadyCondition, notReady(s.provisioned(), false), reason, format, args...)
	return errWaiting
}

// conclude turns the end of the steps into conditions and a result.
func (s *scope) conclude(ctx context.Context, failure error) (ctrl.Result, error) {
	if errors.Is(failure, errStale) {
		return ctrl.Result{}, nil
	}
	if errors.Is(failure, errWaiting) {
		failure = nil
	}
	if failure != nil {
		s.set(teapotv1.ReadyCondition, notReady(s.provisioned(), false), teapotv1.ReasonReconcileFailed, "%v", failure)
	} else {
		s.hm.Status.ObservedGeneration = s.hm.Generation
	}
	s.setPaused()
	s.setStalled()
	s.tell()
	if failure = errors.Join(failure, s.patchStatus(ctx)); failure != nil {
		return ctrl.Result{}, failure
	}
	return ctrl.Result{RequeueAfter: s.requeue}, nil
}

// setStalled says whether a person must act: the claim says so, or Cluster API takes too long.
func (s *scope) setStalled() {
	if s.claim != nil {
		if stalled := meta.FindStatusCondition(s.claim.Status.Conditions, teapotv1.StalledCondition); stalled != nil && stalled.Status == metav1.ConditionTrue {
			s.set(teapotv1.StalledCondition, stalled.Status, stalled.Reason, "%s: %s", s.claimRef(), stalled.Message)
			return
		}
	}
	ready := meta.FindStatusCondition(s.hm.Status.Conditions, teapotv1.ReadyCondition)
	switch {
	case ready.Reason == teapotv1.ReasonAsleep:
	case ready.Status == metav1.ConditionTrue || s.claim != nil && s.ours(s.claim):
		// What a claim waits for has deadlines of the claim's.
	case s.claim != nil, ready.Reason == teapotv1.ReasonHostLost:
		s.set(teapotv1.StalledCondition, metav1.ConditionTrue, ready.Reason, "%s", ready.Message)
		return
	default:
		since := ready.LastTransitionTime.Time
		if late := s.now.Sub(since); late < patience {
			s.requeueAfter(patience - late)
			break
		}
		s.set(teapotv1.StalledCondition, metav1.ConditionTrue, ready.Reason, "the machine is not Ready since %s, longer than the %s that it may wait for: %s",
			since.UTC().Format(time.RFC3339), patience, ready.Message)
		return
	}
	s.set(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, "")
}

func (s *scope) requeueAfter(d time.Duration) {
	if s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// tell tells by an event that the machine became Ready, is not Ready any more, or needs a person.
func (s *scope) tell() {
	changed := func(kind string) (*metav1.Condition, bool) {
		was := meta.FindStatusCondition(s.before.Status.Conditions, kind)
		is := meta.FindStatusCondition(s.hm.Status.Conditions, kind)
		return is, was == nil || was.Status != is.Status
	}
	ready, readyChanged := changed(teapotv1.ReadyCondition)
	stalled, stalledChanged := changed(teapotv1.StalledCondition)
	switch {
	case stalledChanged && stalled.Status == metav1.ConditionTrue:
		s.Recorder.Eventf(s.hm, nil, corev1.EventTypeWarning, stalled.Reason, "Reconcile", "%s", stalled.Message)
	case readyChanged && (ready.Status == metav1.ConditionTrue || ready.Reason == teapotv1.ReasonAsleep):
		s.Recorder.Eventf(s.hm, nil, corev1.EventTypeNormal, ready.Reason, "Reconcile", "%s", ready.Message)
	case readyChanged && ready.Status == metav1.ConditionFalse:
		s.Recorder.Eventf(s.hm, nil, corev1.EventTypeWarning, ready.Reason, "Reconcile", "%s", ready.Message)
	}
}

// patchStatus writes the status once, if it changed.
func (s *scope) patchStatus(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(s.before.Status, s.hm.Status) {
		return nil
	}
	if err := s.Client.Status().Patch(ctx, s.hm, client.MergeFrom(s.before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of HostMachine %s/%s: %w", s.hm.Namespace, s.hm.Name, err)
	}
	return nil
}

// patch writes a change of the object's metadata or spec. The lock makes one that was decided on a
// stale read fail.
func (s *scope) patch(ctx context.Context, what string, change func()) error {
	status := s.hm.Status
	before := s.hm.DeepCopy()
	change()
	err := s.Client.Patch(ctx, s.hm, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("%s of HostMachine %s/%s: %w", what, s.hm.Namespace, s.hm.Name, err)
	}
	// The answer holds the status of before this reconcile.
	s.hm.Status = status
	s.before.ObjectMeta, s.before.Spec = *s.hm.ObjectMeta.DeepCopy(), s.hm.Spec
	return nil
}
