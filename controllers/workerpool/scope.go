package workerpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	"github.com/teapot-cloud/teapot/workers/pool"
)

// scope is one reconcile of one pool: the object, and what was found out.
type scope struct {
	*Reconciler
	pool   *teapotv1.WorkerPool
	before *teapotv1.WorkerPool
	now    time.Time

	// missing is a kind of Cluster API's that is not installed, or "".
	missing string
	// hibernation is what is to become of the machines of a control plane that sleeps; empty: it is awake.
	hibernation teapotv1.HibernatedWorkers
	// controlPlane and machineDeployment are nil while there are none, and machineDeployment, too,
	// while one of its name is somebody else's.
	controlPlane      *teapotv1.TenantControlPlane
	machineDeployment *clusterv1.MachineDeployment
	// naming are the Clusters that name the control plane, and cluster is the one that counts.
	naming   []clusterv1.Cluster
	cluster  *clusterv1.Cluster
	machines []clusterv1.Machine

	input     pool.Input
	templates pool.Templates

	// requeue is after how long the pool is looked at again; 0: when something changes.
	requeue time.Duration
}

// errStale ends a reconcile that began with a read that is behind. The watch brings the object back.
var errStale = errors.New("stale")

// stalePatience is after how long a pool is looked at again whose reads were behind, in case that
// what they lacked brings nothing back.
const stalePatience = time.Second

// observe reads what the pool depends on, and what became of it.
func (s *scope) observe(ctx context.Context) error {
	controlPlane := &teapotv1.TenantControlPlane{}
	found, err := s.find(ctx, s.Client, s.pool.Spec.ControlPlaneName, controlPlane)
	if err != nil {
		return err
	}
	if found {
		s.controlPlane = controlPlane
	}
	if s.missing != "" {
		return nil
	}
	clusters := &clusterv1.ClusterList{}
	err = s.list(ctx, s.Client, clusters, client.InNamespace(s.pool.Namespace), client.MatchingFields{clustersIndex: s.pool.Spec.ControlPlaneName})
	if err != nil {
		return err
	}
	s.naming = clusters.Items
	s.hibernation, _ = clusterapi.Hibernating(s.theCluster())
	md := &clusterv1.MachineDeployment{}
	if found, err = s.find(ctx, s.Client, s.pool.Name, md); err != nil {
		return err
	}
	if found && s.owns(md) {
		s.machineDeployment = md
	}
	machines := &clusterv1.MachineList{}
	if err := s.list(ctx, s.Client, machines, s.machinesOf()...); err != nil {
		return err
	}
	s.machines = machines.Items
	return nil
}

// find reads an object of the pool's namespace, and says whether there is one. A kind that is not
// installed has none.
func (s *scope) find(ctx context.Context, from client.Reader, name string, object client.Object) (bool, error) {
	key := types.NamespacedName{Namespace: s.pool.Namespace, Name: name}
	switch err := from.Get(ctx, key, object); {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading %T %s for %s: %w", object, key, s.name(), err)
	}
	return true, nil
}

// list lists objects. A kind that is not installed has none.
func (s *scope) list(ctx context.Context, from client.Reader, list client.ObjectList, which ...client.ListOption) error {
	err := from.List(ctx, list, which...)
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return fmt.Errorf("listing %T for %s: %w", list, s.name(), err)
	}
	return nil
}

// machinesOf selects the pool's Machines and HostMachines: those that its MachineDeployment made. A
// copy of that, with its labels, makes others.
func (s *scope) machinesOf() []client.ListOption {
	return []client.ListOption{client.InNamespace(s.pool.Namespace), client.MatchingLabels{
		teapotv1.PoolLabel: s.pool.Name, clusterv1.MachineDeploymentNameLabel: s.pool.Name,
	}}
}

// ours selects what is labelled as the pool's.
func (s *scope) ours() []client.ListOption {
	return []client.ListOption{client.InNamespace(s.pool.Namespace), client.MatchingLabels{teapotv1.PoolLabel: s.pool.Name}}
}

// owns says whether an object was made for this pool.
func (s *scope) owns(object client.Object) bool { return metav1.IsControlledBy(object, s.pool) }

func (s *scope) name() string { return "WorkerPool " + s.pool.Namespace + "/" + s.pool.Name }

