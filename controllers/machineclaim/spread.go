package machineclaim

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// apart is the group within which the claim has a limit; nil: it has none.
func (s *scope) apart() *claim.Group {
	if !claim.Limited(s.claim) {
		return nil
	}
	group := claim.GroupOf(s.claim)
	return &group
}

// addSiblings adds the hosts of the other claims of the same group. Without a limit they are for
// evenness, and the cache is good enough.
func (s *scope) addSiblings(ctx context.Context, pool *claim.Pool) error {
	if claim.Limited(s.claim) {
		return s.addSiblingsLive(ctx, pool)
	}
	claims := &teapotv1.MachineClaimList{}
	if err := s.Client.List(ctx, claims, client.InNamespace(s.claim.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing MachineClaims of namespace %s: %w", s.claim.Namespace, err)
	}
	group := claim.GroupOf(s.claim)
	for i := range claims.Items {
		other := &claims.Items[i]
		if name, named := claim.HostOf(other); named && other.Name != s.claim.Name && claim.GroupOf(other) == group {
			pool.Siblings.Add(name, false)
		}
	}
	return nil
}

// addSiblingsLive adds the hosts that siblings hold or may take. What a stale cache has of a host
// can make one count that does not; that one does not count is by a live read of its host alone.
func (s *scope) addSiblingsLive(ctx context.Context, pool *claim.Pool) error {
	siblings, err := s.siblings(ctx)
	if err != nil {
		return err
	}
	named := map[types.NamespacedName]*host.Host{}
	names := sets.New[types.NamespacedName]()
	for i := range siblings {
		names.Insert(client.ObjectKeyFromObject(&siblings[i]))
		if name, ok := claim.HostOf(&siblings[i]); ok {
			named[name] = nil
		}
	}
	for i := range pool.Hosts {
		h := &pool.Hosts[i]
		if _, ok := named[h.Key]; ok {
			named[h.Key] = h
		}
		if holder, held := h.ClaimOf(); held && names.Has(holder) {
			pool.Siblings.Add(h.Key, false) // also one that the claim does not name, whoever brought that about
		}
	}
	for i := range siblings {
		sibling := &siblings[i]
		name, ok := claim.HostOf(sibling)
		if !ok {
			continue
		}
		standing := claim.StandingOf(sibling, named[name], s.tenant)
		if standing == claim.Nothing {
			object, err := s.read(ctx, name)
			if err != nil {
				return err
			}
			if object == nil {
				continue
			}
			h := host.Of(object)
			if standing = claim.StandingOf(sibling, &h, s.tenant); standing == claim.Nothing {
				continue
			}
			pool.Put(h)
		}
		pool.Siblings.Add(name, standing == claim.Wants && claim.Before(s.claim, sibling))
	}
	return nil
}

// siblings reads the other claims of the group live: their metadata, since there may be a thousand.
func (s *scope) siblings(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	group := claim.GroupOf(s.claim)
	claims := &metav1.PartialObjectMetadataList{}
	claims.SetGroupVersionKind(teapotv1.GroupVersion.WithKind("MachineClaimList"))
	if err := s.Live.List(ctx, claims, client.InNamespace(group.Namespace), client.MatchingLabelsSelector{Selector: group.Selector()}); err != nil {
		return nil, fmt.Errorf("listing the siblings of MachineClaim %s: %w", client.ObjectKeyFromObject(s.claim), err)
	}
	siblings := claims.Items[:0]
	for _, each := range claims.Items {
		if each.Name != s.claim.Name && claim.GroupOf(&each) == group {
			siblings = append(siblings, each)
		}
	}
	return siblings, nil
}

// admit admits the claim to the host that it named, if there is room for it. The host is read
// before the siblings, and both after the claim's intent was written (claim.GroupOf).
func (s *scope) admit(ctx context.Context, name types.NamespacedName) error {
	object, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if object == nil {
		return errOutdated
	}
	request, pool, err := s.request(ctx)
	if err != nil {
		return err
	}
	h := host.Of(object)
	if !pool.Namespaces.Has(name.Namespace) || request.Refuses(&h) != host.Claimable {
		return errOutdated
	}
	pool.Put(h)
	switch request.Admits(&h, pool) {
	case claim.Full:
		s.choice = nil // another is chosen in its place
		return nil
	case claim.Contested:
		return errOutdated // in a moment the others have given way, or have taken theirs
	}
	if err := s.patchClaim(ctx, "admitting it to the host", func(c *teapotv1.MachineClaim) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, teapotv1.AdmittedAnnotation, claim.Admission(&h))
	}); err != nil {
		return err
	}
	s.host = object
	return nil
}

// withdraw ends the claim's intent.
func (s *scope) withdraw(ctx context.Context) error {
	return s.patchClaim(ctx, "withdrawing from the host", func(c *teapotv1.MachineClaim) {
		delete(c.Annotations, teapotv1.HostAnnotation)
		delete(c.Annotations, teapotv1.AdmittedAnnotation)
	})
}
