package machineclaim

import (
	"context"
	"maps"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// choose looks at all hosts for the one to take. A claim whose data are not there takes none.
func (s *scope) choose(ctx context.Context) error {
	if _, err := s.readData(ctx); err != nil || s.missing != "" {
		return err
	}
	request, pool, err := s.request(ctx)
	if err != nil {
		return err
	}
	name := client.ObjectKeyFromObject(s.claim)
	choice := s.reserved.choose(s.claim, s.now, pool, request.Choose)
	s.choice = &choice
	if choice.Host == nil {
		s.waiting.join(name, place{
			created: s.claim.CreationTimestamp.Time, request: request, namespaces: pool.Namespaces, apart: s.apart(),
		})
	} else {
		s.waiting.leave(name)
	}
	return nil
}

// request is what the claim asks for, with what there is to choose from.
func (s *scope) request(ctx context.Context) (request claim.Request, pool claim.Pool, err error) {
	reader := hosts.Reader{Client: s.Client, Live: s.Live}
	if s.tenant, pool.Namespaces, err = reader.Allowed(ctx, s.claim.Namespace); err != nil {
		return request, pool, err
	}
	if err := s.list(ctx); err != nil {
		return request, pool, err
	}
	pool.Hosts = s.all
	if err := s.addSiblings(ctx, &pool); err != nil {
		return request, pool, err
	}
	request, err = claim.NewRequest(s.claim, s.tenant.UID)
	return request, pool, err
}

// reservations are the hosts that claims of this manager have chosen and, as far as the cache
// shows, not taken yet. Without them claims that come at once would all choose the same host, and
// all but one would have to choose again.
type reservations struct {
	mu      sync.Mutex
	byClaim map[types.NamespacedName]reservation
}

type reservation struct {
	host types.NamespacedName
	// of is what of the claim its siblings look at: its name, age and group.
	of    metav1.ObjectMeta
	group claim.Group
	// since is when the claim first chose the host.
	since time.Time
}

// choose lets a claim choose among the hosts that no other claim has chosen, and reserves its
// choice. What siblings have reserved counts as theirs, though it is not in their annotations yet.
func (r *reservations) choose(of *teapotv1.MachineClaim, now time.Time, pool claim.Pool, choose func(claim.Pool) claim.Choice) claim.Choice {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetTaken(pool.Hosts)
	name, group := client.ObjectKeyFromObject(of), claim.GroupOf(of)
	pool.Reserved = sets.New[types.NamespacedName]()
	for by, each := range r.byClaim {
		if by == name || now.Sub(each.since) > claim.ReservationTime {
			continue
		}
		pool.Reserved.Insert(each.host)
		if each.group == group {
			pool.Siblings.Add(each.host, claim.Before(of, &each.of))
		}
	}
	before, again := r.byClaim[name]
	if again && now.Sub(before.since) > claim.ReservationTime {
		pool.Siblings.Yielding = nil // who was to give way does not, for whatever reason
	}
	delete(r.byClaim, name)
	choice := choose(pool)
	if choice.Host == nil {
		return choice
	}
	mine := reservation{host: choice.Host.Key, group: group, since: now}
	mine.of.Name, mine.of.CreationTimestamp = of.Name, of.CreationTimestamp
	if again && before.host == mine.host {
		mine.since = before.since
	}
	if r.byClaim == nil {
		r.byClaim = map[types.NamespacedName]reservation{}
	}
	r.byClaim[name] = mine
	return choice
}

// forgetTaken ends the reservations of hosts that somebody holds.
func (r *reservations) forgetTaken(hosts []host.Host) {
	if len(r.byClaim) == 0 {
		return
	}
	held := map[types.NamespacedName]bool{}
	for _, each := range r.byClaim {
		held[each.host] = false
	}
	for i := range hosts {
		if _, reserved := held[hosts[i].Key]; reserved && hosts[i].Holder != nil {
			held[hosts[i].Key] = true
		}
	}
	maps.DeleteFunc(r.byClaim, func(_ types.NamespacedName, each reservation) bool { return held[each.host] })
}

// drop ends what a claim has reserved.
func (r *reservations) drop(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byClaim, name)
}
