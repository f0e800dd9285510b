package controlplane

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netutils "k8s.io/utils/net"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Endpoint is the machines' way in.
type Endpoint struct {
	// Host is what kubeconfigs name: an IP address or DNS name.
	Host string
	// Address is the IP address that is dialled.
	Address string
	// Port and KonnectivityPort are what is dialled; KonnectivityPort is 0 without
	// konnectivity.
	Port, KonnectivityPort int32
}

// NotResolved says why an endpoint is not known yet; Reason is one of the API's reasons.
type NotResolved struct{ Reason, Message string }

func (e *NotResolved) Error() string { return e.Message }

// ResolveEndpoint finds the machines' way in from the control plane's Service as it was
// observed and the nodes of the management cluster (needed for NodePort without a host
// alone). What was chosen once and written on the Service stays chosen, since machines
// know it. It returns a *NotResolved while something is missing.
func ResolveEndpoint(in Input, service *corev1.Service, nodes []corev1.Node) (Endpoint, error) {
	spec := in.Spec.Endpoint
	endpoint := Endpoint{Host: spec.Host}
	for _, port := range service.Spec.Ports {
		number := port.Port
		if spec.Type == teapotv1.EndpointNodePort {
			number = port.NodePort
		}
		switch port.Name {
		case portNameAPI:
			endpoint.Port = number
		case portNameKonnectivity:
			endpoint.KonnectivityPort = number
		}
	}
	if endpoint.Port == 0 || in.Konnectivity() && endpoint.KonnectivityPort == 0 {
		return Endpoint{}, &NotResolved{teapotv1.ReasonWaitingForService, fmt.Sprintf("Service %s/%s has no ports yet", service.Namespace, service.Name)}
	}

	var err error
	switch spec.Type {
	case teapotv1.EndpointClusterIP:
		endpoint.Address = firstOfFamily(in.ipv6(), service.Spec.ClusterIPs)
		if endpoint.Address == "" {
			endpoint.Address = service.Spec.ClusterIP
		}
		if endpoint.Address == "" {
			err = &NotResolved{teapotv1.ReasonWaitingForService, fmt.Sprintf("Service %s/%s has no cluster IP yet", service.Namespace, service.Name)}
		}
	case teapotv1.EndpointLoadBalancer:
		endpoint.Address, err = loadBalancerAddress(in, service)
	default:
		endpoint.Address, err = nodePortAddress(in, service, nodes)
	}
	if err != nil {
		return Endpoint{}, err
	}
	if netutils.IsIPv6String(endpoint.Address) != in.ipv6() {
		return Endpoint{}, &NotResolved{teapotv1.ReasonAddressFamily, fmt.Sprintf("the endpoint's address is %s and the first range of spec.network.serviceCIDR is %s: pods inside could not dial it; give an address of that family in spec.endpoint.host, or make a new control plane with the other family first", endpoint.Address, in.Spec.Network.ServiceCIDR)}
	}
	if endpoint.Host == "" {
		endpoint.Host = endpoint.Address
	}
	return endpoint, nil
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// ipv6 says whether the tenant's first address family is IPv6: that of its kubernetes
// Service, whose endpoints must be of the same.
func (in Input) ipv6() bool {
	first, _, _ := strings.Cut(in.Spec.Network.ServiceCIDR, ",")
	return netutils.IsIPv6CIDRString(first)
}

// firstOfFamily is the first address of a family, or else the first of all.
func firstOfFamily(ipv6 bool, addresses []string) string {
	for _, address := range addresses {
		if isIP(address) && netutils.IsIPv6String(address) == ipv6 {
			return address
		}
	}
	for _, address := range addresses {
		if isIP(address) {
			return address
		}
	}
	return ""
}

func loadBalancerAddress(in Input, service *corev1.Service) (string, error) {
	var hostname string
	var addresses []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		addresses, hostname = append(addresses, ingress.IP), ingress.Hostname
	}
	if address := firstOfFamily(in.ipv6(), addresses); address != "" {
		return address, nil
	}
	switch {
	case isIP(in.Spec.Endpoint.Host):
		return in.Spec.Endpoint.Host, nil
	case isIP(in.Known.Address):
		// Some load balancers take the address of a Service away while no pod is ready, as when the
		// control plane sleeps. Machines know it, and without it no pod would be started.
		return in.Known.Address, nil
	case hostname != "":
		return "", &NotResolved{teapotv1.ReasonLoadBalancerHasNoIP, fmt.Sprintf("the load balancer of Service %s/%s gives the name %s but no IP address, and pods need an address to dial; set spec.endpoint.host to the address that machines should use", service.Namespace, service.Name, hostname)}
	default:
		return "", &NotResolved{teapotv1.ReasonWaitingForLoadBalancer, fmt.Sprintf("no load balancer has given Service %s/%s an address; check that the management cluster has a load-balancer implementation, or use spec.endpoint.type NodePort", service.Namespace, service.Name)}
	}
}

// ChoosesNode says whether an endpoint's address is still to be chosen from the
// management cluster's nodes.
func ChoosesNode(in Input, service *corev1.Service) bool {
	return in.Spec.Endpoint.Type == teapotv1.EndpointNodePort && knownNodePortAddress(in, service) == ""
}

// knownNodePortAddress is the address that was asked for, chosen earlier or set for all.
func knownNodePortAddress(in Input, service *corev1.Service) string {
	for _, address := range []string{
		in.Spec.Endpoint.Host, service.Annotations[teapotv1.EndpointHostAnnotation], in.Settings.NodePortAddress,
	} {
		if isIP(address) {
			return address
		}
	}
	return ""
}

func nodePortAddress(in Input, service *corev1.Service, nodes []corev1.Node) (string, error) {
	if known := knownNodePortAddress(in, service); known != "" {
		return known, nil
	}
	if isIP(in.Known.Address) {
		return in.Known.Address, nil
	}
	if address := NodeAddress(in, nodes); address != "" {
		return address, nil
	}
	return "", &NotResolved{teapotv1.ReasonNoNodeAddress, "no node of the management cluster has an InternalIP address; set spec.endpoint.host, or start the manager with --node-port-address"}
}

// NodeAddress is the internal address of a node by which node ports are reached, empty if there is none.
func NodeAddress(in Input, nodes []corev1.Node) string {
	// The oldest node is the one most likely to stay; the name decides between equals,
	// so that the choice does not depend on the order of a list.
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b corev1.Node) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var addresses []string
	for _, node := range nodes {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				addresses = append(addresses, address.Address)
			}
		}
	}
	return firstOfFamily(in.ipv6(), addresses)
}
