package orphans

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hosts finds hosts whose holder is gone, or holds another one.
func (s *sweep) hosts(ctx context.Context) error {
	var failures error
	for i := range s.all {
		h := host.Of(&s.all[i])
		if name, held := h.ClaimOf(); held && !answers(s.claims[name], &h, s.cached) {
			failures = errors.Join(failures, s.host(ctx, h.Key))
		}
	}
	return failures
}

// answers says whether a claim answers for a host that names it. A claim that came to hold two,
// when managers ran at the same time, answers for the one that its annotation names.
func answers(of *teapotv1.MachineClaim, h *host.Host, read func(types.NamespacedName) *host.Host) bool {
	if of == nil {
		return false
	}
	holder := host.HolderOf(of)
	if !h.HeldBy(holder) {
		return false
	}
	other, named := claim.HostOf(of)
	if !named || other == h.Key {
		return true
	}
	found := read(other)
	return found == nil || !found.HeldBy(holder)
}

// host looks at one host live, and gives it back if it has been an orphan for long enough.
func (s *sweep) host(ctx context.Context, name types.NamespacedName) error {
	object := &host.Object{}
	if err := s.Live.Get(ctx, name, object); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("reading host %s: %w", name, err))
	}
	h := host.Of(object)
	claimName, held := h.ClaimOf()
	if !held {
		return nil
	}
	holder := &teapotv1.MachineClaim{}
	switch err := s.Live.Get(ctx, claimName, holder); {
	case apierrors.IsNotFound(err):
		holder = nil
	case err != nil:
		return fmt.Errorf("reading MachineClaim %s, which holds host %s: %w", claimName, name, err)
	}
	if answers(holder, &h, func(other types.NamespacedName) *host.Host { return s.live(ctx, other) }) {
		return nil
	}

	what := fmt.Sprintf("host %s of MachineClaim %s (%s)", name, claimName, h.Holder.UID)
	waited := s.suspect(ctx, kindHost, what, object, fmt.Sprintf("consumerRef names MachineClaim %s, which does not hold this host any more", claimName))
	released, _ := h.Released()
	before := object.DeepCopy()
	switch {
	case h.InUse() && !h.Paused && waited >= Grace:
		host.Deprovision(object)
	case released && waited > 0:
		if err := machineclaim.DeleteSecrets(ctx, s.Client, s.Live, claimName, object); err != nil {
			return err
		}
		host.Free(object)
	default:
		return nil // being deprovisioned, cleaned, or looked at again
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, object, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		if apierrors.IsConflict(err) {
			return nil // it is looked at again
		}
		return fmt.Errorf("giving back host %s of MachineClaim %s: %w", name, claimName, err)
	}
	if released {
		s.tellRemoved(ctx, what, object, fmt.Sprintf("given back in place of MachineClaim %s", claimName))
	}
	return nil
}

func (s *sweep) cached(name types.NamespacedName) *host.Host {
	for i := range s.all {
		if s.all[i].Namespace == name.Namespace && s.all[i].Name == name.Name {
			h := host.Of(&s.all[i])
			return &h
		}
	}
	return nil
}

// live reads a host; nil also if that fails, and then the host in question is left alone.
func (s *sweep) live(ctx context.Context, name types.NamespacedName) *host.Host {
	object := &host.Object{}
	if err := s.Live.Get(ctx, name, object); err != nil {
		return nil
	}
	h := host.Of(object)
	return &h
}
