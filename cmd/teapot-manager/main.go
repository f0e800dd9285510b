// teapot-manager runs Teapot's controllers.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/internal/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// leaderElectionID names the Lease that replicas of the manager compete for.
const leaderElectionID = "teapot-manager"

func run(args []string) error {
	var (
		options                 controllers.Options
		leaderElect             bool
		leaderElectionNamespace string
		metricsAddress          string
		healthAddress           string
		qps                     float32
		burst                   int
	)
	logs := textlogger.NewConfig()
	goFlags := flag.NewFlagSet("logs", flag.ContinueOnError)
	logs.AddFlags(goFlags)

	flags := pflag.NewFlagSet("teapot-manager", pflag.ContinueOnError)
	flags.AddGoFlagSet(goFlags)
	flags.BoolVar(&leaderElect, "leader-elect", true, "let one replica work at a time")
	flags.StringVar(&leaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease (default: that of the pod)")
	flags.StringVar(&metricsAddress, "metrics-bind-address", ":8080", "where metrics are served; 0 to serve none")
	flags.StringVar(&healthAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	flags.StringVar(&options.Settings.NodePortAddress, "node-port-address", "", "IP address of NodePort endpoints whose control plane names no host (default: an internal address of a node)")
	flags.StringVar(&options.Settings.ImageRepository, "image-repository", controlplane.DefaultImageRepository, "registry.k8s.io or a mirror with the same paths")
	flags.IntVar(&options.MaxConcurrentReconciles, "max-concurrent-reconciles", 8, "number of control planes worked on at once")
	flags.Float32Var(&qps, "kube-api-qps", 100, "requests per second to the management cluster's API, on average")
	flags.IntVar(&burst, "kube-api-burst", 200, "requests to the management cluster's API in a burst")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if address := options.Settings.NodePortAddress; address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("--node-port-address: %q is not an IP address", address)
		}
	}
	if options.MaxConcurrentReconciles < 1 {
		return fmt.Errorf("--max-concurrent-reconciles: must be at least 1, not %d", options.MaxConcurrentReconciles)
	}

	logger := textlogger.NewLogger(logs)
	ctrl.SetLogger(logger)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the management cluster: %w", err)
	}
	config.QPS, config.Burst = qps, burst
	config.UserAgent = "teapot-manager/" + version.Version

	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        controllers.Scheme(),
		Cache:                         controllers.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: metricsAddress},
		HealthProbeBindAddress:        healthAddress,
		LeaderElection:                leaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(10 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := controllers.Setup(mgr, options); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	logger.Info("starting", "version", version.Version)
	return mgr.Start(ctrl.SetupSignalHandler())
}
