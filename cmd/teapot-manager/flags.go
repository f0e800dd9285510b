package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/internal/logs"
)

// flags are what the operator decides on the command line.
type flags struct {
	controllers             controllers.Options
	gatewayService          string
	watchNamespaces         []string
	leaderElect             bool
	leaderElectionID        string
	leaderElectionNamespace string
	metricsAddress          string
	metricsCertificates     string
	healthAddress           string
	qps                     float32
	burst                   int
	logs                    logs.Flags
}

func parse(args []string) (*flags, error) {
	f := &flags{}
	set := pflag.NewFlagSet("teapot-manager", pflag.ContinueOnError)
	f.logs.Add(set)
	set.BoolVar(&f.leaderElect, "leader-elect", true, "let one replica work at a time")
	set.StringVar(&f.leaderElectionID, "leader-election-id", "teapot-manager", "name of the lease that replicas compete for")
	set.StringVar(&f.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease (default: that of the pod)")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8443", "where metrics are served over TLS; 0 to serve none")
	set.StringVar(&f.metricsCertificates, "metrics-cert-dir", "", "folder of tls.crt and tls.key for metrics, read again when they change (default: a self-signed certificate made at start)")
	set.StringVar(&f.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	set.StringSliceVar(&f.watchNamespaces, "watch-namespaces", nil, "namespaces whose TenantControlPlanes are worked on (default: all)")
	set.StringVar(&f.controllers.Settings.NodePortAddress, "node-port-address", "", "IP address of NodePort endpoints whose control plane names no host (default: an internal address of a node)")
	set.StringVar(&f.controllers.Settings.ImageRepository, "image-repository", controlplane.DefaultImageRepository, "registry.k8s.io or a mirror with the same paths")
	set.StringVar(&f.controllers.Settings.Gateway.Domain, "gateway-domain", "", "domain of the names by which users ask the shared gateway for a control plane, NAME.NAMESPACE.DOMAIN (default: there is no gateway)")
	set.StringVar(&f.controllers.Settings.Gateway.Address, "gateway-address", "", "HOST[:PORT] by which users reach the gateway; *.DOMAIN[:PORT] if the names of all control planes resolve (default: what --gateway-service tells)")
	set.StringVar(&f.gatewayService, "gateway-service", "", "NAMESPACE/NAME of the gateway's Service")
	set.IntVar(&f.controllers.MaxConcurrentReconciles, "max-concurrent-reconciles", 8, "number of control planes worked on at once")
	set.Float32Var(&f.qps, "kube-api-qps", 100, "requests per second to the management cluster's API, on average")
	set.IntVar(&f.burst, "kube-api-burst", 200, "requests to the management cluster's API in a burst")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return f, f.validate()
}

func (f *flags) validate() error {
	if address := f.controllers.Settings.NodePortAddress; address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("--node-port-address: %q is not an IP address", address)
		}
	}
	if err := f.validateGateway(); err != nil {
		return err
	}
	if n := f.controllers.MaxConcurrentReconciles; n < 1 {
		return fmt.Errorf("--max-concurrent-reconciles: must be at least 1, not %d", n)
	}
	if err := f.logs.Validate(); err != nil {
		return err
	}
	for _, namespace := range f.watchNamespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("--watch-namespaces: %q is not the name of a namespace: %s", namespace, strings.Join(problems, "; "))
		}
	}
	return nil
}

func (f *flags) validateGateway() error {
	gateway := &f.controllers.Settings.Gateway
	if f.gatewayService != "" {
		namespace, name, ok := strings.Cut(f.gatewayService, "/")
		if !ok || namespace == "" || name == "" {
			return fmt.Errorf("--gateway-service: %q is not NAMESPACE/NAME", f.gatewayService)
		}
		gateway.Service = types.NamespacedName{Namespace: namespace, Name: name}
	}
	if gateway.Address != "" {
		if err := controlplane.ValidateGatewayAddress(gateway.Address); err != nil {
			return fmt.Errorf("--gateway-address: %w", err)
		}
	}
	switch {
	case gateway.Domain == "":
		return nil
	case gateway.Address == "" && f.gatewayService == "":
		return errors.New("--gateway-domain: needs --gateway-service or --gateway-address, by which users reach the gateway")
	}
	if problems := validation.IsDNS1123Subdomain(gateway.Domain); len(problems) > 0 {
		return fmt.Errorf("--gateway-domain: %q is not a domain: %s", gateway.Domain, strings.Join(problems, "; "))
	}
	return nil
}
