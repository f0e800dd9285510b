// teapot-gateway is the shared entrance by name to all control planes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/teapot-cloud/teapot/gateway/proxy"
	"github.com/teapot-cloud/teapot/gateway/routes"
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

// lastWritesWithin is how long the last writes have, when all connections have ended.
const lastWritesWithin = 10 * time.Second

// run lets users in until the context ends, and then until those who are in have left.
func run(ctx context.Context, args []string) error {
	flags, err := parse(args)
	if err != nil {
		return err
	}
	log := flags.logs.Start()

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the management cluster: %w", err)
	}
	config.QPS, config.Burst = flags.qps, flags.burst
	config.UserAgent = "teapot-gateway/" + version.Version
	leases, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client for the management cluster: %w", err)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := proxy.NewMetrics(registry)
	known := routes.New(routes.Options{Leases: leases, Pod: flags.podName, Clock: clock.RealClock{}, Log: log, Wrote: metrics.Wrote})
	metrics.Routes(registry, known.Table)
	flags.limits.Connections = within(openFiles(), flags.limits.Connections, log)
	server := proxy.New(proxy.Options{
		Limits: flags.limits, ProxyProtocolFrom: flags.prefixes, Routes: known, Metrics: metrics, Clock: clock.RealClock{}, Log: log,
	})

	listener, err := proxy.Listen(ctx, flags.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	web, err := startWeb(flags, registry, func() bool { return ctx.Err() == nil && known.Known() })
	if err != nil {
		return err
	}
	defer web.close()

	// The routes outlive the signal: those who are in go on to count as users.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		known.Run(running)
		close(ended)
	}()
	defer func() {
		end()
		<-ended
	}()
	accepting := make(chan error, 1)
	go func() {
		// Until then, nobody has a name: those who come already wait to be accepted.
		select {
		case <-known.Synced():
		case <-ctx.Done():
		}
		accepting <- server.Serve(listener)
	}()
	log.Info("letting users in", "version", version.Version, "address", listener.Addr().String())

	select {
	case <-ctx.Done():
	case err := <-accepting:
		return err
	}
	if err := leave(log, flags, listener, server); err != nil {
		return err
	}
	end()
	<-ended
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWritesWithin)
	defer cancel()
	if err := known.Finish(last); err != nil {
		return fmt.Errorf("writing that nobody is connected here any more: %w", err)
	}
	return nil
}

// leave ends without anybody noticing, if they are done in time: those who send connections hear first
// that this gateway is not ready, then no more are accepted, and those there are go on for a while.
func leave(log logr.Logger, flags *flags, listener io.Closer, server *proxy.Server) error {
	time.Sleep(flags.drainDelay)
	if err := listener.Close(); err != nil {
		return fmt.Errorf("ending to listen: %w", err)
	}
	log.Info("no more users are let in", "connections", server.Open(), "for", flags.drainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), flags.drainTimeout)
	defer cancel()
	server.Drain(ctx)
	return nil
}
