package claim

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// How a spread keeps the claims of a group apart. Domains with fewer of their hosts come first; and with
// maxPerDomain no domain ever holds more than so many, whatever managers do at the same time, how
// old their caches are, and wherever they end:
//
//  1. The claim writes which host it wants (its intent, annotation teapot.dev/host).
//  2. The host is read live, then the list of the group's claims. Every sibling counts that holds a
//     host of the domain, or that may yet take the one that it names (StandingOf).
//  3. If there is room, the claim is admitted to the host at the revision that was read: a second
//     annotation, written only if nobody wrote to the claim since 1. From here on it counts as if it
//     held the host.
//  4. The host is taken at that revision, or not at all.
//
// Of claims that together would be too many, the last to write its intent sees those of all others
// in 2, so it is not admitted. An intent can be withdrawn as long as no admission was written: the
// lock of 3 fails then. An admission is never withdrawn; it ends when the host has another revision
// and is not the claim's, since nobody can take the host by it any more. So a manager that was held
// up between 3 and 4 does no harm. A claim that is deleted between them takes its host and gives it
// back.
//
// Claims that see one another in 2 and have room for one alone: the oldest keeps its intent and
// looks again, the others withdraw theirs. So one of them is always getting on.
//
// What is counted is by the labels that hosts have then: labels of hosts or claims that are changed
// later move nobody. Each claim keeps to its own limits, so machines of an older revision of a pool,
// without limits, count and are not limited. A host that a claim had to let go of without its being
// clean (ReleasePatience) is not the group's any more.

// Group is what a claim's siblings have in common.
type Group struct {
	Namespace string
	// Pool is the WorkerPool that they are of; Deployment, for others, the MachineDeployment. Those
	// of a namespace that are of neither are siblings.
	Pool, Deployment string
}

// GroupOf is the group of a claim. Those of all revisions of a pool are of one.
func GroupOf(claim metav1.Object) Group {
	group := Group{Namespace: claim.GetNamespace(), Pool: claim.GetLabels()[teapotv1.PoolLabel]}
	if group.Pool == "" {
		group.Deployment = claim.GetLabels()[clusterv1.MachineDeploymentNameLabel]
	}
	return group
}

// Selector selects the claims of the group, and perhaps others of the namespace.
func (g Group) Selector() labels.Selector {
	switch {
	case g.Pool != "":
		return labels.SelectorFromSet(labels.Set{teapotv1.PoolLabel: g.Pool})
	case g.Deployment != "":
		return labels.SelectorFromSet(labels.Set{clusterv1.MachineDeploymentNameLabel: g.Deployment})
	default:
		return labels.Everything()
	}
}

// Limited says whether a claim's spread has a limit.
func Limited(claim *teapotv1.MachineClaim) bool {
	for _, each := range claim.Spec.Spread {
		if each.MaxPerDomain > 0 {
			return true
		}
	}
	return false
}

// Admission is the value of the annotation teapot.dev/admitted for a host as it is.
func Admission(h *host.Host) string { return string(h.UID) + "/" + h.Revision }

// Admitted says whether a claim was admitted to the host as it is.
func Admitted(claim metav1.Object, h *host.Host) bool {
	name, named := HostOf(claim)
	return named && name == h.Key && claim.GetAnnotations()[teapotv1.AdmittedAnnotation] == Admission(h)
}

// Standing is how a claim stands to the host that it names.
type Standing int

// Standings.
const (
	// Nothing: it does not hold the host, and will not without looking at its siblings again.
	Nothing Standing = iota
	// Wants: it may take the host, or withdraw.
	Wants
	// Has: it holds the host, or was admitted to it.
	Has
)

// StandingOf is how a claim of the tenant stands to the host that it names, which is nil if there
// is none. Nothing is for certain only if the host was read live, after the intent of whoever asks
// was written: the claim would then have to read the host again, and the list after it.
func StandingOf(claim metav1.Object, h *host.Host, tenant host.Tenant) Standing {
	switch {
	case h == nil:
		return Nothing
	case h.HeldBy(host.HolderOf(claim)):
		return Has
	case hasFailedOn(claim, h.Key) || h.Claimable(tenant) != host.Claimable:
		return Nothing
	case Admitted(claim, h):
		return Has
	case claim.GetDeletionTimestamp() != nil:
		return Nothing
	default:
		return Wants
	}
}

