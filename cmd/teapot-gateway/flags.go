package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/gateway/proxy"
	"github.com/teapot-cloud/teapot/internal/logs"
)

// usage is what --help begins with.
const usage = `teapot-gateway lets users reach hosted control planes by name: it reads which name a TLS
client asks for and passes the connection on, unopened, to that control plane's API server. It wakes
control planes that sleep.

Examples:
  # Behind a Service, as the chart runs it
  teapot-gateway --listen=:6443

  # Behind a load balancer of 192.0.2.0/24 that tells of clients by the PROXY protocol
  teapot-gateway --listen=:6443 --proxy-protocol-from=192.0.2.0/24

  # On your own computer, with a kubeconfig of the management cluster
  KUBECONFIG=management.yaml teapot-gateway --listen=127.0.0.1:6443 --pod-name=me

Flags:
`

// flags are what the operator decides on the command line.
type flags struct {
	listen            string
	metricsAddress    string
	healthAddress     string
	podName           string
	limits            proxy.Limits
	proxyProtocolFrom []string
	prefixes          []netip.Prefix
	drainDelay        time.Duration
	drainTimeout      time.Duration
	qps               float32
	burst             int
	logs              logs.Flags
}

func parse(args []string) (*flags, error) {
	f := &flags{}
	set := pflag.NewFlagSet("teapot-gateway", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() { fmt.Fprint(os.Stderr, usage, set.FlagUsagesWrapped(100)) }
	set.StringVar(&f.listen, "listen", ":6443", "where users come in")
	set.StringSliceVar(&f.proxyProtocolFrom, "proxy-protocol-from", nil, "address ranges of load balancers, such as 192.0.2.0/24, whose connections begin with a PROXY protocol header (version 1 or 2); theirs must have one, and nobody else's may")
	set.IntVar(&f.limits.Connections, "max-connections", 20000, "connections at once")
	set.IntVar(&f.limits.ConnectionsPerTenant, "max-connections-per-tenant", 1000, "connections to one control plane at once, held ones included")
	set.IntVar(&f.limits.Hellos, "max-hellos", 2000, "connections at once that have not said yet whom they ask for")
	set.IntVar(&f.limits.HellosPerClient, "max-hellos-per-client", 200, "the same, of one client's address")
	set.DurationVar(&f.limits.Hello, "hello-timeout", 10*time.Second, "how long a client has to say whom it asks for")
	set.DurationVar(&f.limits.Hold, "hold", 8500*time.Millisecond, "how long a connection waits for an API server that wakes, and is closed then; kubectl waits for 10s")
	set.DurationVar(&f.limits.Idle, "idle-timeout", time.Hour, "after how long without a byte a connection is ended; kubectl and controllers send one every 30s on connections that they use, so one that is silent for an hour has no user")
	set.DurationVar(&f.drainDelay, "drain-delay", 5*time.Second, "how long connections are accepted after the signal to end, until those who send them have heard of it")
	set.DurationVar(&f.drainTimeout, "drain-timeout", 5*time.Minute, "how long connections may go on after that")
	set.StringVar(&f.podName, "pod-name", os.Getenv("POD_NAME"), "name under which this gateway tells of users (default: POD_NAME, or else the host's name)")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8080", "where /metrics is served over HTTP, without a word of tenants or clients; 0 to serve none")
	set.StringVar(&f.healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served over HTTP; 0 to serve none")
	set.Float32Var(&f.qps, "kube-api-qps", 50, "requests per second to the management cluster's API, on average")
	set.IntVar(&f.burst, "kube-api-burst", 100, "requests to the management cluster's API in a burst")
	f.logs.Add(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("there are no arguments but flags: %q", set.Arg(0))
	}
	if f.podName == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("--pod-name: give one, since the host's name is not to be had: %w", err)
		}
		f.podName = name
	}
	return f, f.validate()
}

func (f *flags) validate() error {
	for name, n := range map[string]int{
		"max-connections": f.limits.Connections, "max-connections-per-tenant": f.limits.ConnectionsPerTenant,
		"max-hellos": f.limits.Hellos, "max-hellos-per-client": f.limits.HellosPerClient, "kube-api-burst": f.burst,
	} {
		if n < 1 {
			return fmt.Errorf("--%s: must be at least 1, not %d", name, n)
		}
	}
	for name, d := range map[string]time.Duration{
		"hello-timeout": f.limits.Hello, "hold": f.limits.Hold, "idle-timeout": f.limits.Idle,
	} {
		if d <= 0 {
			return fmt.Errorf("--%s: must be more than 0, not %s", name, d)
		}
	}
	if f.drainDelay < 0 || f.drainTimeout < 0 {
		return errors.New("--drain-delay and --drain-timeout: must not be less than 0")
	}
	if f.qps <= 0 {
		return fmt.Errorf("--kube-api-qps: must be more than 0, not %g", f.qps)
	}
	for _, text := range f.proxyProtocolFrom {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--proxy-protocol-from: %q is not a range of addresses such as 192.0.2.0/24", text)
		}
		f.prefixes = append(f.prefixes, prefix.Masked())
	}
	if problems := validation.IsQualifiedName(teapotv1.GatewayActivityAnnotation + f.podName); len(problems) > 0 {
		return fmt.Errorf("--pod-name: %q cannot be the name of a pod: %s", f.podName, strings.Join(problems, "; "))
	}
	return f.logs.Validate()
}
