// Command devcluster runs a one-node Kubernetes cluster from upstream binaries
// on this machine, for the demo and the tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// errUsage marks mistakes on the command line.
var errUsage = errors.New("usage")

// newCommand returns the whole command tree.
func newCommand() *cobra.Command {
	dir := string(state.FromEnvironment())
	root := &cobra.Command{
		Use:   "devcluster",
		Short: "A one-node Kubernetes cluster from upstream binaries",
		Long: `A one-node Kubernetes cluster from upstream binaries: etcd, kube-apiserver,
kube-controller-manager, kube-scheduler, containerd, runc, kubelet, kube-proxy,
CoreDNS and CNI plugins, each built from its Go module.

All of it runs in a network namespace of its own; a forwarder on 127.0.0.1 leads
to the API server.`,
		Example: `  go run ./test/devcluster up
  export KUBECONFIG=$(go run ./test/devcluster kubeconfig)
  $(go run ./test/devcluster bin kubectl) get nodes
  go run ./test/devcluster down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentFlags().StringVar(&dir, "state-dir", dir, "where the cluster keeps its files (environment: "+state.DirEnv+")")
	root.AddCommand(
		upCommand(&dir), machinesCommand(&dir), downCommand(&dir), statusCommand(&dir), kubeconfigCommand(&dir),
		loadImageCommand(&dir), forwardCommand(&dir),
		buildCommand(), binCommand(), assetsCommand(),
		runForwarderCommand(), runStorageCommand(), runNetworkPoliciesCommand(),
	)
	return root
}
