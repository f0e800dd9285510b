// Command bench measures Teapot on the development cluster against the floor of package
// floor: a control plane written by hand as one pod. Floor and Teapot take turns in one
// run, so that whatever else the machine does falls on both; each figure is the median.
//
//	go run ./test/bench [-n 5] [-out bench/results.json] [-only name,...]
//
// It prints a table, and with -out writes the figures as a JSON list. All that it makes is
// labelled, and is removed at the end, when interrupted, or by the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(logr.Discard()) // of the libraries under the stand-ins
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	n, crowds, tenants, hosts, pools, wakes, connections int
	out                                                  string
	only                                                 []string
}

func parseFlags(args []string) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 5, "how often each figure is taken")
	flags.IntVar(&o.crowds, "crowds", 3, "how often ten_at_once, six_at_once, gateway_idle_connection_kib and the figures of a sandbox are taken, since they take long")
	flags.IntVar(&o.tenants, "tenants", 1000, "how many control planes the figures of a thousand are of")
	flags.IntVar(&o.hosts, "hosts", 1000, "how many hosts and claims the figures of claims are of")
	flags.IntVar(&o.pools, "pools", 100, "how many pools the figures of pools are of")
	flags.IntVar(&o.wakes, "wakes", 20, "how many wakes the figures of wake_on_request are of")
	flags.IntVar(&o.connections, "connections", 10000, "how many idle connections gateway_idle_connection_kib is of; fewer if the limit of open files (ulimit -n) is too low")
	flags.StringVar(&o.out, "out", "", "file to write the figures to, as JSON")
	flags.StringVar(&only, "only", "", "figures to take, separated by commas (default: "+strings.Join(names(), ",")+")")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || min(o.n, o.crowds, o.tenants, o.hosts, o.pools, o.wakes, o.connections) < 1 {
		return o, errors.New("takes no arguments, and -n, -crowds, -tenants, -hosts, -pools, -wakes and -connections must be at least 1")
	}
	o.only = names()
	if only != "" {
		o.only = strings.Split(only, ",")
		for _, name := range o.only {
			if !slices.Contains(names(), name) {
				return o, fmt.Errorf("-only: there is no figure %q; there are %s", name, strings.Join(names(), ", "))
			}
		}
	}
	return o, nil
}

// wants says whether one of the figures was asked for.
func (o options) wants(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(o.only, name) })
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	b, err := connect(ctx)
	if err != nil {
		return err
	}
	release, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := b.clean(ctx); err != nil {
		return fmt.Errorf("removing what an earlier run left: %w", err)
	}
	defer func() {
		// Also when interrupted: what was made is removed all the same.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		err = errors.Join(err, b.clean(cleanup))
	}()
	if err := b.setUp(ctx); err != nil {
		return err
	}

	if o.wants(readyReadyz, readyRequest, tenAtOnce, deletion) {
		progress("warm-up, not counted")
		if _, err := b.startOnce(ctx); err != nil {
			return err
		}
	}
	var results []Result
	for _, each := range []struct {
		names   []string
		measure func(context.Context, options) ([]Result, error)
	}{
		{[]string{readyReadyz, readyRequest, deletion}, b.measureStarts},
		{[]string{tenAtOnce}, b.measureCrowds},
		{[]string{tenantAnon, tenantPSS, requestMedian, requestTail}, b.measureIdle},
		{[]string{neighbourRequest, neighbourRunning}, b.measureNeighbours},
		{slices.Concat(thousandFigures, restFigures), b.measureThousand},
		{[]string{sandboxReadyRequest, sandboxMemory}, b.measureSandbox},
		{[]string{powerOnToReady}, b.measurePowerOn},
		{[]string{claimsProvisioned, claimsWrites, claimsSteadyWrites}, b.measureClaims},
		{[]string{selectHosts}, b.measureChoice},
		{[]string{sixAtOnce}, b.measureSix},
		{poolFigures, b.measurePools},
		{[]string{hibernation, resumeRequest, resumeWorking}, b.measureResume},
		{[]string{wakeMedian, wakeTail, wakeWorst, wakeFailures}, b.measureWakes},
		{entranceFigures, b.measureEntrance},
	} {
		if !o.wants(each.names...) {
			continue
		}
		taken, err := each.measure(ctx, o)
		if err != nil {
			return err
		}
		for _, result := range taken {
			if o.wants(result.Name) {
				results = append(results, result)
			}
		}
	}
	fmt.Print(table(results))
	if o.out == "" {
		return nil
	}
	return writeJSON(o.out, results)
}

// progress tells a person what goes on; figures alone go to stdout.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
