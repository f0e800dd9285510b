//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/proc"
)

// part is one process of the cluster.
type part struct {
	name, version string
	// args is the program and its arguments.
	args []string
	// env is added to the environment.
	env []string
	// outside starts it in the host's network namespace.
	outside bool
	// ready returns nil once the part serves; nil means that the final wait
	// for the whole cluster covers it.
	ready func(context.Context) error
}

// Names of the parts that are this very program.
const (
	forwarderPart = "forwarder"
	storagePart   = "storage-provisioner"
	policyPart    = "network-policies"
)

// partNames is the order in which parts are started; they are stopped in
// reverse.
var partNames = []string{
	"etcd", "containerd", "kube-apiserver", forwarderPart,
	"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", storagePart, policyPart,
}

// parts describes all processes, in the order of partNames.
func (c *Cluster) parts() []part {
	kube := c.record.KubernetesVersion
	pki := func(name string) string { return c.Dir.Path("pki", name) }
	config := func(name string) string { return c.Dir.Path("config", name) }
	self := c.Dir.Path("bin", "devcluster")
	api := net.JoinHostPort(nodenet.NodeIP, strconv.Itoa(apiPort))
	return []part{
		{name: "etcd", version: build.EtcdVersion, ready: c.dialable("127.0.0.1:2379"), args: []string{
			c.bin("etcd"), "--name=" + NodeName, "--data-dir=" + c.Dir.Path("etcd"),
			"--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379",
			"--listen-peer-urls=https://127.0.0.1:2380", "--initial-advertise-peer-urls=https://127.0.0.1:2380",
			"--initial-cluster=" + NodeName + "=https://127.0.0.1:2380",
			"--listen-metrics-urls=http://127.0.0.1:2381",
			"--client-cert-auth", "--trusted-ca-file=" + pki("etcd-ca.crt"),
			"--cert-file=" + pki("etcd.crt"), "--key-file=" + pki("etcd.key"),
			"--peer-client-cert-auth", "--peer-trusted-ca-file=" + pki("etcd-ca.crt"),
			"--peer-cert-file=" + pki("etcd.crt"), "--peer-key-file=" + pki("etcd.key"),
			"--quota-backend-bytes=4294967296",
		}},
		{
			name: "containerd", version: build.ContainerdVersion, ready: c.containerdReady,
			args: []string{c.bin("containerd"), "--config=" + config("containerd.toml"), "--log-level=info"},
			// The shim's own look at its features takes runc from PATH, whatever
			// BinaryName says.
			env: []string{"PATH=" + c.bins["runc"] + ":" + proc.Path},
		},
		{name: "kube-apiserver", version: kube, ready: c.apiServerReady, args: []string{
			c.bin("kube-apiserver"),
			"--advertise-address=" + nodenet.NodeIP, "--secure-port=" + strconv.Itoa(apiPort), "--allow-privileged",
			"--service-cluster-ip-range=" + nodenet.ServiceCIDR,
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
			"--client-ca-file=" + pki("ca.crt"), "--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction", "--enable-bootstrap-token-auth",
			"--etcd-servers=https://127.0.0.1:2379", "--etcd-cafile=" + pki("etcd-ca.crt"),
			"--etcd-certfile=" + pki("apiserver-etcd-client.crt"), "--etcd-keyfile=" + pki("apiserver-etcd-client.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"),
			"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
			"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("sa.key"), "--service-account-signing-key-file=" + pki("sa.key"),
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User",
			"--proxy-client-cert-file=" + pki("front-proxy-client.crt"),
			"--proxy-client-key-file=" + pki("front-proxy-client.key"),
			"--audit-policy-file=" + config("audit.yaml"), "--audit-log-path=" + c.Dir.Path("logs", "audit.log"),
			"--audit-log-maxsize=200", "--audit-log-maxbackup=2",
		}},
		{name: forwarderPart, version: kube, outside: true, args: []string{
			self, "run-forwarder", c.netns(), fmt.Sprintf("127.0.0.1:%d", c.record.ForwardPort), api,
		}},
		{name: "kube-controller-manager", version: kube, args: []string{
			c.bin("kube-controller-manager"),
			"--kubeconfig=" + config("kube-controller-manager.kubeconfig"),
			"--authentication-kubeconfig=" + config("kube-controller-manager.kubeconfig"),
			"--authorization-kubeconfig=" + config("kube-controller-manager.kubeconfig"),
			"--bind-address=127.0.0.1", "--client-ca-file=" + pki("ca.crt"),
			"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
			"--root-ca-file=" + pki("ca.crt"), "--service-account-private-key-file=" + pki("sa.key"),
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
			"--controllers=*,bootstrapsigner,tokencleaner", "--use-service-account-credentials",
			"--service-cluster-ip-range=" + nodenet.ServiceCIDR, "--cluster-cidr=" + nodenet.PodCIDR,
			"--kube-api-qps=200", "--kube-api-burst=400",
			// One instance, and on a busy machine it would lose its lease and exit.
			"--leader-elect=false",
		}},
		{name: "kube-scheduler", version: kube, args: []string{
			c.bin("kube-scheduler"), "--config=" + config("scheduler.yaml"), "--bind-address=127.0.0.1",
			"--authentication-kubeconfig=" + config("kube-scheduler.kubeconfig"),
			"--authorization-kubeconfig=" + config("kube-scheduler.kubeconfig"),
			"--client-ca-file=" + pki("ca.crt"), "--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
		}},
		{name: "kubelet", version: kube, args: []string{
			c.bin("kubelet"), "--config=" + config("kubelet.yaml"), "--kubeconfig=" + config("kubelet.kubeconfig"),
			"--root-dir=" + c.Dir.Path("kubelet"), "--cert-dir=" + c.Dir.Path("kubelet", "pki"),
			"--hostname-override=" + NodeName, "--node-ip=" + nodenet.NodeIP,
		}},
		{name: "kube-proxy", version: kube, args: []string{
			c.bin("kube-proxy"), "--config=" + config("kube-proxy.yaml"),
		}},
		{name: storagePart, version: kube, args: []string{
			self, "run-storage-provisioner", config("storage.kubeconfig"), c.Dir.Volumes(),
		}},
		{name: policyPart, version: kube, args: []string{self, "run-network-policies", config("netpolicy.kubeconfig"), c.Dir.Name()}},
	}
}

