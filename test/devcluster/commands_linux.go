package main

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/cluster"
	"github.com/teapot-cloud/teapot/test/devcluster/forward"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/netpolicy"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/devcluster/storage"
)

func upCommand(dir *string) *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing and start the cluster",
		Long: `Build what is missing and start the cluster; ends when the node is Ready, CoreDNS
runs and there is a default StorageClass. A running cluster is left alone, one
that lost processes is repaired. The first build takes minutes.`,
		Example: `  go run ./test/devcluster up
  go run ./test/devcluster up --kubernetes-version v1.35.4`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.New(state.Dir(*dir), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := c.Up(cmd.Context(), version); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", c.Dir.Kubeconfig())
			return err
		},
	}
	cmd.Flags().StringVar(&version, "kubernetes-version", "", "version of Kubernetes (default: that of a running cluster, or "+build.DefaultKubernetesVersion+")")
	return cmd
}

func machinesCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "machines",
		Short: "Add what manages machines: Cluster API and the baremetal-operator",
		Long: `Build what is missing of Cluster API, its kubeadm bootstrap provider and the
baremetal-operator, and add them to the running cluster; ends when they run and
their webhooks answer. What is there already is left alone. The baremetal-operator
looks for Ironic at http://` + fmt.Sprintf("%s:%d", nodenet.NodeIP, providers.IronicPort) + `, where the machine room serves it.`,
		Example: "  go run ./test/devcluster up && go run ./test/devcluster machines",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.New(state.Dir(*dir), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.Machines(cmd.Context())
		},
	}
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Stop the cluster and remove every trace of it but the build cache",
		Example: "  go run ./test/devcluster down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.New(state.Dir(*dir), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.Down(cmd.Context())
		},
	}
}

func statusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show each part with version, pid, state and log; exit 1 if something is down",
		Example: "  go run ./test/devcluster status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.New(state.Dir(*dir), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.Status(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func kubeconfigCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "kubeconfig",
		Short:   "Print the path of the administrator's kubeconfig",
		Example: "  export KUBECONFIG=$(go run ./test/devcluster kubeconfig)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := state.Dir(*dir).Kubeconfig()
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("%w: %w", cluster.ErrDown, err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
}

func loadImageCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "load-image FILE|REF...",
		Short: "Import images into the cluster's containerd",
		Long: `Import OCI or docker archives, or images pulled from their registries, into the
cluster's containerd. What is there with the same digest is skipped.`,
		Example: `  go run ./test/devcluster load-image images/out/teapot-manager.tar
  go run ./test/devcluster load-image registry.example/team/app:v1`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.New(state.Dir(*dir), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.LoadImages(cmd.Context(), args)
		},
	}
}

func forwardCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "forward LISTEN TARGET",
		Short: "Forward an address of this machine to one inside the cluster's network",
		Long: `Forward TCP from an address of this machine to an address as the node sees it, such
as a NodePort, until interrupted.`,
		Example: "  go run ./test/devcluster forward 127.0.0.1:8443 " + nodenet.NodeIP + ":30443",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := state.Dir(*dir).Load()
			if err != nil {
				return err
			}
			if record == nil {
				return cluster.ErrDown
			}
			return serve(cmd, record.NetNS, args[0], args[1])
		},
	}
}

// runForwarderCommand is the process that the cluster's kubeconfig points to.
func runForwarderCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run-forwarder NETNS LISTEN TARGET", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error { return serve(cmd, args[0], args[1], args[2]) },
	}
}

// serve listens here and dials inside the network namespace.
func serve(cmd *cobra.Command, netns, listen, target string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "forwarding %s to %s in %s\n", l.Addr(), target, netns)
	return forward.Serve(cmd.Context(), l, netdial.Dialer(netns), target)
}

// runStorageCommand is the process behind the default StorageClass.
func runStorageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run-storage-provisioner KUBECONFIG DIRECTORY", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", args[0])
			if err != nil {
				return fmt.Errorf("reading %s: %w", args[0], err)
			}
			config.QPS, config.Burst = 100, 200
			return storage.Run(cmd.Context(), config, args[1])
		},
	}
}

// runNetworkPoliciesCommand is the process that enforces network policies.
func runNetworkPoliciesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run-network-policies KUBECONFIG NETWORK", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", args[0])
			if err != nil {
				return fmt.Errorf("reading %s: %w", args[0], err)
			}
			return netpolicy.Run(cmd.Context(), config, args[1])
		},
	}
}

func buildCommand() *cobra.Command {
	var version string
	var names []string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the upstream binaries into the cache, without starting anything",
		Example: `  go run ./test/devcluster build
  go run ./test/devcluster build --group kubernetes --group etcd`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, groups, err := builder(cmd, version)
			if err != nil {
				return err
			}
			if len(names) > 0 {
				var chosen []build.Group
				for _, name := range names {
					g, err := build.Find(groups, name)
					if err != nil {
						return fmt.Errorf("%w: %w", errUsage, err)
					}
					chosen = append(chosen, g)
				}
				groups = chosen
			}
			for _, g := range groups {
				path, err := b.Ensure(cmd.Context(), g)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&version, "kubernetes-version", build.DefaultKubernetesVersion, "version of Kubernetes")
	cmd.Flags().StringSliceVar(&names, "group", nil, "only these groups (default: all)")
	return cmd
}

func binCommand() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:     "bin NAME",
		Short:   "Print the path of an upstream binary, building it if need be",
		Example: "  $(go run ./test/devcluster bin kubectl) version --client",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, groups, err := builder(cmd, version)
			if err != nil {
				return err
			}
			path, err := b.Binary(cmd.Context(), groups, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&version, "kubernetes-version", build.DefaultKubernetesVersion, "version of Kubernetes")
	return cmd
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "assets",
		Short:   "Print a directory with etcd, kube-apiserver and kubectl for controller-runtime's envtest",
		Example: "  KUBEBUILDER_ASSETS=$(go run ./test/devcluster assets) go test ./controllers/...",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, groups, err := builder(cmd, build.DefaultKubernetesVersion)
			if err != nil {
				return err
			}
			path, err := b.Assets(cmd.Context(), groups)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
}

// builder returns a builder that reports to stderr, and what it can build.
func builder(cmd *cobra.Command, version string) (*build.Builder, []build.Group, error) {
	b, err := build.NewBuilder(func(format string, args ...any) {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	})
	if err != nil {
		return nil, nil, err
	}
	groups, err := build.Catalogue(version)
	return b, slices.Concat(groups, build.Machines(), build.Tools()), err
}
