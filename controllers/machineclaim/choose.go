package machineclaim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/workers/claim"
)

// choose looks at all hosts for the one to take. A claim whose data are not there takes none.
func (s *scope) choose(ctx context.Context) error {
	if _, err := s.readData(ctx); err != nil || s.missing != "" {
		return err
	}
	request, err := claim.NewRequest(s.claim)
	if err != nil {
		return err
	}
	pool := claim.Pool{}
	reader := hosts.Reader{Client: s.Client, Live: s.Live}
	if pool.Namespaces, err = reader.Namespaces(ctx, s.claim.Namespace); err != nil {
		return err
	}
	if pool.Siblings, err = s.siblings(ctx); err != nil {
		return err
	}
	if err := s.list(ctx); err != nil {
		return err
	}
	pool.Hosts = s.all
	name := client.ObjectKeyFromObject(s.claim)
	choice := s.reserved.choose(name, s.now, pool, request.Choose)
	s.choice = &choice
	if choice.Host == nil {
		s.waiting.join(name, place{created: s.claim.CreationTimestamp.Time, request: request, namespaces: pool.Namespaces})
	} else {
		s.waiting.leave(name)
	}
	return nil
}

// siblings are the hosts of the other claims of the same group.
func (s *scope) siblings(ctx context.Context) (sets.Set[types.NamespacedName], error) {
	claims := &teapotv1.MachineClaimList{}
	if err := s.Client.List(ctx, claims, client.InNamespace(s.claim.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing MachineClaims of namespace %s: %w", s.claim.Namespace, err)
	}
	group, held := claim.GroupOf(s.claim), sets.New[types.NamespacedName]()
	for i := range claims.Items {
		other := &claims.Items[i]
		if name, named := claim.HostOf(other); named && other.Name != s.claim.Name && claim.GroupOf(other) == group {
			held.Insert(name)
		}
	}
	return held, nil
}

// reservations are the hosts that claims of this manager have chosen and, as far as the cache
// shows, not taken yet. Without them claims that come at once would all choose the same host, and
// all but one would have to choose again.
type reservations struct {
	mu     sync.Mutex
	byHost map[types.NamespacedName]reservation
}

type reservation struct {
	claim types.NamespacedName
	since time.Time
}

// choose lets a claim choose among the hosts that no other claim has chosen, and reserves its
// choice.
func (r *reservations) choose(name types.NamespacedName, now time.Time, pool claim.Pool, choose func(claim.Pool) claim.Choice) claim.Choice {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byHost) > 0 {
		for i := range pool.Hosts {
			if pool.Hosts[i].Holder != nil {
				delete(r.byHost, pool.Hosts[i].Key)
			}
		}
	}
	pool.Reserved = sets.New[types.NamespacedName]()
	for reserved, by := range r.byHost {
		if by.claim == name || now.Sub(by.since) > claim.ReservationTime {
			delete(r.byHost, reserved)
			continue
		}
		pool.Reserved.Insert(reserved)
	}
	choice := choose(pool)
	if choice.Host != nil {
		if r.byHost == nil {
			r.byHost = map[types.NamespacedName]reservation{}
		}
		r.byHost[choice.Host.Key] = reservation{claim: name, since: now}
	}
	return choice
}

// drop ends what a claim has reserved.
func (r *reservations) drop(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for reserved, by := range r.byHost {
		if by.claim == name {
			delete(r.byHost, reserved)
		}
	}
}
