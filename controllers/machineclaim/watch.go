package machineclaim

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// wokenByHost is how many waiting claims a free host wakes: one takes it, and the others are
// there in case the first was deleted or finds a host that suits it better.
const wokenByHost = 3

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// roster is what the watch has seen of every host. A cache's list copies each object, which takes
// longer than to choose one.
type roster struct {
	mu    sync.RWMutex
	hosts map[types.NamespacedName]host.Host
}

func (r *roster) put(o *host.Object) {
	h := host.Of(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts == nil {
		r.hosts = map[types.NamespacedName]host.Host{}
	}
	r.hosts[h.Key] = h
}

func (r *roster) drop(o *host.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, client.ObjectKeyFromObject(o))
}

func (r *roster) all(context.Context) ([]host.Host, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.AppendSeq(make([]host.Host, 0, len(r.hosts)), maps.Values(r.hosts)), nil
}

// onHost keeps the roster, and wakes the claim that holds a host, or held it before the change;
// and, for a host that can be claimed, some of the claims that wait for one like it.
func (r *Reconciler) onHost(known *roster) handler.TypedEventHandler[*host.Object, reconcile.Request] {
	holder := func(o *host.Object, q queue) {
		h := host.Of(o)
		if name, held := h.ClaimOf(); held {
			q.Add(reconcile.Request{NamespacedName: name})
		}
	}
	seen := func(o *host.Object, q queue) {
		known.put(o)
		holder(o, q)
		h := host.Of(o)
		for _, name := range r.waiting.next(&h, wokenByHost) {
			q.Add(reconcile.Request{NamespacedName: name})
		}
	}
	return handler.TypedFuncs[*host.Object, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*host.Object], q queue) { seen(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*host.Object], q queue) {
			if e.ObjectOld.ResourceVersion != e.ObjectNew.ResourceVersion {
				holder(e.ObjectOld, q)
				seen(e.ObjectNew, q)
			}
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*host.Object], q queue) {
			known.drop(e.Object)
			holder(e.Object, q)
		},
	}
}

// onPolicy wakes all claims that wait: any of them may be let in now.
func (r *Reconciler) onPolicy(context.Context, client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, name := range r.waiting.all() {
		requests = append(requests, reconcile.Request{NamespacedName: name})
	}
	return requests
}

// onCluster wakes the claims of a Cluster, which may be paused or not any more.
func (r *Reconciler) onCluster(ctx context.Context, cluster client.Object) []reconcile.Request {
	claims := &teapotv1.MachineClaimList{}
	err := r.Client.List(ctx, claims, client.InNamespace(cluster.GetNamespace()),
		client.MatchingLabels{clusterv1.ClusterNameLabel: cluster.GetName()}, client.UnsafeDisableDeepCopy)
	if err != nil {
		log.FromContext(ctx).Error(err, "listing the claims of a Cluster", "cluster", client.ObjectKeyFromObject(cluster).String())
		return nil
	}
	var requests []reconcile.Request
	for i := range claims.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&claims.Items[i])})
	}
	return requests
}

// line is the claims that wait for a host, so that one that becomes free wakes a few of those that
// it suits, the oldest first, and not all. Who is woken leaves the line, and comes back to its
// place if it finds nothing; so hosts that become free together wake others.
type line struct {
	mu     sync.Mutex
	places map[types.NamespacedName]place
}

// place is a claim's place in the line: its age, and what it waits for.
type place struct {
	created    time.Time
	request    claim.Request
	namespaces sets.Set[string]
	// apart is the group within which the claim has a limit; nil: it has none.
	apart *claim.Group
}

func (l *line) join(name types.NamespacedName, at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places == nil {
		l.places = map[types.NamespacedName]place{}
	}
	l.places[name] = at
}

func (l *line) leave(name types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.places, name)
}

// next takes from the line up to n claims that the host suits, and as many of each group with a
// limit: for a whole group the host may be in a domain that is full.
func (l *line) next(h *host.Host, n int) []types.NamespacedName {
	if h.Holder != nil || !h.Available() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var suited []types.NamespacedName
	for name, at := range l.places {
		if at.namespaces.Has(h.Key.Namespace) && at.request.Refuses(h) == host.Claimable {
			suited = append(suited, name)
		}
	}
	slices.SortFunc(suited, func(a, b types.NamespacedName) int {
		return cmp.Or(
			l.places[a].created.Compare(l.places[b].created),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	taken := map[claim.Group]int{}
	suited = slices.DeleteFunc(suited, func(name types.NamespacedName) bool {
		group := ptr.Deref(l.places[name].apart, claim.Group{})
		taken[group]++
		return taken[group] > n
	})
	for _, name := range suited {
		delete(l.places, name)
	}
	return suited
}

// all empties the line.
func (l *line) all() []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []types.NamespacedName
	for name := range l.places {
		names = append(names, name)
	}
	clear(l.places)
	return names
}