// containerdReady asks whether the socket answers.
func (c *Cluster) containerdReady(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Dir.ContainerdSocket())
	if err != nil {
		return err
	}
	return conn.Close()
}

// apiServerReady asks /readyz inside the namespace, since the forwarder is not
// up yet.
func (c *Cluster) apiServerReady(ctx context.Context) error {
	ca, err := certutil.NewPool(c.Dir.Path("pki", "ca.crt"))
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:       netdial.Dialer(c.netns()),
		TLSClientConfig:   &tls.Config{RootCAs: ca},
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s:%d/readyz", nodenet.NodeIP, apiPort), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("kube-apiserver's /readyz says %s", resp.Status)
	}
	return nil
}

// startPart starts a part unless it runs, and waits until it serves.
func (c *Cluster) startPart(ctx context.Context, p part) error {
	process := proc.Load(c.Dir, p.name)
	if !process.Alive() {
		place, err := c.place(p.name)
		if err != nil {
			return err
		}
		launch := func() error {
			process, err = proc.Start(c.Dir, proc.Spec{Name: p.name, Version: p.version, Args: p.args, Env: p.env}, place)
			return err
		}
		c.step("starting %s %s", p.name, p.version)
		if p.outside {
			err = launch()
		} else {
			err = netdial.Do(c.netns(), launch)
		}
		if err != nil {
			return err
		}
	}
	if p.ready == nil {
		return nil
	}
	if err := poll(ctx, time.Minute, func() error { return c.died(p.name, process) }, p.ready); err != nil {
		return fmt.Errorf("waiting for %s (log: %s): %w", p.name, c.Dir.Log(p.name), err)
	}
	return nil
}

// died returns an error with the end of the log if the process has ended.
func (c *Cluster) died(name string, process *proc.Process) error {
	if process.Alive() {
		return nil
	}
	return fmt.Errorf("%s ended:\n%s", name, lastLines(c.Dir.Log(name), 8))
}

// installSelf copies this program to where the parts that are this program run
// from: `go run` removes its own copy when the command ends.
func (c *Cluster) installSelf() error {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	dest := c.Dir.Path("bin", "devcluster")
	if err := os.MkdirAll(c.Dir.Path("bin"), 0o755); err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	// By a rename, since the old file may be running.
	if err := os.WriteFile(dest+".tmp", exe, 0o755); err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	return os.Rename(dest+".tmp", dest)
}
