package netpolicy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// Pods of all tests. The namespaces' labels are team=<name>.
var (
	web = testPod("acme", "web", "app=web", "10.129.0.2 fd00::2", corev1.Container{Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
	}})
	db     = testPod("acme", "db", "app=db", "10.129.0.3")
	mirror = testPod("other", "mirror", "app=web", "10.129.0.4", corev1.Container{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 9090}}})
	client = testPod("other", "client", "app=client", "10.129.0.5")

	// None of these is anybody's peer: one is part of the node, one has ended and its
	// address is the client's now, one has no address yet.
	onHost = testPod("other", "on-host", "app=web", "172.30.0.2")
	ended  = testPod("other", "ended", "app=web", "10.129.0.5")
	fresh  = testPod("other", "fresh", "app=web", "")
)

func init() {
	// A sidecar's ports have names like any other's.
	mirror.Spec.InitContainers, mirror.Spec.Containers = mirror.Spec.Containers, nil
	mirror.Spec.InitContainers[0].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	onHost.Spec.HostNetwork = true
	ended.Status.Phase = corev1.PodSucceeded
}

func world() []*corev1.Pod {
	return []*corev1.Pod{web, db, mirror, client, onHost, ended, fresh}
}

func testPod(namespace, name, label, addresses string, containers ...corev1.Container) *corev1.Pod {
	key, value, _ := strings.Cut(label, "=")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{key: value}},
		Spec:       corev1.PodSpec{Containers: containers},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, address := range strings.Fields(addresses) {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address})
	}
	return pod
}

func testNamespaces() (namespaces []*corev1.Namespace) {
	for _, name := range []string{"acme", "other"} {
		namespaces = append(namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": name}}})
	}
	return namespaces
}

// testPolicy is a policy of namespace acme.
func testPolicy(t *testing.T, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
		t.Fatal(err)
	}
	return policy
}

// allowed returns, for each chain of a pod, what passes beside the pod's traffic to itself.
func allowed(t *testing.T, ruleset string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	chain := ""
	for line := range strings.Lines(ruleset) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "chain "); ok {
			chain = strings.TrimSuffix(name, " {")
			continue
		}
		_, address, ofPod := strings.Cut(chain, "-")
		if !ofPod {
			continue
		}
		if found[chain] == nil {
			found[chain] = []string{}
		}
		switch match, passes := strings.CutSuffix(line, "return"); {
		case line == "counter drop":
			chain = ""
		case !passes:
			t.Errorf("chain %s has line %q", chain, line)
		case strings.HasSuffix(strings.TrimSpace(match), "addr "+address), strings.HasSuffix(strings.TrimSpace(match), "addr fd00::2"):
		default:
			found[chain] = append(found[chain], strings.TrimSpace(match))
		}
	}
	return found
}

func TestCompile(t *testing.T) {
	for _, test := range []struct {
		name, given string
		// want names the chains of all pods that are restricted, and what may pass.
		want map[string][]string
	}{
		{"no types and no rules: ingress alone is denied", `{podSelector: {}}`,
			map[string][]string{"ingress-10.129.0.2": {}, "ingress-10.129.0.3": {}}},
		{"no types but egress rules: both directions", `{podSelector: {matchLabels: {app: db}}, egress: [{}]}`,
			map[string][]string{"ingress-10.129.0.3": {}, "egress-10.129.0.3": {""}}},
		{"type Egress alone leaves ingress free", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}`,
			map[string][]string{"egress-10.129.0.3": {}}},
		{"rules of a type that is not named count for nothing",
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], egress: [{}]}`,
			map[string][]string{"ingress-10.129.0.3": {}}},
		{"a selector that selects nobody restricts nobody", `{podSelector: {matchLabels: {app: none}}}`,
			map[string][]string{}},
		{"pods of the policy's own namespace",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"ip saddr { 10.129.0.2 }", "ip6 saddr { fd00::2 }"}}},
		{"all pods of namespaces",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"ip saddr { 10.129.0.4, 10.129.0.5 }"}}},
		{"certain pods of namespaces",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}, podSelector: {matchLabels: {app: web}}}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"ip saddr { 10.129.0.4 }"}}},
		{"certain pods or all pods of namespaces",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}}, {podSelector: {matchLabels: {app: web}}}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"ip saddr { 10.129.0.2, 10.129.0.4, 10.129.0.5 }", "ip6 saddr { fd00::2 }"}}},
		{"an empty namespace selector means all namespaces",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"ip saddr { 10.129.0.5 }"}}},
		{"selectors that find nobody allow nobody, not all",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: none}}}], ports: [{port: 1}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {}}},
		{"blocks with exceptions",
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.1/24, except: [192.0.2.0/28, 192.0.2.64/28]}}, {ipBlock: {cidr: "2001:db8::/32"}}]}]}`,
			map[string][]string{"egress-10.129.0.3": {"ip daddr 192.0.2.0/24 ip daddr != 192.0.2.0/28 ip daddr != 192.0.2.64/28", "ip6 daddr 2001:db8::/32"}}},
		{"ports: TCP unless said, ranges, a protocol alone",
			`{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}, {port: 2, protocol: UDP}, {port: 3, endPort: 5, protocol: SCTP}, {protocol: UDP}]}]}`,
			map[string][]string{"ingress-10.129.0.3": {"tcp dport 1", "udp dport 2", "sctp dport 3-5", "meta l4proto udp"}}},
		{"each peer with each port",
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}, {port: 2}]}]}`,
			map[string][]string{"egress-10.129.0.3": {
				"ip daddr { 10.129.0.2 } tcp dport 1", "ip6 daddr { fd00::2 } tcp dport 1",
				"ip daddr { 10.129.0.2 } tcp dport 2", "ip6 daddr { fd00::2 } tcp dport 2",
			}}},
		{"a port's name on the way in is the pod's own", `{podSelector: {}, ingress: [{ports: [{port: http}, {port: dns}, {port: dns, protocol: UDP}]}]}`,
			map[string][]string{"ingress-10.129.0.2": {"tcp dport 8080", "udp dport 53"}, "ingress-10.129.0.3": {}}},
		{"a port's name on the way out is the destination's",
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`,
			map[string][]string{"egress-10.129.0.3": {
				"ip daddr { 10.129.0.2 } tcp dport 8080", "ip6 daddr { fd00::2 } tcp dport 8080", "ip daddr { 10.129.0.4 } tcp dport 9090",
			}}},
		{"a port's name means nothing at an address that is no pod's",
			`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]}`,
			map[string][]string{"egress-10.129.0.3": {}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ruleset, err := Compile([]*networkingv1.NetworkPolicy{testPolicy(t, "policy", test.given)}, world(), testNamespaces())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, allowed(t, ruleset)); diff != "" {
				t.Errorf("allowed (-want +got):\n%s", diff)
			}
		})
	}
}

// Policies add up, and the whole text does not depend on the order of objects.
func TestRuleset(t *testing.T) {
	policies := []*networkingv1.NetworkPolicy{
		testPolicy(t, "default-deny", `{podSelector: {}, policyTypes: [Ingress, Egress]}`),
		testPolicy(t, "web", `{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}]}`),
		testPolicy(t, "web-to-db", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]}`),
		testPolicy(t, "web-to-db-again", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]}`),
	}
	const want = `table inet teapot-netpolicy
