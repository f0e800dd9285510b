//go:build linux

package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/keyutil"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/pki"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/devcluster/storage"
)

//go:embed templates
var templates embed.FS

// provisionerUser is the user name of the storage provisioner.
const provisionerUser = "teapot-devcluster:storage"

// policyUser is the user name of what enforces network policies.
const policyUser = "teapot-devcluster:netpolicy"

// templateFiles maps each template to its place in the state directory.
var templateFiles = map[string]string{
	"containerd.toml": "config/containerd.toml",
	"runsc.toml":      "config/runsc.toml",
	"cni.conflist":    "cni/net.d/10-teapot-devcluster.conflist",
	"kubelet.yaml":    "config/kubelet.yaml",
	"kube-proxy.yaml": "config/kube-proxy.yaml",
	"scheduler.yaml":  "config/scheduler.yaml",
	"audit.yaml":      "config/audit.yaml",
	"resolv.conf":     "config/resolv.conf",
	"addons.yaml":     "config/addons.yaml",
}

// values are what templates refer to.
type values struct {
	Dir, Containerd, Shim, Runc, CNIBin string
	RunscShim, Runsc                    string
	PauseImage, CoreDNSImage            string
	CgroupDriver, CgroupRoot            string
	SystemdCgroup, FailCgroupV1         bool
	RestrictOOM                         bool
	NodeName, DNSIP, PodCIDR, Gateway   string
	CNINetwork                          string
	ProvisionerName, ProvisionerUser    string
	PolicyUser                          string
}

