package pki

import (
	"fmt"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
)

const (
	loopback   = "127.0.0.1"
	loopbackV6 = "::1"
	localhost  = "localhost"
)

// Names is all that the certificates of a control plane are valid for.
type Names struct {
	// Host is the IP address or DNS name in kubeconfigs. Empty while it is not known.
	Host string
	// Address is the IP address that machines and pods dial. Empty while it is not known.
	Address string
	// Gateway is the name by which users ask the shared gateway for the API server. Empty
	// if they do not come through it.
	Gateway string
	// SubjectAltNames are further DNS names, wildcards among them, and IP addresses of
	// the API server, asked for by the user.
	SubjectAltNames []string

	// ServiceCIDR is the tenant's range of Service addresses; its first address is that
	// of the kubernetes Service, by which pods reach the API.
	ServiceCIDR string
	// DNSDomain is the tenant cluster's DNS domain.
	DNSDomain string

	// Namespace is the control plane's own, in the management cluster.
	Namespace string
	// APIServerService is the Service of the control-plane pods.
	APIServerService string
	// EtcdService is the Service by which clients reach etcd. Also the subject of
	// etcd's certificates.
	EtcdService string
	// EtcdAddress is the cluster IP of that Service, which the API server dials. Empty
	// while it is not known.
	EtcdAddress string
	// EtcdPeerService is the headless Service of etcd's members.
	EtcdPeerService string
	// EtcdMembers are the names of etcd's pods.
	EtcdMembers []string
}

// apiServer returns kubeadm's names of the API server and those by which it is
// reached as a hosted one.
func (n Names) apiServer() ([]string, error) {
	virtualIP, err := kubeadmconstants.GetAPIServerVirtualIP(n.ServiceCIDR)
	if err != nil {
		return nil, err
	}
	names := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + n.DNSDomain,
		virtualIP.String(),
	}
	return append(append(append(names, n.entrance()...), n.Gateway), n.SubjectAltNames...), nil
}

// konnectivity returns the names by which agents reach the konnectivity server, which
// shares the API server's Service.
func (n Names) konnectivity() []string { return n.entrance() }

// entrance returns the names of the control-plane pods' Service, from outside, from
// inside the management cluster and from inside the pod.
func (n Names) entrance() []string {
	return append([]string{n.Host, n.Address, localhost, loopback, loopbackV6}, n.service(n.APIServerService)...)
}

// etcdServer returns the names by which clients reach etcd: all members together, and
// each by itself.
func (n Names) etcdServer() []string {
	return append(append([]string{localhost, loopback, loopbackV6, n.EtcdAddress}, n.service(n.EtcdService)...), n.members()...)
}

// etcdPeer returns the names by which members reach one another. Each is spelt out: of a
// wildcard, a member that checks where its peer calls from can make nothing unless that
// address resolves back to a name.
// https://etcd.io/docs/v3.6/op-guide/security/#notes-for-tls-authentication
func (n Names) etcdPeer() []string {
	return append([]string{localhost, loopback, loopbackV6}, n.members()...)
}

func (n Names) members() []string {
	var names []string
	for _, member := range n.EtcdMembers {
		names = append(names, n.service(member+"."+n.EtcdPeerService)...)
	}
	return names
}

// service returns the names of a Service of the control plane's namespace. The
// management cluster's own DNS domain is left out: a resolver inside it adds the domain.
func (n Names) service(name string) []string {
	return []string{name, name + "." + n.Namespace, name + "." + n.Namespace + ".svc"}
}

// validate refuses what could not be in a certificate. kubeadm would leave such a name
// out with a warning in a log.
func (n Names) validate() error {
	for _, name := range []struct{ field, value string }{
		{"namespace", n.Namespace}, {"service of the API server", n.APIServerService},
		{"service of etcd", n.EtcdService}, {"service of etcd's members", n.EtcdPeerService},
	} {
		if errs := validation.IsDNS1123Label(name.value); len(errs) > 0 {
			return fmt.Errorf("names in certificates: %s %q: %s", name.field, name.value, strings.Join(errs, "; "))
		}
	}
	if len(n.EtcdMembers) == 0 {
		return fmt.Errorf("names in certificates: etcd has no members")
	}
	for _, address := range []string{n.Address, n.EtcdAddress} {
		if address != "" && net.ParseIP(address) == nil {
			return fmt.Errorf("names in certificates: address %q is not an IP address", address)
		}
	}
	for _, name := range append([]string{n.Host}, n.SubjectAltNames...) {
		if name == "" || net.ParseIP(name) != nil {
			continue
		}
		errs := validation.IsDNS1123Subdomain(name)
		if strings.HasPrefix(name, "*.") {
			errs = validation.IsWildcardDNS1123Subdomain(name)
		}
		if len(errs) > 0 {
			return fmt.Errorf("names in certificates: %q is neither an IP address nor a DNS name: %s", name, strings.Join(errs, "; "))
		}
	}
	return nil
}
