package hostmachine

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// hibernation is what is to become of the machine while its control plane sleeps; empty: it is awake, or
// is back and the machine is to run.
func (s *scope) hibernation() teapotv1.HibernatedWorkers {
	if mode, _ := clusterapi.Hibernating(s.cluster); mode != clusterapi.Waking {
		return mode
	}
	return ""
}

func (s *scope) joined() bool { return s.machine != nil && s.machine.Status.NodeRef.IsDefined() }

func (s *scope) controlPlaneName() string { return clusterapi.ControlPlaneOf(s.cluster) }

// cancel gives back the host of a machine that has not joined when its control plane goes to sleep, whatever
// the mode, and takes none for it: it could not join, and hosts that wait are held for nothing. What had
// begun is replaced when the control plane is awake again.
func (s *scope) cancel(ctx context.Context) error {
	cancelled := metav1.HasAnnotation(s.hm.ObjectMeta, teapotv1.CancelledAnnotation)
	switch {
	case s.machine == nil || s.cluster == nil:
		return nil
	case s.hibernation() == "" && cancelled:
		return s.replace(ctx)
	case s.hibernation() == "" || s.joined():
		return nil
	}
	begun := s.claim != nil || ptr.Deref(s.machine.Spec.Bootstrap.DataSecretName, "") != ""
	if begun && !cancelled {
		if err := s.confirmHibernation(ctx); err != nil {
			return err
		}
		if err := s.patch(ctx, "writing the annotation "+teapotv1.CancelledAnnotation, func() {
			metav1.SetMetaDataAnnotation(&s.hm.ObjectMeta, teapotv1.CancelledAnnotation, "")
		}); err != nil {
			return err
		}
		log.FromContext(ctx).Info("the machine is cancelled, since the control plane sleeps and it has not joined")
	}
	if s.claim != nil && s.ours(s.claim) && s.claim.DeletionTimestamp.IsZero() {
		if err := s.giveBack(ctx); err != nil {
			return err
		}
	}
	return s.wait(teapotv1.ReasonAsleep, "TenantControlPlane %s sleeps: no host is held for a machine that has not joined", s.controlPlaneName())
}

// replace has Cluster API make another machine in place of one that was cancelled, unless it joined after
// all.
func (s *scope) replace(ctx context.Context) error {
	why := fmt.Sprintf("the host was given back when TenantControlPlane %s went to sleep before the machine had joined", s.controlPlaneName())
	switch {
	case s.joined() && s.claim != nil && s.ours(s.claim) && s.claim.DeletionTimestamp.IsZero():
		return s.patch(ctx, "removing the annotation "+teapotv1.CancelledAnnotation, func() { delete(s.hm.Annotations, teapotv1.CancelledAnnotation) })
	case metav1.GetControllerOf(s.machine) == nil:
		return s.wait(teapotv1.ReasonHostLost, "%s, and nothing that made Machine %s makes another: delete it, and make one", why, s.machine.Name)
	case s.machine.DeletionTimestamp.IsZero():
		err := s.Client.Delete(ctx, s.machine, client.Preconditions{UID: ptr.To(s.machine.UID)})
		if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting Machine %s/%s, which was cancelled: %w", s.machine.Namespace, s.machine.Name, err)
		}
		log.FromContext(ctx).Info("deleting the Machine, so that its owner makes another", "machine", s.machine.Name)
	}
	return s.wait(teapotv1.ReasonDeleting, "%s; another machine is made", why)
}

// setPower has the host of a machine that has joined switched off while its control plane sleeps, if that is
// asked for, and on when it is back. A claim that somebody else switched off stays so.
func (s *scope) setPower(ctx context.Context) error {
	if !s.ours(s.claim) || !s.claim.DeletionTimestamp.IsZero() {
		return nil
	}
	byUs := metav1.HasAnnotation(s.claim.ObjectMeta, teapotv1.HibernationAnnotation)
	switch mode := s.hibernation(); {
	case mode == teapotv1.HibernatedWorkersPowerOff && s.joined() && ptr.Deref(s.claim.Spec.PoweredOn, true):
		if err := s.confirmHibernation(ctx); err != nil {
			return err
		}
		return s.patchPower(ctx, false)
	case (mode == "" || mode == teapotv1.HibernatedWorkersKeep) && byUs:
		return s.patchPower(ctx, true)
	}
	return nil
}

func (s *scope) patchPower(ctx context.Context, on bool) error {
	before := s.claim.DeepCopy()
	s.claim.Spec.PoweredOn = &on
	if on {
		delete(s.claim.Annotations, teapotv1.HibernationAnnotation)
	} else {
		metav1.SetMetaDataAnnotation(&s.claim.ObjectMeta, teapotv1.HibernationAnnotation, string(teapotv1.HibernatedWorkersPowerOff))
	}
	err := s.Client.Patch(ctx, s.claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("writing spec.poweredOn of MachineClaim %s/%s: %w", s.claim.Namespace, s.claim.Name, err)
	}
	log.FromContext(ctx).Info("the control plane sleeps or is back", "poweredOn", on)
	return nil
}

// confirmHibernation makes sure that the control plane sleeps still: the cache may be behind one that is
// awake again, whose machine nobody wants to lose.
func (s *scope) confirmHibernation(ctx context.Context) error {
	cluster := &clusterv1.Cluster{}
	found, err := s.find(ctx, s.Live, s.cluster.Name, cluster)
	if err != nil {
		return err
	}
	if mode, _ := clusterapi.Hibernating(cluster); !found || mode != s.hibernation() {
		return errStale
	}
	return nil
}

// handsOver says whether the machine goes as soon as its claim is being deleted, and does not wait for the
// host to be clean: the control plane gives its machines back before it sleeps.
//
// The contract has an InfraMachine wait until its machine is gone, since its Node is deleted then and
// what ran there may be started elsewhere
// (https://github.com/kubernetes-sigs/cluster-api/issues/2565). A control plane that goes to sleep deletes these Nodes
// itself, and then nothing is started anywhere. For this the Machine's end comes before the tenant's API
// ends; and a MachineSet counts Machines that are being deleted
// (getAndAdoptMachinesForMachineSet in core/reconcilers/machineset/machineset_controller.go, v1.14.2), so that a
// control plane that wakes at once would have no machines on other hosts until these are clean. Nothing
// leaks: the claim's own finalizer holds the host until then (workers/claim/release.go).
func (s *scope) handsOver() bool {
	return !s.claim.DeletionTimestamp.IsZero() && s.hibernation() == teapotv1.HibernatedWorkersRelease
}
