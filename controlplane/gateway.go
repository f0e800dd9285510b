package controlplane

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Gateway is the way in of users: by name, through the gateway that all tenants share.
type Gateway struct {
	// ServerName is the name that is asked for (TLS SNI, RFC 6066) and in the certificate.
	// Empty: users come by the machines' way.
	ServerName string
	// Host is what is dialled: an address, or a DNS name, which may be ServerName itself.
	Host string
	Port int32
}

// URL is the API's base URL by which users come.
func (g Gateway) URL() string {
	return "https://" + net.JoinHostPort(g.Host, strconv.Itoa(int(g.Port)))
}

// GatewaySettings are what the operator says of the gateway.
type GatewaySettings struct {
	// Domain is what control planes' names end in: <name>.<namespace>.<domain>. Empty: there is no
	// gateway.
	Domain string
	// Address is host[:port] by which users come; host may begin with "*." to say that the names of
	// all control planes resolve. Default: what Service tells.
	Address string
	// Service is the gateway's Service.
	Service types.NamespacedName
}

// GatewayServerName is the name by which users ask the gateway for a control plane, empty if they do not.
func (in Input) GatewayServerName() string {
	if in.Settings.Gateway.Domain == "" || in.Spec.Endpoint.Gateway == teapotv1.GatewayDisabled {
		return ""
	}
	return in.Owner.Name + "." + in.Owner.Namespace + "." + in.Settings.Gateway.Domain
}

// ResolveGateway finds the users' way in, from the settings, or else from the gateway's Service as it was
// observed (nil if it was not) and the nodes' address that a NodePort is reached by. It returns a
// *NotResolved while something is missing.
func ResolveGateway(in Input, service *corev1.Service, nodeAddress string) (Gateway, error) {
	gateway := Gateway{ServerName: in.GatewayServerName(), Port: 443}
	settings := in.Settings.Gateway
	if gateway.ServerName == "" {
		return Gateway{}, nil
	}
	if service != nil && len(service.Spec.Ports) > 0 {
		gateway.Port = service.Spec.Ports[0].Port
		if service.Spec.Type == corev1.ServiceTypeNodePort {
			gateway.Port = service.Spec.Ports[0].NodePort
		}
	}
	if settings.Address != "" {
		host, port, err := net.SplitHostPort(settings.Address)
		if err != nil {
			host = strings.Trim(settings.Address, "[]")
		} else if number, err := strconv.ParseUint(port, 10, 16); err == nil {
			gateway.Port = int32(number)
		}
		gateway.Host = host
		if strings.HasPrefix(host, "*.") {
			gateway.Host = gateway.ServerName
		}
		return gateway, nil
	}
	missing := func(format string, args ...any) (Gateway, error) {
		return Gateway{}, &NotResolved{teapotv1.ReasonNoGateway, fmt.Sprintf(format, args...)}
	}
	if service == nil {
		return missing("the gateway's Service %s does not exist; install the chart with gateway.enabled, or set gateway.externalAddress", settings.Service)
	}
	switch service.Spec.Type {
	case corev1.ServiceTypeNodePort:
		gateway.Host = nodeAddress
	case corev1.ServiceTypeLoadBalancer:
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if gateway.Host = ingress.IP; gateway.Host == "" {
				gateway.Host = ingress.Hostname
			}
			break
		}
	default:
		gateway.Host = service.Spec.ClusterIP
	}
	if gateway.Host == "" || gateway.Port == 0 {
		return missing("the gateway's Service %s has no address yet; wait for its load balancer, or set gateway.externalAddress", settings.Service)
	}
	return gateway, nil
}

// ValidateGatewayAddress refuses what GatewaySettings.Address cannot be.
func ValidateGatewayAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), "443"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("%q is not a port", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && (host == "" || strings.ContainsAny(host, "/: ")) {
		return fmt.Errorf("%q is neither an IP address nor a DNS name", host)
	}
	return nil
}