// Before says whether claim a of a group is older than b: the younger one gives way.
func Before(a, b metav1.Object) bool {
	return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName())) < 0
}

// Siblings are the hosts of the other claims of a group.
type Siblings struct {
	// Hosts are those that they hold or may take.
	Hosts sets.Set[types.NamespacedName]
	// Yielding are those of Hosts that only claims may take that give way to this one.
	Yielding sets.Set[types.NamespacedName]
}

// Add adds a host of a sibling. One that yields is one that gives way.
func (s *Siblings) Add(name types.NamespacedName, yields bool) {
	if s.Hosts == nil {
		s.Hosts, s.Yielding = sets.Set[types.NamespacedName]{}, sets.Set[types.NamespacedName]{}
	}
	switch {
	case !yields:
		s.Yielding.Delete(name)
	case !s.Hosts.Has(name):
		s.Yielding.Insert(name)
	}
	s.Hosts.Insert(name)
}

// topology is one entry of a spread.
type topology struct {
	key string
	// limit is how many may be in one domain; 0: any number.
	limit int
}

// spreadOf are the entries by which a claim is spread.
func spreadOf(claim *teapotv1.MachineClaim) []topology {
	if len(claim.Spec.Spread) == 0 {
		return []topology{{key: teapotv1.FailureDomainLabel}}
	}
	entries := make([]topology, 0, len(claim.Spec.Spread))
	for _, each := range claim.Spec.Spread {
		entries = append(entries, topology{key: each.TopologyKey, limit: int(each.MaxPerDomain)})
	}
	return entries
}

// census is how many hosts of siblings are in each domain.
type census struct {
	Siblings
	entries []topology
	// all are the counts by domain, one map for each entry; firm are those without the yielding.
	all, firm []map[string]int
	// limited says that an entry has a limit.
	limited bool
	// unsettled says that one of these hosts was not taken yet.
	unsettled bool
}

func newCensus(entries []topology, pool *Pool) *census {
	c := &census{Siblings: pool.Siblings, entries: entries}
	for _, entry := range entries {
		c.all, c.firm = append(c.all, map[string]int{}), append(c.firm, map[string]int{})
		c.limited = c.limited || entry.limit > 0
	}
	if len(c.Hosts) == 0 {
		return c
	}
	for i := range pool.Hosts {
		h := &pool.Hosts[i]
		if !c.Hosts.Has(h.Key) {
			continue
		}
		c.unsettled = c.unsettled || h.Holder == nil
		for at, entry := range entries {
			c.all[at][h.Labels[entry.key]]++
			if !c.Yielding.Has(h.Key) {
				c.firm[at][h.Labels[entry.key]]++
			}
		}
	}
	return c
}

// full says whether one more host would be too many in one of its domains. A sibling may want the
// same host: one of them gets it, so that it counts once.
func (c *census) full(h *host.Host) bool {
	return c.limited && c.over(h, c.firm, c.Hosts.Has(h.Key) && !c.Yielding.Has(h.Key))
}

// contested says so, too, and counts those that give way.
func (c *census) contested(h *host.Host) bool {
	return c.limited && c.over(h, c.all, c.Hosts.Has(h.Key))
}

func (c *census) over(h *host.Host, counts []map[string]int, counted bool) bool {
	more := 1
	if counted {
		more = 0
	}
	for at, entry := range c.entries {
		if entry.limit > 0 && counts[at][h.Labels[entry.key]]+more > entry.limit {
			return true
		}
	}
	return false
}

// compare puts the host first in whose domain fewer siblings are, by the first entry, then the next.
func (c *census) compare(a, b *host.Host) int {
	if len(c.Hosts) == 0 {
		return 0
	}
	for at, entry := range c.entries {
		if order := cmp.Compare(c.all[at][a.Labels[entry.key]], c.all[at][b.Labels[entry.key]]); order != 0 {
			return order
		}
	}
	return 0
}

// Verdict is what came of asking whether a claim may take a host.
type Verdict int

// Verdicts.
const (
	// Full: there are too many siblings in its domains.
	Full Verdict = iota
	// Contested: there would be, but for some that are to give way.
	Contested
	// Room: there are not.
	Room
)

// Admits says whether a claim may take a host that it named, of a pool that was read after that.
func (r *Request) Admits(h *host.Host, pool Pool) Verdict {
	switch counted := newCensus(r.spread, &pool); {
	case counted.full(h):
		return Full
	case counted.contested(h):
		return Contested
	default:
		return Room
	}
}