// pausedBy says why nothing is to be changed: one of the API's reasons, or "".
func (s *scope) pausedBy() string {
	if s.pool.Spec.Paused {
		return teapotv1.ReasonPaused
	}
	if annotations.HasPaused(s.pool) {
		return teapotv1.ReasonClusterPaused
	}
	if s.clusterPaused() {
		return teapotv1.ReasonClusterPaused
	}
	return ""
}

func (s *scope) clusterPaused() bool {
	return slices.ContainsFunc(s.naming, func(cluster clusterv1.Cluster) bool { return clusterapi.ClusterPaused(&cluster) })
}

func (s *scope) requeueAfter(d time.Duration) {
	if d > 0 && (s.requeue == 0 || d < s.requeue) {
		s.requeue = d
	}
}

func (s *scope) observed(failure error) pool.Observed {
	return pool.Observed{
		Pool: s.pool, MachineDeployment: s.machineDeployment, Machines: s.machines, Hibernation: s.hibernation, Failure: failure, Now: s.now,
	}
}

// conclude turns the end of the steps into conditions and a result.
func (s *scope) conclude(ctx context.Context, failure error) (ctrl.Result, error) {
	if errors.Is(failure, errStale) {
		return ctrl.Result{RequeueAfter: stalePatience}, nil
	}
	if s.cluster != nil {
		s.pool.Status.ClusterName = s.cluster.Name
	}
	s.requeueAfter(s.observed(failure).Summarize())
	s.tell()
	refusal := &pool.Refusal{}
	if errors.As(failure, &refusal) {
		failure = nil
	}
	if failure = errors.Join(failure, s.patchStatus(ctx)); failure != nil {
		return ctrl.Result{}, failure
	}
	return ctrl.Result{RequeueAfter: s.requeue}, nil
}

// tell tells by an event that the pool became Ready, is not Ready any more, is refused, or needs a
// person.
func (s *scope) tell() {
	changed := func(kind string) (*metav1.Condition, bool) {
		was := meta.FindStatusCondition(s.before.Status.Conditions, kind)
		is := meta.FindStatusCondition(s.pool.Status.Conditions, kind)
		return is, is != nil && (was == nil || was.Status != is.Status)
	}
	stalled, stalledChanged := changed(teapotv1.StalledCondition)
	applied, appliedChanged := changed(teapotv1.AppliedCondition)
	ready, readyChanged := changed(teapotv1.ReadyCondition)
	switch {
	case stalledChanged && stalled.Status == metav1.ConditionTrue:
		s.event(corev1.EventTypeWarning, stalled.Reason, stalled.Message)
	case appliedChanged && applied.Status == metav1.ConditionFalse:
		s.event(corev1.EventTypeWarning, applied.Reason, applied.Message)
	case readyChanged && ready.Status == metav1.ConditionTrue:
		s.event(corev1.EventTypeNormal, ready.Reason, ready.Message)
	case readyChanged && ready.Reason == teapotv1.ReasonMachinesNotReady:
		s.event(corev1.EventTypeWarning, ready.Reason, ready.Message)
	}
}

func (s *scope) event(kind, reason, message string) {
	s.Recorder.Eventf(s.pool, nil, kind, reason, "Reconcile", "%s", message)
}

// eventAbout tells of an object. The recorder counts events that differ in their words alone as one:
// the object keeps them apart.
func (s *scope) eventAbout(object client.Object, kind, reason, message string) {
	s.Recorder.Eventf(s.pool, object, kind, reason, "Apply", "%s", message)
}

// patchStatus writes the status once, if it changed.
func (s *scope) patchStatus(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(s.before.Status, s.pool.Status) {
		return nil
	}
	if err := s.Client.Status().Patch(ctx, s.pool, client.MergeFrom(s.before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of %s: %w", s.name(), err)
	}
	return nil
}

// patch writes a change of the pool's metadata. The lock makes one that was decided on a stale read
// fail.
func (s *scope) patch(ctx context.Context, what string, change func()) error {
	status := s.pool.Status
	before := s.pool.DeepCopy()
	change()
	err := s.Client.Patch(ctx, s.pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, s.name(), err)
	}
	// The answer holds the status of before this reconcile.
	s.pool.Status = status
	s.before.ObjectMeta = *s.pool.ObjectMeta.DeepCopy()
	return nil
}
