//go:build linux

// Package cluster starts, repairs, inspects and removes the development
// cluster: one node made of upstream binaries as host processes, in a network
// namespace of its own, with a cgroup for each part.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/hostinfo"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

const (
	// NodeName is the name and the hostname label of the only node.
	NodeName = "teapot-dev"
	// DefaultForwardPort is the port on the host's 127.0.0.1 that leads to the
	// API server, unless it is taken.
	DefaultForwardPort = 16443
	// apiPort is the API server's port in the node's network namespace.
	apiPort = 6443
	// dnsIP and apiServiceIP are addresses in nodenet.ServiceCIDR: the tenth,
	// as with kubeadm, and the first, which kube-apiserver takes.
	dnsIP        = "10.128.0.10"
	apiServiceIP = "10.128.0.1"
	// marker is the file by which a state directory is known as one. Nothing
	// else is ever removed.
	marker = ".teapot-devcluster"
	// maxDir bounds the state directory's length: shims listen at
	// <dir>/s/<64 hex digits>, and socket paths end at 107 bytes.
	maxDir = 40
)

// Cluster is the development cluster of one state directory.
type Cluster struct {
	Dir state.Dir
	// Out receives progress, one line per step.
	Out io.Writer

	start time.Time
	host  hostinfo.Info
	// bins maps a group's name to its directory.
	bins map[string]string
	// record is what is saved in the state directory.
	record *state.Record
}

// New returns the cluster of a state directory; it need not exist yet.
func New(dir state.Dir, out io.Writer) (*Cluster, error) {
	abs, err := filepath.Abs(string(dir))
	if err != nil {
		return nil, fmt.Errorf("state directory %q: %w", dir, err)
	}
	if len(abs) > maxDir {
		return nil, fmt.Errorf("state directory %s is longer than %d bytes: sockets in it would exceed the kernel's limit", abs, maxDir)
	}
	return &Cluster{Dir: state.Dir(abs), Out: out, start: time.Now()}, nil
}

// netns is the path of the cluster's network namespace.
func (c *Cluster) netns() string { return nodenet.Path(c.Dir.Name()) }

// step prints one line of progress, with the seconds since the command began.
func (c *Cluster) step(format string, args ...any) {
	fmt.Fprintf(c.Out, "%6.1fs  %s\n", time.Since(c.start).Seconds(), fmt.Sprintf(format, args...))
}

// preflight says in one go what the host lacks.
func (c *Cluster) preflight() error {
	if os.Geteuid() != 0 {
		return errors.New("the development cluster needs root (network namespaces, cgroups, mounts): run this as root, or use CLUSTER=existing with a cluster of yours")
	}
	if err := build.MissingError("the development cluster",
		build.CommandNeed("nft", "nftables"), build.CommandNeed("iptables", "iptables"),
		build.CommandNeed("go", "golang (1.26 or newer, from https://go.dev/dl)")); err != nil {
		return err
	}
	host, err := hostinfo.Current()
	c.host = host
	return err
}

// lock serializes commands that change the cluster.
func (c *Cluster) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	return state.Lock(ctx, c.Dir.LockFile())
}

// build makes all binaries and images that are not in the cache. The images
// hold the binaries of the cluster's own version and of the default one, so
// that a tenant may be newer than its management cluster.
func (c *Cluster) build(ctx context.Context, version string) ([]imageset.Archive, error) {
	b, err := build.NewBuilder(c.step)
	if err != nil {
		return nil, err
	}
	groups, err := build.Catalogue(version)
	if err != nil {
		return nil, err
	}
	if c.bins, err = c.buildAll(ctx, b, groups); err != nil {
		return nil, err
	}
	kube, err := build.Find(groups, "kubernetes")
	if err != nil {
		return nil, err
	}
	pause, err := b.EnsurePause(ctx, kube, imageset.PauseTag)
	if err != nil {
		return nil, err
	}
	kubeDirs := map[string]string{version: c.bins["kubernetes"]}
	if version != build.DefaultKubernetesVersion {
		defaults, err := build.Catalogue(build.DefaultKubernetesVersion)
		if err != nil {
			return nil, err
		}
		newer, err := build.Find(defaults, "kubernetes")
		if err != nil {
			return nil, err
		}
		if kubeDirs[newer.Version], err = b.Ensure(ctx, newer); err != nil {
			return nil, err
		}
	}
	return imageset.Ensure(ctx, b.Cache, imageset.Sources{
		CoreDNSVersion: build.CoreDNSVersion, KonnectivityVersion: build.KonnectivityVersion,
		Kubernetes: kubeDirs, Etcd: c.bins["etcd"], CoreDNS: c.bins["coredns"],
		Konnectivity: c.bins["konnectivity"], Pause: pause,
	})
}

// buildAll ensures each group and returns where its binaries are.
func (c *Cluster) buildAll(ctx context.Context, b *build.Builder, groups []build.Group) (map[string]string, error) {
	dirs := map[string]string{}
	for _, g := range groups {
		dir, err := b.Ensure(ctx, g)
		if err != nil {
			return nil, err
		}
		dirs[g.Name] = dir
	}
	return dirs, nil
}

// restConfig is for clients that go through the forwarder, as a user's do.
func (c *Cluster) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Dir.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.Timeout = 5 * time.Second
	// Who polls paces himself, and a limiter's errors would hide what he waits for.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// client returns a client for the built-in kinds.
func (c *Cluster) client() (kubernetes.Interface, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client, nil
}

// pickPort returns the default port if nobody listens there, or a free one.
func pickPort() (int, error) {
	for _, port := range []int{DefaultForwardPort, 0} {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port, nil
	}
	return 0, errors.New("no free TCP port on 127.0.0.1")
}

// poll calls check every interval until it returns nil, the deadline passes or
// alive reports that waiting is in vain. The last error of check is reported that
// is not about the deadline itself.
func poll(ctx context.Context, limit time.Duration, alive func() error, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if alive != nil {
			if gone := alive(); gone != nil {
				return gone
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, last)
		case <-ticker.C:
		}
	}
}

// dialable reports whether something listens at an address of the namespace.
func (c *Cluster) dialable(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := netdial.Dialer(c.netns())(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// lastLines returns the end of a log file, indented, for an error message.
func lastLines(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "    " + strings.Join(lines, "\n    ")
}
