package netpolicy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// HealthAddress is where Run answers HTTP requests with 200 once it enforces policies,
	// and not before. The port is that of Calico's Felix.
	HealthAddress = "127.0.0.1:9099"
	// interval is the shortest time between two tables, half of kube-proxy's here: a pod that
	// is reached by its Service is then known before.
	interval = 50 * time.Millisecond
	// retryAfter is the pause after a ruleset that could not be made or applied.
	retryAfter = time.Second
)

// Run enforces the cluster's policies in the network namespace that it runs in until ctx
// ends, and leaves the table there. network is the name of the pods' network in the CNI
// configuration. It fails only if it cannot start.
func Run(ctx context.Context, config *rest.Config, network string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	policies, pods, namespaces := factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	for _, informer := range []cache.SharedIndexInformer{policies.Informer(), pods.Informer(), namespaces.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notify() },
			UpdateFunc: func(any, any) { notify() },
			DeleteFunc: func(any) { notify() },
		}); err != nil {
			return fmt.Errorf("watching: %w", err)
		}
	}
	stopWatching, err := watchResults(notify)
	if err != nil {
		return err
	}
	defer stopWatching()
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())

	e := &enforcer{network: network, policies: policies.Lister(), pods: pods.Lister(), namespaces: namespaces.Lister()}
	healthy := false
	for ctx.Err() == nil {
		var retry <-chan time.Time
		if err := e.sync(ctx); err != nil {
			klog.FromContext(ctx).Error(err, "Policies are enforced as they were before", "retryAfter", retryAfter)
			retry = time.After(retryAfter)
		} else if !healthy {
			stop, err := serveHealth(ctx)
			if err != nil {
				return err
			}
			defer stop()
			healthy = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
		select {
		case <-ctx.Done():
		case <-retry:
		case <-changed:
		}
	}
	return nil
}

// watchResults calls notify when libcni writes or removes a file. The directory is there
// from the first pod on.
func watchResults(notify func()) (stop func(), err error) {
	if err := os.MkdirAll(resultsDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of CNI results: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", resultsDir, err)
	}
	stop = func() { _ = watcher.Close() }
	if err := watcher.Add(resultsDir); err != nil {
		stop()
		return nil, fmt.Errorf("watching %s: %w", resultsDir, err)
	}
	go func() {
		for range watcher.Events {
			notify()
		}
	}()
	go func() {
		// Events were lost: the directory is read anew.
		for range watcher.Errors {
			notify()
		}
	}()
	return stop, nil
}

// enforcer keeps the table in step with the objects.
type enforcer struct {
	network    string
	policies   networkinglisters.NetworkPolicyLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	// applied is the ruleset that nft took last.
	applied string
}

// sync applies the ruleset if it has changed.
func (e *enforcer) sync(ctx context.Context) error {
	policies, err1 := e.policies.List(labels.Everything())
	pods, err2 := e.pods.List(labels.Everything())
	namespaces, err3 := e.namespaces.List(labels.Everything())
	given, err4 := readResults(resultsDir, e.network)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("listing what was watched: %w", err)
	}
	ruleset, err := Compile(policies, withAddresses(pods, given), namespaces)
	if err != nil || ruleset == e.applied {
		return err
	}
	began := time.Now()
	if err := Apply(ctx, ruleset); err != nil {
		return err
	}
	e.applied = ruleset
	klog.FromContext(ctx).Info("Applied", "policies", len(policies), "pods", len(pods), "took", time.Since(began))
	return nil
}

// Apply hands a ruleset to nft, which takes it as a whole or not at all.
func Apply(ctx context.Context, ruleset string) error {
	nft := exec.CommandContext(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(ruleset)
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("applying the nftables ruleset: %w\n%s", err, out)
	}
	return nil
}

func serveHealth(ctx context.Context) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", HealthAddress)
	if err != nil {
		return nil, fmt.Errorf("listening for health checks: %w", err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ReadHeaderTimeout: time.Second,
	}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }, nil
}
