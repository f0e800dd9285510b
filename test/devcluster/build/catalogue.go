// Package build makes the upstream binaries of the development cluster, each
// from the small Go module under test/devcluster/upstream that pins it, and
// keeps them in the user's cache directory.
package build

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// DefaultKubernetesVersion is what `up` runs unless told otherwise.
const DefaultKubernetesVersion = "v1.36.3"

// Versions of the other parts. A directory upstream/<name>-<version> exists
// for each of them.
const (
	EtcdVersion         = "v3.6.8"
	ContainerdVersion   = "v2.4.2"
	RuncVersion         = "v1.5.2"
	CoreDNSVersion      = "v1.14.2"
	CNIPluginsVersion   = "v1.9.0"
	KonnectivityVersion = "v0.36.0"
	HelmVersion         = "v3.21.4"
	// GVisorVersion is a commit of gVisor's branch "go", the one that go build can build.
	GVisorVersion = "v0.0.0-20260905035102-160fafc42237"

	ClusterAPIVersion        = "v1.14.2"
	BaremetalOperatorVersion = "v0.13.2"
)

// kubernetesVersions are the versions that have a module under upstream/.
var kubernetesVersions = []string{DefaultKubernetesVersion, "v1.35.4"}

// Group is a set of binaries that one upstream module yields in one go build.
type Group struct {
	// Name is the upstream's short name, as in "kubernetes".
	Name string
	// Version is the upstream version, with the leading v.
	Version string
	// Binaries are the names of the files that the build leaves behind.
	Binaries []string

	// cgo says that the build needs a C compiler; pure Go, static binaries
	// otherwise.
	cgo bool
	// tags are Go build tags.
	tags []string
	// stamps are linker -X settings (import path and name = value).
	stamps []string
	// rename maps the name that go build gives a binary to the name under
	// which upstream ships it.
	rename map[string]string
	// patches change upstream's source before the build.
	patches []patch
	// needs are host tools and libraries that the build cannot do without.
	needs []hostNeed
}

// Dir is the group's directory name, under upstream/ and in the cache.
func (g Group) Dir() string { return g.Name + "-" + g.Version }

// ldflags returns the linker flags: no symbol tables, and version stamps.
func (g Group) ldflags() string {
	flags := []string{"-s", "-w"}
	for _, s := range g.stamps {
		flags = append(flags, "-X", s)
	}
	return strings.Join(flags, " ")
}

// Catalogue returns the groups that every cluster is made of, for one Kubernetes
// version, in the order in which it needs them. It fails for a version that has no module.
func Catalogue(kubernetesVersion string) ([]Group, error) {
	kube, err := kubernetes(kubernetesVersion)
	if err != nil {
		return nil, err
	}
	return []Group{
		kube,
		{
			Name: "etcd", Version: EtcdVersion,
			Binaries: []string{"etcd", "etcdctl", "etcdutl"},
			// The main package is …/server/v3, hence the name that go gives it.
			rename: map[string]string{"server": "etcd"},
		},
		{
			Name: "containerd", Version: ContainerdVersion,
			Binaries: []string{"containerd", "containerd-shim-runc-v2", "ctr"},
			stamps:   []string{"github.com/containerd/containerd/v2/version.Version=" + ContainerdVersion},
		},
		{
			Name: "runc", Version: RuncVersion,
			Binaries: []string{"runc"},
			cgo:      true,
			tags:     []string{"seccomp"},
			stamps:   []string{"main.version=" + strings.TrimPrefix(RuncVersion, "v")},
			needs:    []hostNeed{needGCC, needLibc, needSeccomp, needPkgConfig},
		},
		{
			Name: "coredns", Version: CoreDNSVersion,
			Binaries: []string{"coredns"},
		},
		{
			Name: "cni-plugins", Version: CNIPluginsVersion,
			Binaries: []string{"bridge", "host-local", "loopback", "portmap"},
			stamps:   []string{"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=" + CNIPluginsVersion},
		},
		{
			Name: "konnectivity", Version: KonnectivityVersion,
			Binaries: []string{"proxy-agent", "proxy-server"},
			rename:   map[string]string{"agent": "proxy-agent", "server": "proxy-server"},
		},
		{
			Name: "gvisor", Version: GVisorVersion,
			Binaries: []string{"containerd-shim-runsc-v1", "runsc"},
			rename:   map[string]string{"shim": "containerd-shim-runsc-v1"},
			stamps:   []string{"gvisor.dev/gvisor/runsc/version.version=" + GVisorVersion},
			// Upstream's shim protects itself from the OOM killer, and ends if it may not:
			// that takes CAP_SYS_RESOURCE, which not every machine of the tests has.
			patches: []patch{{
				module: "gvisor.dev/gvisor", file: "pkg/shim/v1/manager.go",
				old: "oomScoreMax = -999", new: "oomScoreMax = 0",
			}},
		},
		{
			Name: "helm", Version: HelmVersion,
			Binaries: []string{"helm"},
			// Without the last four, `helm template` assumes Kubernetes 1.20 and
			// refuses charts that ask for a newer one.
			stamps: []string{
				"helm.sh/helm/v3/internal/version.version=" + HelmVersion,
				"helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
				"helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
				"helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
				"helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=36",
			},
		},
	}, nil
}

