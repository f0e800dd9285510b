package main

import (
	"maps"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRoutes(t *testing.T) {
	node := func(name string, addresses, shares []string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: shares}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
		for _, address := range addresses {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
		}
		return n
	}
	self := node("a", []string{"172.30.0.100"}, []string{"10.244.0.0/24"})
	for _, tc := range []struct {
		name  string
		nodes []*corev1.Node
		want  map[string]string
		bad   bool
	}{
		{"alone", []*corev1.Node{self}, nil, false},
		{"another", []*corev1.Node{self, node("b", []string{"172.30.0.101"}, []string{"10.244.1.0/24"})},
			map[string]string{"10.244.1.0/24": "172.30.0.101"}, false},
		{"two families", []*corev1.Node{self, node("b", []string{"fd00::1", "172.30.0.101"}, []string{"10.244.1.0/24", "fd01::/64"})},
			map[string]string{"10.244.1.0/24": "172.30.0.101", "fd01::/64": "fd00::1"}, false},
		{"no share yet", []*corev1.Node{self, node("b", []string{"172.30.0.101"}, nil)}, nil, false},
		{"no address yet", []*corev1.Node{self, node("b", nil, []string{"10.244.1.0/24"})}, nil, false},
		{"nonsense does not hide the rest", []*corev1.Node{
			node("c", []string{"host"}, []string{"10.244.2.0/24"}), node("b", []string{"172.30.0.101"}, []string{"10.244.1.0/24", "x"}),
		}, map[string]string{"10.244.1.0/24": "172.30.0.101"}, true},
	} {
		want := map[netip.Prefix]netip.Addr{}
		for prefix, gateway := range tc.want {
			want[netip.MustParsePrefix(prefix)] = netip.MustParseAddr(gateway)
		}
		got, err := routes(tc.nodes, "a")
		if !maps.Equal(got, want) || (err != nil) != tc.bad {
			t.Errorf("%s: %v, %v; want %v", tc.name, got, err, want)
		}
	}
}
