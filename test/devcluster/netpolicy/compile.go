package netpolicy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// PodBridge is the bridge that the CNI configuration connects pods to.
const PodBridge = "cni0"

// Table is the nftables table (of family inet) that holds all of the rules.
const Table = "teapot-netpolicy"

// frame is the ruleset around what follows from the objects. It comes after kube-proxy's
// (priority filter), so that a Service without endpoints is refused at once, not silent.
// Neighbour discovery is to IPv6 what ARP is to IPv4, and no policy is about it.
const frame = `table inet ` + Table + `
delete table inet ` + Table + `
table inet ` + Table + ` {
	chain forward {
		type filter hook forward priority filter + 10; policy accept;
		jump always
		jump egress
		jump ingress
	}
	chain input {
		type filter hook input priority filter + 10; policy accept;
		jump always
		jump egress
	}
	chain always {
		ct direction reply accept
		ct state related accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
		iifname "` + PodBridge + `" ip6 saddr fe80::/10 drop
	}
%s}
`

// direction is one of the two that policies are about.
type direction struct {
	// name is also that of the chain that sends packets to the chains of pods.
	name string
	// own and peer are the address fields of the pod and of its peer.
	own, peer string
}

var (
	ingress = direction{name: "ingress", own: "daddr", peer: "saddr"}
	egress  = direction{name: "egress", own: "saddr", peer: "daddr"}
)

// Compile returns the input of `nft -f` that replaces the table by one that enforces the
// policies. The same objects in any order give the same text. It fails on what the API
// server's validation refuses, naming the policy.
func Compile(policies []*networkingv1.NetworkPolicy, pods []*corev1.Pod, namespaces []*corev1.Namespace) (string, error) {
	subjects := findEndpoints(pods, namespaces)
	policies = slices.SortedFunc(slices.Values(policies), func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var body strings.Builder
	for _, d := range []direction{egress, ingress} {
		chains := map[*endpoint][]string{}
		for _, policy := range policies {
			rules, restricts := d.rulesOf(policy)
			if !restricts {
				continue
			}
			if err := d.restrict(chains, policy, rules, subjects); err != nil {
				return "", fmt.Errorf("compiling NetworkPolicy %s/%s: %w", policy.Namespace, policy.Name, err)
			}
		}
		d.write(&body, chains, subjects)
	}
	return fmt.Sprintf(frame, body.String()), nil
}

// rule is an ingress or egress rule: both have the same form.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// rulesOf returns a policy's rules for the direction, and whether the policy restricts that
// direction at all. Without policyTypes it restricts ingress, and egress if it has rules
// for that.
func (d direction) rulesOf(policy *networkingv1.NetworkPolicy) (rules []rule, restricts bool) {
	if d == ingress {
		for _, r := range policy.Spec.Ingress {
			rules = append(rules, rule{r.From, r.Ports})
		}
		return rules, len(policy.Spec.PolicyTypes) == 0 || slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	}
	for _, r := range policy.Spec.Egress {
		rules = append(rules, rule{r.To, r.Ports})
	}
	if len(policy.Spec.PolicyTypes) == 0 {
		return rules, len(rules) > 0
	}
	return rules, slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// restrict adds what a policy allows to the chains of the pods that it selects. A chain is
// a list of nftables matches, any of which lets a packet pass.
func (d direction) restrict(chains map[*endpoint][]string, policy *networkingv1.NetworkPolicy, rules []rule, all []*endpoint) error {
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil {
		return fmt.Errorf("podSelector: %w", err)
	}
	type resolved struct {
		peers peers
		ports []networkingv1.NetworkPolicyPort
	}
	var allowed []resolved
	for i, r := range rules {
		p, err := resolvePeers(policy.Namespace, r.peers, all)
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", d.name, i, err)
		}
		allowed = append(allowed, resolved{p, r.ports})
	}
	for _, e := range all {
		if e.namespace != policy.Namespace || !selector.Matches(e.labels) {
			continue
		}
		if chains[e] == nil {
			for _, address := range e.addresses {
				chains[e] = append(chains[e], fmt.Sprintf("%s %s %s", family(address), d.peer, address))
			}
		}
		for _, r := range allowed {
			chains[e] = append(chains[e], d.matches(e, r.peers, r.ports)...)
		}
	}
	return nil
}

// matches returns one nftables match for each pair of peers and port.
func (d direction) matches(e *endpoint, p peers, ports []networkingv1.NetworkPolicyPort) []string {
	if len(ports) == 0 {
		return p.matches(d.peer)
	}
	var matches []string
	add := func(p peers, port string) {
		for _, match := range p.matches(d.peer) {
			matches = append(matches, strings.TrimSpace(match+" "+port))
		}
	}
	for _, port := range ports {
		protocol := strings.ToLower(string(ptr.Deref(port.Protocol, corev1.ProtocolTCP)))
		switch {
		case port.Port == nil:
			add(p, "meta l4proto "+protocol)
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			add(p, fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			add(p, fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal))
		case d == ingress:
			for _, number := range e.portsNamed(port.Port.StrVal, protocol) {
				add(p, fmt.Sprintf("%s dport %d", protocol, number))
			}
		default:
			// The name is the destination's, so it has a number on pods only.
			named := p.byPort(port.Port.StrVal, protocol)
			for _, number := range slices.Sorted(maps.Keys(named)) {
				add(named[number], fmt.Sprintf("%s dport %d", protocol, number))
			}
		}
	}
	return matches
}

// write puts down the direction's chain, which looks a packet's pod up, and the chains of
// pods. A packet that a rule allows returns to it and is then judged for the other
// direction.
func (d direction) write(out *strings.Builder, chains map[*endpoint][]string, all []*endpoint) {
	jumps := map[string][]string{}
	var podChains strings.Builder
	for _, e := range all {
		if chains[e] == nil {
			continue
		}
		name := d.name + "-" + strings.ReplaceAll(e.addresses[0].String(), ":", "-")
		for _, address := range e.addresses {
			jumps[family(address)] = append(jumps[family(address)], fmt.Sprintf("%s : jump %s", address, name))
		}
		fmt.Fprintf(&podChains, "\t# %s/%s\n\tchain %s {\n", e.namespace, e.name, name)
		seen := map[string]bool{}
		for _, match := range chains[e] {
			if !seen[match] {
				fmt.Fprintf(&podChains, "\t\t%s\n", strings.TrimSpace(match+" return"))
			}
			seen[match] = true
		}
		podChains.WriteString("\t\tcounter drop\n\t}\n")
	}
	// A chain must exist before another one jumps to it.
	out.WriteString(podChains.String())
	fmt.Fprintf(out, "\tchain %s {\n", d.name)
	for _, f := range slices.Sorted(maps.Keys(jumps)) {
		fmt.Fprintf(out, "\t\t%s %s vmap {\n\t\t\t%s\n\t\t}\n", f, d.own, strings.Join(jumps[f], ",\n\t\t\t"))
	}
	out.WriteString("\t}\n")
}

// family is nftables' name of an address's family.
func family(address netip.Addr) string {
	if address.Is4() {
		return "ip"
	}
	return "ip6"
}