// Machines returns the groups of what manages machines, which is not part of every
// cluster: Cluster API, both of its managers in one build, and the baremetal-operator.
func Machines() []Group {
	capi := strings.SplitN(strings.TrimPrefix(ClusterAPIVersion, "v"), ".", 3)
	const capiVersion = "sigs.k8s.io/cluster-api/version"
	return []Group{
		{
			Name: "cluster-api", Version: ClusterAPIVersion,
			Binaries: []string{"cluster-api-controller", "kubeadm-bootstrap-controller"},
			// Upstream names both binaries "manager"; here they go by their images.
			rename: map[string]string{"core": "cluster-api-controller", "kubeadm": "kubeadm-bootstrap-controller"},
			stamps: []string{
				capiVersion + ".gitVersion=" + ClusterAPIVersion,
				capiVersion + ".gitMajor=" + capi[0], capiVersion + ".gitMinor=" + capi[1],
			},
		},
		{
			Name: "baremetal-operator", Version: BaremetalOperatorVersion,
			Binaries: []string{"baremetal-operator"},
			stamps:   []string{"github.com/metal3-io/baremetal-operator/pkg/version.Raw=" + BaremetalOperatorVersion},
		},
	}
}

// kubernetes returns the group of one Kubernetes version. Its seven binaries
// and the log runner (/go-runner of upstream's images) come out of one go
// build, because they share nearly all of their packages.
func kubernetes(version string) (Group, error) {
	if !slices.Contains(kubernetesVersions, version) {
		return Group{}, fmt.Errorf("kubernetes %s cannot be built: there is a module for %s only (test/devcluster/upstream)",
			version, strings.Join(kubernetesVersions, " and "))
	}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	var stamps []string
	// Both packages carry a version: one answers for servers, the other is the
	// user agent of clients. Unstamped they say v0.0.0-master+$Format, and
	// version skew checks fall back to guesses.
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		stamps = append(stamps, pkg+".gitVersion="+version, pkg+".gitMajor="+parts[0], pkg+".gitMinor="+parts[1])
	}
	return Group{
		Name: "kubernetes", Version: version,
		Binaries: []string{
			"kube-apiserver", "kube-controller-manager", "kube-log-runner", "kube-proxy",
			"kube-scheduler", "kubeadm", "kubectl", "kubelet",
		},
		stamps: stamps,
	}, nil
}

// Find returns the group of that name.
func Find(groups []Group, name string) (Group, error) {
	var names []string
	for _, g := range groups {
		if g.Name == name {
			return g, nil
		}
		names = append(names, g.Name)
	}
	sort.Strings(names)
	return Group{}, fmt.Errorf("no group %q; there are %s", name, strings.Join(names, ", "))
}

// FindBinary returns the group that makes the binary.
func FindBinary(groups []Group, binary string) (Group, error) {
	var names []string
	for _, g := range groups {
		if slices.Contains(g.Binaries, binary) {
			return g, nil
		}
		names = append(names, g.Binaries...)
	}
	sort.Strings(names)
	return Group{}, fmt.Errorf("no binary %q; there are %s", binary, strings.Join(names, ", "))
}
