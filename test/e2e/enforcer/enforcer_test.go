package enforcer

import (
	"context"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/netpolicy"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
)

const (
	// answersWithin is how long a wanted exchange may take on a busy machine.
	answersWithin = 10 * time.Second
	// silence is how long an unwanted exchange is given. That the same one succeeds without
	// policies, in microseconds, is tried first.
	silence = 300 * time.Millisecond
)

// Pods a and b belong to acme, where everything is denied but what is listed; c belongs to
// another namespace, without policies.
var policies = map[string]string{
	"default-deny": `{podSelector: {}, policyTypes: [Ingress, Egress]}`,
	"a-to-b": `
podSelector: {matchLabels: {app: a}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: http}, {protocol: UDP, port: 8000, endPort: 8080}]}]`,
	"to-b": `
podSelector: {matchLabels: {app: b}}
ingress:
- {from: [{podSelector: {matchLabels: {app: a}}}]}
- {from: [{ipBlock: {cidr: 172.30.0.0/24, except: [172.30.0.51/32]}}], ports: [{port: http}]}`,
}

// ruleset compiles the policies for the three pods.
func ruleset(t *testing.T) string {
	t.Helper()
	var list []*networkingv1.NetworkPolicy
	for name, spec := range policies {
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}}
		if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
			t.Fatal(err)
		}
		list = append(list, policy)
	}
	var pods []*corev1.Pod
	for p, namespace := range map[*place]string{&podA: "acme", &podB: "acme", &podC: "other"} {
		object := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.name, Labels: map[string]string{"app": p.name}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
		}
		for _, address := range p.addresses {
			ip, _, err := net.ParseCIDR(address)
			if err != nil {
				t.Fatal(err)
			}
			object.Status.PodIPs = append(object.Status.PodIPs, corev1.PodIP{IP: ip.String()})
		}
		pods = append(pods, object)
	}
	text, err := netpolicy.Compile(list, pods, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func apply(t *testing.T, ruleset string) {
	t.Helper()
	if err := netdial.Do(theNode.path(), func() error { return netpolicy.Apply(t.Context(), ruleset) }); err != nil {
		t.Fatal(err)
	}
}

func TestPoliciesHoldForPackets(t *testing.T) {
	build(t)
	const a, b, c, a6, b6, c6 = "10.129.0.2", "10.129.0.3", "10.129.0.4", "fd00::2", "fd00::3", "fd00::4"
	attempts := []struct {
		name   string
		from   place
		local  string
		to     string
		port   string
		by     string
		wanted bool
	}{
		{name: "allowed port by its name", from: podA, to: b, port: "8080", wanted: true},
		{name: "allowed port, IPv6", from: podA, to: b6, port: "8080", wanted: true},
		{name: "allowed port by the Service", from: podA, to: service, port: "80", wanted: true},
		{name: "allowed range, UDP", from: podA, to: b, port: "8080", by: "udp", wanted: true},
		{name: "not an allowed port", from: podA, to: b, port: "8081"},
		{name: "not an allowed port, IPv6", from: podA, to: b6, port: "8081"},
		{name: "not in the range, UDP", from: podA, to: b, port: "8081", by: "udp"},
		{name: "egress to a free pod", from: podA, to: c, port: "8080"},
		{name: "egress to a free pod, IPv6", from: podA, to: c6, port: "8080"},
		{name: "egress to the outside", from: podA, to: outsideIP, port: "8080"},
		{name: "egress to the node", from: podA, to: nodenet.NodeIP, port: "8080"},
		{name: "egress to the node's end of the bridge", from: podA, to: nodeV4, port: "8080"},
		{name: "egress to the node's end of the bridge, IPv6", from: podA, to: nodeV6, port: "8080"},
		{name: "egress to the node, link-local", from: podA, to: linkLocal(t, theNode, netpolicy.PodBridge), port: "8080"},
		{name: "egress to the node, UDP", from: podA, to: nodeV4, port: "8080", by: "udp"},
		{name: "ingress from a free pod", from: podC, to: b, port: "8080"},
		{name: "ingress from a free pod, IPv6", from: podC, to: b6, port: "8080"},
		{name: "ingress from a free pod by the Service", from: podC, to: service, port: "80"},
		{name: "ingress from a free pod, link-local", from: podC, to: linkLocal(t, podB, "eth0"), port: "8080"},
		{name: "ingress that is allowed, egress that is not", from: podB, to: a, port: "8080"},
		{name: "ingress that is allowed, egress that is not, IPv6", from: podB, to: a6, port: "8080"},
		{name: "a pod to itself by its Service", from: podB, to: service, port: "80", wanted: true},
		{name: "a free pod to the node", from: podC, to: nodenet.NodeIP, port: "8080", wanted: true},
		{name: "a free pod to the outside", from: podC, to: outsideIP, port: "8080", wanted: true},
		{name: "the node to a pod", from: theNode, to: a, port: "8081", wanted: true},
		{name: "the node to a pod, IPv6", from: theNode, to: a6, port: "8081", wanted: true},
		{name: "the outside to a free pod", from: outside, to: c, port: "8081", wanted: true},
		{name: "the outside, allowed by its block", from: outside, local: outsideIP, to: b, port: "8080", wanted: true},
		{name: "the outside, another port", from: outside, local: outsideIP, to: b, port: "8081"},
		{name: "the outside, excepted from the block", from: outside, local: exceptedIP, to: b, port: "8080"},
	}
	try := func(t *testing.T, i int, within time.Duration) error {
		t.Helper()
		at := attempts[i]
		if at.by == "" {
			at.by = "tcp"
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		conn, err := open(ctx, at.from, at.local, at.by, net.JoinHostPort(at.to, at.port))
		if err != nil {
			return err
		}
		defer conn.Close()
		return exchange(conn, within)
	}
	for i, attempt := range attempts {
		if err := try(t, i, answersWithin); err != nil {
			t.Fatalf("%s, before there are policies: %v", attempt.name, err)
		}
	}
	apply(t, ruleset(t))
	for i, attempt := range attempts {
		t.Run(attempt.name, func(t *testing.T) {
			if attempt.wanted {
				if err := try(t, i, answersWithin); err != nil {
					t.Error(err)
				}
				return
			}
			if err := try(t, i, silence); !isTimeout(err) {
				t.Errorf("want silence, got %v", err)
			}
		})
	}
}

// A policy holds for connections that are open when it comes, and no longer than it is
// there.
func TestPoliciesHoldForOpenConnections(t *testing.T) {
	build(t)
	dial := func(from place, to string) net.Conn {
		ctx, cancel := context.WithTimeout(t.Context(), answersWithin)
		defer cancel()
		conn, err := open(ctx, from, "", "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := exchange(conn, answersWithin); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	forbidden, allowed := dial(podC, "10.129.0.3:8080"), dial(podA, "10.129.0.3:8080")
	apply(t, ruleset(t))
	if err := exchange(allowed, answersWithin); err != nil {
		t.Errorf("the allowed connection: %v", err)
	}
	if err := exchange(forbidden, silence); !isTimeout(err) {
		t.Errorf("the forbidden connection: want silence, got %v", err)
	}
	free, err := netpolicy.Compile(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, free)
	if err := exchange(forbidden, answersWithin); err != nil {
		t.Errorf("the connection that is no longer forbidden: %v", err)
	}
}
