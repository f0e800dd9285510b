package orphans

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cluster-api/util/annotations"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// secrets finds Secrets beside hosts whose claim is gone and holds no host.
func (s *sweep) secrets(ctx context.Context) error {
	list := &corev1.SecretList{}
	if err := s.Client.List(ctx, list, client.HasLabels{teapotv1.ClaimNamespaceLabel, teapotv1.ClaimNameLabel}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Secrets of claims: %w", err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	holders := map[types.NamespacedName]bool{}
	for i := range s.all {
		h := host.Of(&s.all[i])
		if name, held := h.ClaimOf(); held {
			holders[name] = true // given back with its Secrets
		}
	}
	var failures error
	for i := range list.Items {
		secret := &list.Items[i]
		if name := claimOf(secret); s.claims[name] == nil && !holders[name] {
			failures = errors.Join(failures, s.secret(ctx, secret))
		}
	}
	return failures
}

// claimOf is the claim whose data a Secret holds.
func claimOf(secret *corev1.Secret) types.NamespacedName {
	return types.NamespacedName{Namespace: secret.Labels[teapotv1.ClaimNamespaceLabel], Name: secret.Labels[teapotv1.ClaimNameLabel]}
}

func (s *sweep) secret(ctx context.Context, secret *corev1.Secret) error {
	name, of := client.ObjectKeyFromObject(secret), claimOf(secret)
	if err := s.Live.Get(ctx, of, &teapotv1.MachineClaim{}); !apierrors.IsNotFound(err) {
		if err != nil {
			return fmt.Errorf("reading MachineClaim %s, whose data Secret %s holds: %w", of, name, err)
		}
		return nil
	}
	what := fmt.Sprintf("Secret %s (%s)", name, secret.UID)
	if s.suspect(ctx, kindSecret, what, secret, fmt.Sprintf("holds data of MachineClaim %s, which is gone", of)) < Grace {
		return nil
	}
	if err := s.Client.Delete(ctx, secret.DeepCopy(), client.Preconditions{UID: ptr.To(secret.UID)}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", name, err)
	}
	s.tellRemoved(ctx, what, secret, "deleted, since its claim is gone")
	return nil
}

// owners finds claims whose HostMachine is gone. Kubernetes' own garbage collector deletes them,
// where it runs and is not in the way of a move.
func (s *sweep) owners(ctx context.Context) error {
	machines := &teapotv1.HostMachineList{}
	if err := s.Client.List(ctx, machines, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing HostMachines: %w", err)
	}
	there := make(map[types.UID]bool, len(machines.Items))
	for i := range machines.Items {
		there[machines.Items[i].UID] = true
	}
	var failures error
	for _, claim := range s.claims {
		owner := metav1.GetControllerOf(claim)
		if owner == nil || owner.Kind != "HostMachine" || there[owner.UID] || !claim.DeletionTimestamp.IsZero() {
			continue
		}
		failures = errors.Join(failures, s.owned(ctx, claim, owner.Name))
	}
	return failures
}

func (s *sweep) owned(ctx context.Context, claim *teapotv1.MachineClaim, owner string) error {
	name := types.NamespacedName{Namespace: claim.Namespace, Name: owner}
	machine := &metav1.PartialObjectMetadata{}
	machine.SetGroupVersionKind(teapotv1.GroupVersion.WithKind("HostMachine"))
	err := s.Live.Get(ctx, name, machine)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading HostMachine %s, which owns MachineClaim %s: %w", name, claim.Name, err)
	}
	current := metav1.GetControllerOf(claim)
	if err == nil && machine.UID == current.UID {
		return nil
	}
	what := fmt.Sprintf("MachineClaim %s (%s)", client.ObjectKeyFromObject(claim), claim.UID)
	waited := s.suspect(ctx, kindClaim, what, claim, fmt.Sprintf("its owner, HostMachine %s, is gone", owner))
	if waited < Grace || !apierrors.IsNotFound(err) || annotations.HasPaused(claim) {
		return nil // one of the same name may be about to own it, after a move
	}
	if err := s.Client.Delete(ctx, claim.DeepCopy(), client.Preconditions{UID: ptr.To(claim.UID)}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting MachineClaim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	s.tellRemoved(ctx, what, claim, fmt.Sprintf("deleted, since HostMachine %s is gone", owner))
	return nil
}
