// teapot-manager runs Teapot's controllers.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // schedules name time zones, and the image has no files of them

	"github.com/spf13/pflag"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/internal/version"
)

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run runs the controllers until the context ends.
func run(ctx context.Context, args []string) error {
	flags, err := parse(args)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		go paceCollector(ctx)
	}
	logger := flags.logs.Start()

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the management cluster: %w", err)
	}
	config.QPS, config.Burst = flags.qps, flags.burst
	config.UserAgent = "teapot-manager/" + version.Version
	metricsOptions, err := serveMetrics(flags.metricsAddress, flags.metricsCertificates)
	if err != nil {
		return err
	}

	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        controllers.Scheme(),
		Cache:                         inNamespaces(controllers.CacheOptions(), flags.watchNamespaces),
		Metrics:                       metricsOptions,
		HealthProbeBindAddress:        flags.healthAddress,
		LeaderElection:                flags.leaderElect,
		LeaderElectionID:              flags.leaderElectionID,
		LeaderElectionNamespace:       flags.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(10 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := controllers.Setup(mgr, flags.controllers); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	logger.Info("starting", "version", version.Version)
	return mgr.Start(ctx)
}

// serveMetrics serves metrics over TLS to whom the management cluster's API server knows and
// allows to get /metrics. The certificate is that of a folder, read again when it changes, or
// one made now.
func serveMetrics(address, certificates string) (metricsserver.Options, error) {
	options := metricsserver.Options{
		BindAddress:    address,
		SecureServing:  true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
		CertDir:        certificates,
		// Without HTTP/2, of which scrapes have no need, a stranger cannot open streams by the
		// thousand on one connection (CVE-2023-44487).
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	}
	if certificates == "" {
		return options, nil
	}
	// controller-runtime would quietly serve a certificate of its own instead.
	options.CertName, options.KeyName = "tls.crt", "tls.key"
	if _, err := tls.LoadX509KeyPair(filepath.Join(certificates, options.CertName), filepath.Join(certificates, options.KeyName)); err != nil {
		return options, fmt.Errorf("--metrics-cert-dir: %w", err)
	}
	return options, nil
}
