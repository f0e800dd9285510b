package claim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// Refusals of what a claim asks for, in addition to package host's of what nobody can claim.
const (
	FailedBefore host.Refusal = "failed this claim before"
	OtherLabels  host.Refusal = "without the labels asked for"
	OtherDomain  host.Refusal = "in other failure domains"
	Unknown      host.Refusal = "not inspected yet"
	OtherCPU     host.Refusal = "of another architecture"
	FewCPUs      host.Refusal = "too few CPUs"
	LittleMemory host.Refusal = "too little memory"
	FewDisks     host.Refusal = "without the disks asked for"
	FewNICs      host.Refusal = "without the network interfaces asked for"
	FewGPUs      host.Refusal = "without the GPUs asked for"
	// NoDomain: a limit of the claim's spread is by a label that the host does not have.
	NoDomain host.Refusal = "without the label that spread names"
	// Reserved: another claim has chosen the host and is about to take it.
	Reserved host.Refusal = "being taken"
	// FullDomain: as many siblings as may be in its domain are there.
	FullDomain host.Refusal = "in a domain that is full"
)

// Request is what a claim asks of hosts, prepared for looking at many of them.
type Request struct {
	tenant   host.Tenant
	spec     *teapotv1.MachineClaimSpec
	selector labels.Selector
	spread   []topology
	previous types.NamespacedName
	failed   sets.Set[string]
	// needsHardware says that something is asked that only inspection tells.
	needsHardware bool
}

