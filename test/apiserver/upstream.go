package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Upstream is a folder or file of CRDs of another project, within its Go module.
type Upstream struct {
	module string
	// versionOf is the module of go.mod whose version is taken; empty: module is there itself.
	versionOf string
	path      string
}

// CRDs of the versions that Teapot is built against. Metal3's are in the operator's module, of
// which go.mod names that of the API types alone.
var (
	ClusterAPICRDs       = Upstream{module: clusterAPI, path: clusterAPIBases}
	ClusterCRD           = Upstream{module: clusterAPI, path: clusterAPIBases + "/cluster.x-k8s.io_clusters.yaml"}
	KubeadmBootstrapCRDs = Upstream{module: clusterAPI, path: "bootstrap/kubeadm/config/crd/bases"}
	BareMetalHostCRD     = Upstream{module: metal3, versionOf: metal3 + "/apis", path: metal3Bases + "/metal3.io_baremetalhosts.yaml"}
	HostDeployPolicyCRD  = Upstream{module: metal3, versionOf: metal3 + "/apis", path: metal3Bases + "/metal3.io_hostdeploypolicies.yaml"}
)

const (
	clusterAPI      = "sigs.k8s.io/cluster-api"
	clusterAPIBases = "core/config/crd/bases"
	metal3          = "github.com/metal3-io/baremetal-operator"
	metal3Bases     = "config/base/crds/bases"
)

// InstallUpstream installs CRDs of other projects. Their modules are fetched, not compiled.
func InstallUpstream(config *rest.Config, crds ...Upstream) error {
	root, err := root()
	if err != nil {
		return err
	}
	var paths []string
	for _, crd := range crds {
		folder, err := crd.folder(root)
		if err != nil {
			return err
		}
		paths = append(paths, filepath.Join(folder, filepath.FromSlash(crd.path)))
	}
	_, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true})
	return err
}

// folder returns where the module is.
func (u Upstream) folder(root string) (string, error) {
	versionOf := u.versionOf
	if versionOf == "" {
		versionOf = u.module
	}
	version, err := goCommand(root, "list", "-m", "-f", "{{.Version}}", versionOf)
	if err != nil {
		return "", err
	}
	said, err := goCommand(root, "mod", "download", "-json", u.module+"@"+strings.TrimSpace(string(version)))
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(said, &module); err != nil {
		return "", fmt.Errorf("reading what go mod download says of %s: %w", u.module, err)
	}
	return module.Dir, nil
}

func goCommand(directory string, args ...string) ([]byte, error) {
	command := exec.Command("go", args...)
	command.Dir = directory
	var complaint bytes.Buffer
	command.Stderr = &complaint
	said, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command, err, complaint.String())
	}
	return said, nil
}
