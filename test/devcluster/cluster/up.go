//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/netpolicy"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/proc"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

const (
	// readyLimit bounds the wait for node, DNS and StorageClass.
	readyLimit = 3 * time.Minute
	// repairLimit bounds an attempt to bring a damaged cluster back, after
	// which a fresh one is made.
	repairLimit = time.Minute
)

// Up brings the cluster to life. A running one is left as it is; one that lost
// processes is repaired; what a killed `up` or another boot left is removed and
// a fresh cluster made. An empty version means the running one's, or the
// default.
func (c *Cluster) Up(ctx context.Context, version string) error {
	if err := c.preflight(); err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if c.record, err = c.Dir.Load(); err != nil {
		return err
	}
	usable := c.record != nil && c.record.Ready && c.record.BootID == proc.BootID() && nodenet.Exists(c.netns())
	if usable && version != "" && version != c.record.KubernetesVersion {
		return fmt.Errorf("a cluster of Kubernetes %s runs: take it down first (go run ./test/devcluster down)", c.record.KubernetesVersion)
	}
	if version == "" {
		version = build.DefaultKubernetesVersion
		if usable {
			version = c.record.KubernetesVersion
		}
	}
	if usable && len(c.dead()) == 0 && c.Ready(ctx) == nil {
		c.step("the cluster is up already, Kubernetes %s", version)
		return nil
	}
	if err := c.checkDir(); err != nil {
		return err
	}
	archives, err := c.build(ctx, version)
	if err != nil {
		return err
	}
	if usable {
		c.step("repairing: %s", strings.Join(c.dead(), ", "))
		if err = c.run(ctx, archives, repairLimit); err == nil {
			c.step("the cluster is up again")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.step("that failed (%v); making a fresh cluster", err)
	}
	if err := c.remove(); err != nil {
		return fmt.Errorf("cleaning up after an earlier run: %w", err)
	}
	if err := c.create(version); err != nil {
		return err
	}
	if err := c.run(ctx, archives, readyLimit); err != nil {
		return err
	}
	c.record.Ready = true
	if err := c.Dir.Save(c.record); err != nil {
		return err
	}
	c.step("the cluster is up: Kubernetes %s, node %s at %s", version, NodeName, nodenet.NodeIP)
	return nil
}

// dead returns the parts that do not run.
func (c *Cluster) dead() []string {
	var names []string
	for _, name := range partNames {
		if !proc.Load(c.Dir, name).Alive() {
			names = append(names, name)
		}
	}
	return names
}

// checkDir refuses a directory that holds something else.
func (c *Cluster) checkDir() error {
	entries, err := os.ReadDir(string(c.Dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking at the state directory: %w", err)
	}
	if len(entries) == 0 || c.ours() {
		return nil
	}
	return fmt.Errorf("state directory %s holds files of something else: choose another with --state-dir", c.Dir)
}

// ours reports whether the state directory was made by us.
func (c *Cluster) ours() bool {
	_, err := os.Stat(c.Dir.Path(marker))
	return err == nil
}

// create makes everything that is there before the first process: directory,
// record, host settings, namespace, keys, configuration.
func (c *Cluster) create(version string) error {
	if err := state.WriteFile(c.Dir.Path(marker), nil, 0o644); err != nil {
		return err
	}
	before, err := readSysctls()
	if err != nil {
		return err
	}
	port, err := pickPort()
	if err != nil {
		return err
	}
	c.record = &state.Record{
		KubernetesVersion: version, BootID: proc.BootID(), ForwardPort: port,
		NetNS: c.netns(), NodeIP: nodenet.NodeIP, Sysctls: before, Started: time.Now(),
	}
	// Before the host is changed, so that down knows how it was.
	if err := c.Dir.Save(c.record); err != nil {
		return err
	}
	c.step("making network namespace, keys and configuration")
	if err := writeSysctls(raised(before)); err != nil {
		return err
	}
	if err := nodenet.Create(c.netns()); err != nil {
		return err
	}
	if err := c.writePKI(); err != nil {
		return err
	}
	return c.writeConfig()
}

// run starts every part that does not run, loads images beside that, applies
// the add-ons and waits until the cluster is ready.
func (c *Cluster) run(ctx context.Context, archives []imageset.Archive, limit time.Duration) error {
	if err := c.installSelf(); err != nil {
		return err
	}
	// kubelet's cgroupRoot must exist.
	if _, err := c.makeCgroup("kubelet"); err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	containerd := make(chan struct{})
	group.Go(func() error {
		for _, p := range c.parts() {
			if err := c.startPart(gctx, p); err != nil {
				return err
			}
			if p.name == "containerd" {
				close(containerd)
			}
		}
		c.step("applying CoreDNS and the default StorageClass")
		return c.applyAddons(gctx)
	})
	group.Go(func() error {
		select {
		case <-gctx.Done():
			return nil
		case <-containerd:
		}
		files := make([]string, len(archives))
		for i, a := range archives {
			files[i] = a.File
		}
		return c.load(gctx, files)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	c.step("waiting for node, CoreDNS and StorageClass")
	if err := poll(ctx, limit, c.anyDied, c.Ready); err != nil {
		return fmt.Errorf("waiting for the cluster: %w", err)
	}
	return nil
}

// anyDied returns an error if a part has ended since it was started.
func (c *Cluster) anyDied() error {
	for _, name := range c.dead() {
		return c.died(name, nil)
	}
	return nil
}

// applyAddons applies the manifests with the kubectl that was built.
func (c *Cluster) applyAddons(ctx context.Context) error {
	// The forwarder has just been started; the API server may still be filling
	// its caches of roles.
	return poll(ctx, 30*time.Second, nil, func(ctx context.Context) error {
		if out, err := c.kubectlApply(ctx, c.Dir.Path("config", "addons.yaml")).CombinedOutput(); err != nil {
			return fmt.Errorf("applying add-ons: %w\n%s", err, out)
		}
		return nil
	})
}

// kubectlApply applies a file of manifests, or standard input if it is "-".
func (c *Cluster) kubectlApply(ctx context.Context, file string) *exec.Cmd {
	return exec.CommandContext(ctx, c.bin("kubectl"), "--kubeconfig="+c.Dir.Kubeconfig(),
		"apply", "--server-side", "--force-conflicts", "--field-manager=teapot-devcluster", "-f", file)
}

// Ready returns nil if the node is Ready, CoreDNS serves, network policies are
// enforced and there is a default StorageClass, or else an error that says what is missing.
func (c *Cluster) Ready(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	node, err := client.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: %w", NodeName, err)
	}
	if !nodeReady(node) {
		return fmt.Errorf("node %s is not Ready", NodeName)
	}
	if err := c.kubeletSeen(ctx, client, node); err != nil {
		return err
	}
	dns, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("CoreDNS: %w", err)
	}
	if !deploymentAvailable(dns) {
		return errors.New("CoreDNS has no available pod")
	}
	dialCtx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := c.dialable(netpolicy.HealthAddress)(dialCtx); err != nil {
		return fmt.Errorf("network policies are not enforced yet: %w", err)
	}
	if err := c.dialable(net.JoinHostPort(dnsIP, "53"))(dialCtx); err != nil {
		return fmt.Errorf("CoreDNS does not answer at its Service's address: %w", err)
	}
	if _, err := client.StorageV1().StorageClasses().Get(ctx, "standard", metav1.GetOptions{}); err != nil {
		return fmt.Errorf("default StorageClass: %w", err)
	}
	return nil
}

// kubeletSeen returns nil if kubelet has written to the API since it was started:
// after a repair the API still tells what was true before. It makes the node
// when it first starts, and renews its lease at once when it starts again.
func (c *Cluster) kubeletSeen(ctx context.Context, client kubernetes.Interface, node *corev1.Node) error {
	kubelet := proc.Load(c.Dir, "kubelet")
	if kubelet == nil {
		return errors.New("kubelet was not started")
	}
	// The API keeps whole seconds of a creation time.
	if !node.CreationTimestamp.Time.Before(kubelet.Started.Truncate(time.Second)) {
		return nil
	}
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, NodeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("lease of node %s: %w", NodeName, err)
	}
	if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(kubelet.Started) {
		return fmt.Errorf("kubelet has not renewed the lease of node %s yet", NodeName)
	}
	return nil
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func deploymentAvailable(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas > 0
}
