package netpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// endpoint is a pod that has addresses of its own.
type endpoint struct {
	namespace, name         string
	labels, namespaceLabels labels.Set
	addresses               []netip.Addr
	spec                    *corev1.PodSpec
}

// findEndpoints returns the pods that policies are about, by namespace and name: neither
// those in the host's network nor those that have ended, whose address may be another's by
// now. Where two running pods name the same address, it is the newer one's.
func findEndpoints(pods []*corev1.Pod, namespaces []*corev1.Namespace) []*endpoint {
	namespaceLabels := map[string]labels.Set{}
	for _, namespace := range namespaces {
		namespaceLabels[namespace.Name] = namespace.Labels
	}
	pods = slices.SortedFunc(slices.Values(pods), func(a, b *corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	taken := map[netip.Addr]bool{}
	var endpoints []*endpoint
	for _, pod := range pods {
		if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		e := &endpoint{
			namespace: pod.Namespace, name: pod.Name,
			labels: pod.Labels, namespaceLabels: namespaceLabels[pod.Namespace], spec: &pod.Spec,
		}
		for _, ip := range pod.Status.PodIPs {
			if address, err := netip.ParseAddr(ip.IP); err == nil && !taken[address] {
				taken[address] = true
				e.addresses = append(e.addresses, address)
			}
		}
		if len(e.addresses) > 0 {
			endpoints = append(endpoints, e)
		}
	}
	slices.SortFunc(endpoints, func(a, b *endpoint) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	return endpoints
}

// portsNamed returns the numbers of the ports of that name and protocol, by the containers
// that last: ordinary ones and restartable init containers.
func (e *endpoint) portsNamed(name, protocol string) []int32 {
	containers := slices.Clone(e.spec.Containers)
	for _, c := range e.spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	var numbers []int32
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.Name == name && strings.EqualFold(cmp.Or(string(port.Protocol), string(corev1.ProtocolTCP)), protocol) {
				numbers = append(numbers, port.ContainerPort)
			}
		}
	}
	return numbers
}

// peers is the other side of a rule.
type peers struct {
	// all means anybody; pods then are all pods, which a named port is looked up on.
	all    bool
	pods   []*endpoint
	blocks []block
}

// block is an ipBlock.
type block struct {
	prefix netip.Prefix
	except []netip.Prefix
}

// resolvePeers finds what a rule's peers are at present. None at all means anybody.
func resolvePeers(namespace string, list []networkingv1.NetworkPolicyPeer, all []*endpoint) (peers, error) {
	if len(list) == 0 {
		return peers{all: true, pods: all}, nil
	}
	var p peers
	for i, peer := range list {
		if peer.IPBlock != nil {
			b, err := parseBlock(peer.IPBlock)
			if err != nil {
				return peers{}, fmt.Errorf("peer %d: ipBlock: %w", i, err)
			}
			p.blocks = append(p.blocks, b)
			continue
		}
		// Without the one selector any pod will do, without the other those of the
		// policy's own namespace.
		podSelector, namespaceSelector := labels.Everything(), labels.Everything()
		var err1, err2 error
		if peer.PodSelector != nil {
			podSelector, err1 = metav1.LabelSelectorAsSelector(peer.PodSelector)
		}
		if peer.NamespaceSelector != nil {
			namespaceSelector, err2 = metav1.LabelSelectorAsSelector(peer.NamespaceSelector)
		}
		if err := errors.Join(err1, err2); err != nil {
			return peers{}, fmt.Errorf("peer %d: %w", i, err)
		}
		for _, e := range all {
			if peer.NamespaceSelector == nil && e.namespace != namespace {
				continue
			}
			if podSelector.Matches(e.labels) && namespaceSelector.Matches(e.namespaceLabels) && !slices.Contains(p.pods, e) {
				p.pods = append(p.pods, e)
			}
		}
	}
	return p, nil
}

func parseBlock(b *networkingv1.IPBlock) (block, error) {
	prefix, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return block{}, err
	}
	parsed := block{prefix: prefix.Masked()}
	for _, except := range b.Except {
		prefix, err := netip.ParsePrefix(except)
		if err != nil {
			return block{}, fmt.Errorf("except: %w", err)
		}
		parsed.except = append(parsed.except, prefix.Masked())
	}
	return parsed, nil
}

// matches returns nftables matches that together are true for the peers; none means that
// nobody is meant, and an empty one matches anybody.
func (p peers) matches(field string) []string {
	if p.all {
		return []string{""}
	}
	var matches []string
	addresses := map[string][]netip.Addr{}
	for _, e := range p.pods {
		for _, address := range e.addresses {
			addresses[family(address)] = append(addresses[family(address)], address)
		}
	}
	for _, f := range []string{"ip", "ip6"} {
		if len(addresses[f]) > 0 {
			slices.SortFunc(addresses[f], netip.Addr.Compare)
			matches = append(matches, fmt.Sprintf("%s %s { %s }", f, field, join(addresses[f])))
		}
	}
	for _, b := range p.blocks {
		f := family(b.prefix.Addr())
		match := fmt.Sprintf("%s %s %s", f, field, b.prefix)
		for _, except := range b.except {
			match += fmt.Sprintf(" %s %s != %s", f, field, except)
		}
		matches = append(matches, match)
	}
	return matches
}

// byPort groups the pods among the peers by the number that a named port has on them.
func (p peers) byPort(name, protocol string) map[int32]peers {
	groups := map[int32]peers{}
	for _, e := range p.pods {
		for _, number := range e.portsNamed(name, protocol) {
			group := groups[number]
			group.pods = append(group.pods, e)
			groups[number] = group
		}
	}
	return groups
}

func join[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