// writeConfig writes the configuration files of all parts.
func (c *Cluster) writeConfig() error {
	all, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/*")
	if err != nil {
		return fmt.Errorf("parsing templates: %w", err)
	}
	v := values{
		Dir: string(c.Dir), Containerd: c.Dir.ContainerdSocket(),
		Shim: c.bin("containerd-shim-runc-v2"), Runc: c.bin("runc"), CNIBin: c.bins["cni-plugins"],
		RunscShim: c.bin("containerd-shim-runsc-v1"), Runsc: c.bin("runsc"),
		PauseImage: imageset.PauseImage, CoreDNSImage: imageset.CoreDNSImage(build.CoreDNSVersion),
		CgroupDriver: c.host.CgroupDriver(), CgroupRoot: c.host.CgroupRoot(c.Dir.Name()),
		SystemdCgroup: c.host.SystemdCgroup(), FailCgroupV1: c.host.FailCgroupV1(),
		// Also where the capability exists: pods then keep the score that we
		// can always give them, on every machine the same.
		RestrictOOM: true,
		NodeName:    NodeName, CNINetwork: c.Dir.Name(), DNSIP: dnsIP, PodCIDR: nodenet.PodCIDR, Gateway: nodenet.Gateway,
		ProvisionerName: storage.ProvisionerName, ProvisionerUser: provisionerUser,
		PolicyUser: policyUser,
	}
	for name, path := range templateFiles {
		var out bytes.Buffer
		if err := all.ExecuteTemplate(&out, name, v); err != nil {
			return fmt.Errorf("rendering %s: %w", name, err)
		}
		if err := state.WriteFile(c.Dir.Path(path), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.Dir.Volumes(), 0o711); err != nil {
		return fmt.Errorf("making the directory of volumes: %w", err)
	}
	return nil
}

// bin returns the path of a binary of the groups that were built.
func (c *Cluster) bin(name string) string {
	for _, dir := range c.bins {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return filepath.Join("/nonexistent", name)
}

// writePKI makes all keys, certificates and kubeconfigs.
func (c *Cluster) writePKI() error {
	ca, err := c.authority("ca", "teapot-devcluster")
	if err != nil {
		return err
	}
	etcdCA, err := c.authority("etcd-ca", "teapot-devcluster-etcd")
	if err != nil {
		return err
	}
	frontProxyCA, err := c.authority("front-proxy-ca", "teapot-devcluster-front-proxy")
	if err != nil {
		return err
	}
	const masters = "system:masters"
	for file, issue := range map[string]struct {
		ca *pki.CA
		id pki.Identity
	}{
		"etcd":                     {etcdCA, pki.Identity{CommonName: "etcd", Hosts: []string{"127.0.0.1", "localhost"}}},
		"apiserver-etcd-client":    {etcdCA, pki.Identity{CommonName: "kube-apiserver"}},
		"front-proxy-client":       {frontProxyCA, pki.Identity{CommonName: "front-proxy-client"}},
		"kubelet":                  {ca, pki.Identity{CommonName: NodeName, Hosts: []string{NodeName, nodenet.NodeIP, "127.0.0.1"}}},
		"apiserver-kubelet-client": {ca, pki.Identity{CommonName: "kube-apiserver-kubelet-client", Groups: []string{masters}}},
		"apiserver": {ca, pki.Identity{CommonName: "kube-apiserver", Hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"localhost", NodeName, apiServiceIP, nodenet.NodeIP, "127.0.0.1",
		}}},
	} {
		pair, err := issue.ca.Issue(issue.id)
		if err != nil {
			return err
		}
		if err := c.writePair(file, pair); err != nil {
			return err
		}
	}
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return fmt.Errorf("making the service-account key: %w", err)
	}
	if err := state.WriteFile(c.Dir.Path("pki", "sa.key"), key, 0o600); err != nil {
		return err
	}
	inside := fmt.Sprintf("https://%s:%d", nodenet.NodeIP, apiPort)
	for file, id := range map[string]pki.Identity{
		"kubelet":                 {CommonName: "system:node:" + NodeName, Groups: []string{"system:nodes"}},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
		"storage":                 {CommonName: provisionerUser},
		"netpolicy":               {CommonName: policyUser},
	} {
		if err := c.writeKubeconfig(ca, c.Dir.Path("config", file+".kubeconfig"), inside, id, ""); err != nil {
			return err
		}
	}
	return c.writeKubeconfig(ca, c.Dir.Kubeconfig(), fmt.Sprintf("https://127.0.0.1:%d", c.record.ForwardPort),
		pki.Identity{CommonName: "teapot-devcluster-admin", Groups: []string{masters}},
		"# Teapot's development cluster. The server is the forwarder on this machine's\n"+
			"# 127.0.0.1: it leads to "+inside+" in network namespace\n"+
			"# "+c.netns()+", which nothing else on this machine reaches.\n")
}

// authority makes a CA and writes it.
func (c *Cluster) authority(file, name string) (*pki.CA, error) {
	ca, err := pki.NewCA(name)
	if err != nil {
		return nil, err
	}
	return ca, c.writePair(file, ca.Pair)
}

// writePair writes <file>.crt and <file>.key.
func (c *Cluster) writePair(file string, pair pki.Pair) error {
	if err := state.WriteFile(c.Dir.Path("pki", file+".crt"), pair.Cert, 0o644); err != nil {
		return err
	}
	return state.WriteFile(c.Dir.Path("pki", file+".key"), pair.Key, 0o600)
}

// writeKubeconfig issues a client certificate and writes a kubeconfig, with a
// comment above it.
func (c *Cluster) writeKubeconfig(ca *pki.CA, path, server string, id pki.Identity, comment string) error {
	pair, err := ca.Issue(id)
	if err != nil {
		return err
	}
	data, err := clientcmd.Write(*pki.Kubeconfig("teapot-devcluster", server, ca.Cert, id.CommonName, pair))
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return state.WriteFile(path, append([]byte(comment), data...), 0o600)
}

// sysctls are the host's settings that the cluster needs: kubelet's own three,
// and inotify instances, of which every API server takes several, all tenants'
// under the same user.
var sysctls = map[string]string{
	"vm/overcommit_memory":          "1",
	"kernel/panic":                  "10",
	"kernel/panic_on_oops":          "1",
	"fs/inotify/max_user_instances": "8192",
	"fs/inotify/max_user_watches":   "524288",
}

// readSysctls returns the present values of the settings that will change.
func readSysctls() (map[string]string, error) {
	before := map[string]string{}
	for name := range sysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return nil, fmt.Errorf("reading sysctl %s: %w", name, err)
		}
		before[name] = string(bytes.TrimSpace(value))
	}
	return before, nil
}

// raised returns the settings for the cluster: those of sysctls, except limits
// that are higher already.
func raised(before map[string]string) map[string]string {
	settings := map[string]string{}
	for name, want := range sysctls {
		if strings.HasPrefix(name, "fs/") {
			have, err1 := strconv.Atoi(before[name])
			need, err2 := strconv.Atoi(want)
			if err1 == nil && err2 == nil && have >= need {
				continue
			}
		}
		settings[name] = want
	}
	return settings
}

// writeSysctls sets what differs.
func writeSysctls(settings map[string]string) error {
	for name, value := range settings {
		path := filepath.Join("/proc/sys", name)
		if now, err := os.ReadFile(path); err == nil && string(bytes.TrimSpace(now)) == value {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting sysctl %s: %w", name, err)
		}
	}
	return nil
}
