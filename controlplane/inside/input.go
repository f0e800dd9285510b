package inside

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	netutils "k8s.io/utils/net"
)

// Input is what the objects inside a tenant's cluster are made from.
type Input struct {
	// ClusterName is the cluster's name in kubeadm's configuration.
	ClusterName string
	// Version is the Kubernetes version, with a leading v.
	Version string
	// ServiceCIDR and PodCIDR are the ranges of Service and pod addresses, or two of each,
	// separated by a comma. The tenth address of the first ServiceCIDR is that of the
	// cluster's DNS, by kubeadm's convention.
	ServiceCIDR string
	PodCIDR     string
	// DNSDomain is the cluster's DNS domain.
	DNSDomain string

	// EndpointHost is the IP address or DNS name in kubeconfigs.
	EndpointHost string
	// EndpointAddress is the IP address that machines and pods dial. Default:
	// EndpointHost, if that is an IP address.
	EndpointAddress string
	// EndpointPort is the API's port.
	EndpointPort int32
	// KonnectivityPort is the port by which konnectivity agents come. It is not read when
	// Konnectivity is false.
	KonnectivityPort int32
	// CACert is the certificate of the cluster's authority, in PEM.
	CACert []byte

	// CoreDNS, KubeProxy and Konnectivity say which add-ons are wanted.
	CoreDNS      bool
	KubeProxy    bool
	Konnectivity bool
	// Machines says that there is at least one Node. Without one, Deployments of ours have
	// no replicas: their pods would be pending, and an autoscaler would buy a machine for
	// them.
	Machines bool
}

// address is the IP address that machines and pods dial.
func (in Input) address() string {
	if in.EndpointAddress != "" {
		return in.EndpointAddress
	}
	return in.EndpointHost
}

// machinesServer is the API's base URL for what runs on machines. It names the address,
// so that machines need no DNS to reach the API.
func (in Input) machinesServer() string { return "https://" + in.machinesEndpoint() }

func (in Input) machinesEndpoint() string { return joinHostPort(in.address(), in.EndpointPort) }

func joinHostPort(host string, port int32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (in Input) validate() error {
	if _, err := version.ParseSemantic(in.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	for _, network := range []struct{ field, value string }{{"serviceCIDR", in.ServiceCIDR}, {"podCIDR", in.PodCIDR}} {
		if _, err := netutils.ParseCIDRs(strings.Split(network.value, ",")); err != nil {
			return fmt.Errorf("%s: %w", network.field, err)
		}
	}
	for _, text := range []struct{ field, value string }{
		{"clusterName", in.ClusterName}, {"dnsDomain", in.DNSDomain},
		{"endpointHost", in.EndpointHost}, {"caCert", string(in.CACert)},
	} {
		if text.value == "" {
			return fmt.Errorf("%s: is empty", text.field)
		}
	}
	if net.ParseIP(in.address()) == nil {
		return fmt.Errorf("endpointAddress: %q is not an IP address", in.address())
	}
	if in.EndpointPort < 1 || in.EndpointPort > 65535 {
		return fmt.Errorf("endpointPort: %d is not between 1 and 65535", in.EndpointPort)
	}
	return nil
}
