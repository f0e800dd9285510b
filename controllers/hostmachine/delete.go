package hostmachine

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// delete deletes the claim, which gives the host back, and lets go of the machine when the claim is
// gone, or before if it hands over. It asks nothing of the tenant, whose API may be dead or asleep.
func (s *scope) delete(ctx context.Context) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.hm, teapotv1.HostMachineFinalizer) {
		return ctrl.Result{}, nil
	}
	// A cache that is behind would let go of a machine whose claim was made a moment ago.
	if err := s.findClaim(ctx, s.Live); err != nil {
		return ctrl.Result{}, err
	}
	if s.claim != nil && s.ours(s.claim) && !s.handsOver() {
		return ctrl.Result{}, s.deleteClaim(ctx)
	}
	err := s.patch(ctx, "removing the finalizer", func() {
		controllerutil.RemoveFinalizer(s.hm, teapotv1.HostMachineFinalizer)
	})
	switch {
	case err == nil:
		log.FromContext(ctx).Info("deleted machine")
	case !errors.Is(err, errStale):
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, nil
}

// deleteClaim deletes the claim once and shows how far it is. The claim's end brings the machine
// back.
func (s *scope) deleteClaim(ctx context.Context) error {
	if s.claim.DeletionTimestamp.IsZero() {
		if err := s.giveBack(ctx); err != nil {
			return err
		}
	}
	message := "the host is being given back"
	if ready := meta.FindStatusCondition(s.claim.Status.Conditions, teapotv1.ReadyCondition); ready != nil {
		message = ready.Message
	}
	s.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, "waiting for %s to be gone: %s", s.claimRef(), message)
	s.setPaused()
	s.setStalled()
	return s.patchStatus(ctx)
}

// giveBack deletes the claim.
func (s *scope) giveBack(ctx context.Context) error {
	err := s.Client.Delete(ctx, s.claim, client.Preconditions{UID: ptr.To(s.claim.UID)})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting MachineClaim %s/%s: %w", s.claim.Namespace, s.claim.Name, err)
	}
	log.FromContext(ctx).Info("deleting the claim")
	return nil
}