// NewRequest prepares a claim's request. The UID is that of its namespace; without it no host that
// is kept for anybody can be taken. It fails for a selector that the API's validation would have
// refused.
func NewRequest(claim *teapotv1.MachineClaim, namespace types.UID) (Request, error) {
	selector, err := selectorOf(claim.Spec.HostSelector)
	if err != nil {
		return Request{}, fmt.Errorf("reading spec.hostSelector of MachineClaim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	hardware := claim.Spec.Hardware
	hardware.GPUs = teapotv1.GPURequirements{}
	previous, _ := HostOf(claim)
	return Request{
		tenant: host.Tenant{Namespace: claim.Namespace, UID: namespace},
		spec:   &claim.Spec, selector: selector, spread: spreadOf(claim),
		previous:      previous,
		failed:        sets.New(failedHosts(claim)...),
		needsHardware: hardware != teapotv1.HardwareRequirements{},
	}, nil
}

var operators = map[metav1.LabelSelectorOperator]selection.Operator{
	metav1.LabelSelectorOpIn: selection.In, metav1.LabelSelectorOpNotIn: selection.NotIn,
	metav1.LabelSelectorOpExists: selection.Exists, metav1.LabelSelectorOpDoesNotExist: selection.DoesNotExist,
}

func selectorOf(wanted teapotv1.HostSelector) (labels.Selector, error) {
	exact := labels.Set{}
	for key, value := range wanted.MatchLabels {
		exact[key] = string(value)
	}
	selector := labels.SelectorFromSet(exact)
	for _, rule := range wanted.MatchExpressions {
		requirement, err := labels.NewRequirement(rule.Key, operators[rule.Operator], rule.Values)
		if err != nil {
			return nil, err
		}
		selector = selector.Add(*requirement)
	}
	return selector, nil
}

// Refuses says why the claim cannot take a host, and host.Claimable if it can. What the claim
// asks for is looked at before who has the host: a count of hosts that are taken is then one of
// hosts that would do.
func (r *Request) Refuses(h *host.Host) host.Refusal {
	for _, filter := range filters {
		if filter.refuses(r, h) {
			return filter.reason
		}
	}
	return h.Claimable(r.tenant)
}

// filters are what a claim asks for, each with its reason.
var filters = []struct {
	reason  host.Refusal
	refuses func(*Request, *host.Host) bool
}{
	{FailedBefore, func(r *Request, h *host.Host) bool { return len(r.failed) > 0 && r.failed.Has(h.Key.String()) }},
	{OtherLabels, func(r *Request, h *host.Host) bool { return !r.selector.Matches(labels.Set(h.Labels)) }},
	{OtherDomain, func(r *Request, h *host.Host) bool {
		return r.spec.FailureDomain != "" && r.spec.FailureDomain != h.FailureDomain
	}},
	{NoDomain, func(r *Request, h *host.Host) bool {
		return slices.ContainsFunc(r.spread, func(entry topology) bool { return entry.limit > 0 && h.Labels[entry.key] == "" })
	}},
	{Unknown, func(r *Request, h *host.Host) bool { return r.needsHardware && !h.Inspected() }},
	{OtherCPU, func(r *Request, h *host.Host) bool {
		return r.spec.Hardware.CPU.Architecture != "" && r.spec.Hardware.CPU.Architecture != h.Architecture()
	}},
	{FewCPUs, func(r *Request, h *host.Host) bool { return h.CPUs() < int(r.spec.Hardware.CPU.MinCount) }},
	{LittleMemory, func(r *Request, h *host.Host) bool {
		return r.spec.Hardware.Memory != nil && h.Memory() < r.spec.Hardware.Memory.Value()
	}},
	{FewDisks, func(r *Request, h *host.Host) bool {
		disks := &r.spec.Hardware.Disks
		if *disks == (teapotv1.DiskRequirements{}) {
			return false
		}
		var size int64
		if disks.MinSize != nil {
			size = disks.MinSize.Value()
		}
		return h.Disks(size, disks.Type) < max(1, int(disks.MinCount))
	}},
	{FewNICs, func(r *Request, h *host.Host) bool {
		nics := r.spec.Hardware.NICs
		return nics != (teapotv1.NICRequirements{}) && h.NICs(int(nics.MinSpeedGbps)) < max(1, int(nics.MinCount))
	}},
	{FewGPUs, func(r *Request, h *host.Host) bool {
		gpus := r.spec.Hardware.GPUs
		if gpus == (teapotv1.GPURequirements{}) {
			return false
		}
		return h.GPUs() < max(1, int(gpus.MinCount)) || gpus.Model != "" && gpus.Model != h.GPUModel()
	}},
}

// Pool is what a claim chooses from.
type Pool struct {
	// Hosts are all hosts that are known.
	Hosts []host.Host
	// Namespaces are those whose hosts the claim may take (host.Namespaces). Hosts of others are
	// not even counted: their number is not the author's to know.
	Namespaces sets.Set[string]
	// Reserved are hosts that other claims are about to take.
	Reserved sets.Set[types.NamespacedName]
	// Siblings are the hosts of the other claims of the same group (Group).
	Siblings Siblings
}

// Put puts a host that was read live in place of what is known of it.
func (p *Pool) Put(h host.Host) {
	if i := slices.IndexFunc(p.Hosts, func(known host.Host) bool { return known.Key == h.Key }); i >= 0 {
		p.Hosts[i] = h
		return
	}
	p.Hosts = append(p.Hosts, h)
}

// Choice is what came of looking for a host.
type Choice struct {
	// Host is the one to take; nil: none can be.
	Host *host.Host
	// Total is the number of hosts that the claim's namespace may take at all.
	Total int
	// Refused counts the hosts that it cannot take, by reason.
	Refused map[host.Refusal]int
	// Unsettled says that siblings are about to take hosts, so that a domain may soon be less full.
	Unsettled bool
}

// Choose looks for the host to take. Of those that suffice, and are in no domain that is full, it is
// the one that the claim's annotation names already, or else the cheapest (Cost); among equally
// cheap ones one whose domain holds the fewest of the claim's siblings, by the first entry of its
// spread, then by the next; and then the first by namespace and name. Cost comes before spread, so
// that keeping machines apart takes no better hosts away from who needs them; who wants them apart
// whatever it costs gives a limit. The same hosts give the same choice in whatever order they come.
func (r *Request) Choose(pool Pool) Choice {
	counted := newCensus(r.spread, &pool)
	choice := Choice{Refused: map[host.Refusal]int{}, Unsettled: counted.unsettled}
	var best rank
	for i := range pool.Hosts {
		h := &pool.Hosts[i]
		if !pool.Namespaces.Has(h.Key.Namespace) {
			continue
		}
		choice.Total++
		reason := r.Refuses(h)
		switch {
		case reason != host.Claimable:
		case len(pool.Reserved) > 0 && pool.Reserved.Has(h.Key):
			reason = Reserved
		case counted.full(h):
			reason = FullDomain
		}
		if reason != host.Claimable {
			choice.Refused[reason]++
			continue
		}
		candidate := rank{host: h, previous: h.Key == r.previous, cost: Cost(h)}
		if choice.Host == nil || candidate.before(best, counted) {
			choice.Host, best = h, candidate
		}
	}
	return choice
}

// rank is by what hosts that suffice are ordered, together with a census.
type rank struct {
	host     *host.Host
	previous bool
	cost     float64
}

func (a rank) before(b rank, counted *census) bool {
	if a.previous != b.previous {
		return a.previous
	}
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	return cmp.Or(
		counted.compare(a.host, b.host),
		cmp.Compare(a.host.Key.Namespace, b.host.Key.Namespace),
		cmp.Compare(a.host.Key.Name, b.host.Key.Name),
	) < 0
}

// String says why there is no host, for example "12 hosts: 7 taken, 3 too little memory, 2 not
// clean". The most frequent reason comes first.
func (c Choice) String() string {
	if c.Total == 0 {
		return "no hosts: there are none in this namespace, and no HostDeployPolicy lets it claim those of another"
	}
	reasons := make([]host.Refusal, 0, len(c.Refused))
	for reason := range c.Refused {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b host.Refusal) int {
		return cmp.Or(cmp.Compare(c.Refused[b], c.Refused[a]), cmp.Compare(a, b))
	})
	parts := make([]string, 0, len(reasons))
	for _, reason := range reasons {
		parts = append(parts, fmt.Sprintf("%d %s", c.Refused[reason], reason))
	}
	noun := "hosts"
	if c.Total == 1 {
		noun = "host"
	}
	return fmt.Sprintf("%d %s: %s", c.Total, noun, strings.Join(parts, ", "))
}