delete table inet teapot-netpolicy
table inet teapot-netpolicy {
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
		iifname "cni0" ip6 saddr fe80::/10 drop
	}
	# acme/db
	chain egress-10.129.0.3 {
		ip daddr 10.129.0.3 return
		counter drop
	}
	# acme/web
	chain egress-10.129.0.2 {
		ip daddr 10.129.0.2 return
		ip6 daddr fd00::2 return
		ip daddr { 10.129.0.3 } tcp dport 5432 return
		counter drop
	}
	chain egress {
		ip saddr vmap {
			10.129.0.3 : jump egress-10.129.0.3,
			10.129.0.2 : jump egress-10.129.0.2
		}
		ip6 saddr vmap {
			fd00::2 : jump egress-10.129.0.2
		}
	}
	# acme/db
	chain ingress-10.129.0.3 {
		ip saddr 10.129.0.3 return
		counter drop
	}
	# acme/web
	chain ingress-10.129.0.2 {
		ip saddr 10.129.0.2 return
		ip6 saddr fd00::2 return
		tcp dport 8080 return
		counter drop
	}
	chain ingress {
		ip daddr vmap {
			10.129.0.3 : jump ingress-10.129.0.3,
			10.129.0.2 : jump ingress-10.129.0.2
		}
		ip6 daddr vmap {
			fd00::2 : jump ingress-10.129.0.2
		}
	}
}
`
	pods, namespaces := world(), testNamespaces()
	for range 2 {
		got, err := Compile(policies, pods, namespaces)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ruleset (-want +got):\n%s", diff)
		}
		slices.Reverse(policies)
		slices.Reverse(pods)
		slices.Reverse(namespaces)
	}
}

// An address that a pod which is being removed still names is the newer pod's.
func TestAnAddressHasOneOwner(t *testing.T) {
	older, newer := db.DeepCopy(), db.DeepCopy()
	older.Name, newer.Name = "a", "b"
	older.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
	newer.CreationTimestamp = metav1.NewTime(time.Unix(2, 0))
	older.Labels = map[string]string{"app": "old"}
	for app, want := range map[string]map[string][]string{"old": {}, "db": {"ingress-10.129.0.3": {}}} {
		policy := testPolicy(t, "deny", `{podSelector: {matchLabels: {app: `+app+`}}}`)
		ruleset, err := Compile([]*networkingv1.NetworkPolicy{policy}, []*corev1.Pod{older, newer}, testNamespaces())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, allowed(t, ruleset)); diff != "" {
			t.Errorf("app=%s (-want +got):\n%s", app, diff)
		}
	}
}

func TestCompileNamesWhatItCannotRead(t *testing.T) {
	for given, want := range map[string]string{
		`{podSelector: {matchExpressions: [{key: a, operator: Near}]}}`:                   "acme/policy: podSelector: ",
		`{podSelector: {}, ingress: [{}, {from: [{ipBlock: {cidr: 10.0.0.0}}]}]}`:         "acme/policy: ingress[1]: peer 0: ipBlock: ",
		`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}`: "acme/policy: egress[0]: peer 0: ipBlock: except: ",
	} {
		_, err := Compile([]*networkingv1.NetworkPolicy{testPolicy(t, "policy", given)}, world(), testNamespaces())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", given, err, want)
		}
	}
}
