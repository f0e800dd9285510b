package pki

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// names are those of a tenant whose machines come by a NodePort.
func names() Names {
	return Names{
		Host:             "acme.example.com",
		Address:          "192.0.2.10",
		SubjectAltNames:  []string{"*.api.example.com", "2001:db8::1"},
		ServiceCIDR:      "10.96.0.0/16",
		DNSDomain:        "cluster.local",
		Namespace:        "tcp-acme-0a1b2c3d",
		APIServerService: "control-plane",
		EtcdService:      "etcd",
		EtcdAddress:      "10.43.0.7",
		EtcdPeerService:  "etcd-peer",
		EtcdMembers:      []string{"etcd-0", "etcd-1", "etcd-2"},
	}
}

func leafNamed(t testing.TB, n Names, name string) Leaf {
	t.Helper()
	leaves, err := Leaves(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		if leaf.Name == name {
			return leaf
		}
	}
	t.Fatalf("there is no leaf %q", name)
	return Leaf{}
}

// newLeaf issues a certificate for the first time.
func newLeaf(t testing.TB, authorities Authorities, name string) KeyPair {
	t.Helper()
	pair, _, err := authorities.Ensure(leafNamed(t, names(), name), KeyPair{}, start)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestLeaves(t *testing.T) {
	const server, client, both = "server", "client", "server and client"
	type row struct {
		Name   string
		Signer Signer
		User   string
		Groups string
		Usage  string
	}
	want := []row{
		{"apiserver", SignerCluster, "kube-apiserver", "", server},
		{"apiserver-kubelet-client", SignerCluster, "kube-apiserver-kubelet-client", "", client},
		{"front-proxy-client", SignerFrontProxy, "front-proxy-client", "", client},
		{"etcd-server", SignerEtcd, "etcd", "", both},
		{"etcd-peer", SignerEtcd, "etcd", "", both},
		{"etcd-healthcheck-client", SignerEtcd, "kube-etcd-healthcheck-client", "", client},
		{"apiserver-etcd-client", SignerEtcd, "kube-apiserver-etcd-client", "", client},
		{"konnectivity-server", SignerCluster, "konnectivity-server", "", server},
		{"konnectivity-server-client", SignerCluster, "system:konnectivity-server", "", client},
		{"controller-manager", SignerCluster, "system:kube-controller-manager", "", client},
		{"scheduler", SignerCluster, "system:kube-scheduler", "", client},
		{"admin", SignerCluster, "kubernetes-admin", "kubeadm:cluster-admins", client},
		{"cluster-api", SignerCluster, "cluster-api", "kubeadm:cluster-admins", client},
		{"teapot", SignerCluster, "teapot", "system:masters", client},
	}
	usage := func(leaf Leaf) string {
		var serves, dials bool
		for _, usage := range leaf.Usages {
			serves = serves || usage == x509.ExtKeyUsageServerAuth
			dials = dials || usage == x509.ExtKeyUsageClientAuth
		}
		switch {
		case serves && dials:
			return both
		case serves:
			return server
		default:
			return client
		}
	}
	leaves, err := Leaves(names())
	if err != nil {
		t.Fatal(err)
	}
	var got []row
	for _, leaf := range leaves {
		got = append(got, row{leaf.Name, leaf.Signer, leaf.CommonName, strings.Join(leaf.Organizations, ","), usage(leaf)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNamesInCertificates(t *testing.T) {
	for _, tt := range []struct {
		leaf string
		dns  []string
		ips  []string
	}{
		{
			leaf: APIServer,
			dns: []string{
				"*.api.example.com", "acme.example.com",
				"control-plane", "control-plane.tcp-acme-0a1b2c3d", "control-plane.tcp-acme-0a1b2c3d.svc",
				"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
				"localhost",
			},
			ips: []string{"10.96.0.1", "127.0.0.1", "192.0.2.10", "2001:db8::1", "::1"},
		},
		{
			leaf: KonnectivityServer,
			dns: []string{
				"acme.example.com",
				"control-plane", "control-plane.tcp-acme-0a1b2c3d", "control-plane.tcp-acme-0a1b2c3d.svc",
				"localhost",
			},
			ips: []string{"127.0.0.1", "192.0.2.10", "::1"},
		},
		{
			leaf: EtcdServer,
			dns: []string{
				"etcd", "etcd-0.etcd-peer", "etcd-0.etcd-peer.tcp-acme-0a1b2c3d", "etcd-0.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"etcd-1.etcd-peer", "etcd-1.etcd-peer.tcp-acme-0a1b2c3d", "etcd-1.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"etcd-2.etcd-peer", "etcd-2.etcd-peer.tcp-acme-0a1b2c3d", "etcd-2.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"etcd.tcp-acme-0a1b2c3d", "etcd.tcp-acme-0a1b2c3d.svc", "localhost",
			},
			ips: []string{"10.43.0.7", "127.0.0.1", "::1"},
		},
		{
			leaf: EtcdPeer,
			dns: []string{
				"etcd-0.etcd-peer", "etcd-0.etcd-peer.tcp-acme-0a1b2c3d", "etcd-0.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"etcd-1.etcd-peer", "etcd-1.etcd-peer.tcp-acme-0a1b2c3d", "etcd-1.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"etcd-2.etcd-peer", "etcd-2.etcd-peer.tcp-acme-0a1b2c3d", "etcd-2.etcd-peer.tcp-acme-0a1b2c3d.svc",
				"localhost",
			},
			ips: []string{"127.0.0.1", "::1"},
		},
		{leaf: Teapot},
	} {
		t.Run(tt.leaf, func(t *testing.T) {
			sans := leafNamed(t, names(), tt.leaf).SANs
			if diff := cmp.Diff(tt.dns, sans.DNSNames); diff != "" {
				t.Errorf("DNS names (-want +got):\n%s", diff)
			}
			var ips []string
			for _, ip := range sans.IPs {
				ips = append(ips, ip.String())
			}
			if diff := cmp.Diff(tt.ips, ips); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesThatAreNotKnownYetAreLeftOut(t *testing.T) {
	n := names()
	n.Host, n.Address = "", ""
	for _, name := range leafNamed(t, n, APIServer).SANs.DNSNames {
		if name == "" || name == "acme.example.com" {
			t.Errorf("the certificate has the name %q", name)
		}
	}
	for _, ip := range leafNamed(t, n, APIServer).SANs.IPs {
		if ip == nil || ip.Equal(net.ParseIP("192.0.2.10")) {
			t.Errorf("the certificate has the address %v", ip)
		}
	}
}

func TestLeavesRefuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(*Names)
		want  string
	}{
		{"a host with a port", func(n *Names) { n.Host = "acme.example.com:6443" }, `"acme.example.com:6443"`},
		{"an address that is a name", func(n *Names) { n.Address = "acme" }, `"acme" is not an IP address`},
		{"an address of etcd that is a name", func(n *Names) { n.EtcdAddress = "etcd" }, `"etcd" is not an IP address`},
		{"a further name that is none", func(n *Names) { n.SubjectAltNames = []string{"a_b"} }, `"a_b"`},
		{"a wildcard inside a name", func(n *Names) { n.SubjectAltNames = []string{"a.*.b"} }, `"a.*.b"`},
		{"a bad range of Services", func(n *Names) { n.ServiceCIDR = "10.96.0.0" }, "certificate apiserver"},
		{"no namespace", func(n *Names) { n.Namespace = "" }, "namespace"},
		{"no members of etcd", func(n *Names) { n.EtcdMembers = nil }, "no members"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := names()
			tt.given(&n)
			_, err := Leaves(n)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one that says %s", err, tt.want)
			}
		})
	}
}
