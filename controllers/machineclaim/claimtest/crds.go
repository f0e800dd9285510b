// Package claimtest is for tests of what works on MachineClaims and BareMetalHosts against a
// real API server: upstream's CRDs, a stand-in for the baremetal-operator, and a judge that
// watches every revision of every host.
package claimtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// Scheme knows the kinds that claims have to do with.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(clusterv1.AddToScheme(scheme))
	utilruntime.Must(teapotv1.AddToScheme(scheme))
	utilruntime.Must(host.AddToScheme(scheme))
	return scheme
}

// InstallCRDs installs Metal3's CRDs of hosts and policies and Cluster API's of Cluster, of the
// versions that Teapot is built against. root is that of the repository.
func InstallCRDs(ctx context.Context, config *rest.Config, root string) error {
	metal3, err := metal3CRDs(ctx, root)
	if err != nil {
		return err
	}
	capi, err := goCommand(ctx, root, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/cluster-api")
	if err != nil {
		return err
	}
	_, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{
		Paths: []string{
			filepath.Join(metal3, "metal3.io_baremetalhosts.yaml"),
			filepath.Join(metal3, "metal3.io_hostdeploypolicies.yaml"),
			filepath.Join(capi, "core", "config", "crd", "bases", "cluster.x-k8s.io_clusters.yaml"),
		},
		ErrorIfPathMissing: true,
	})
	return err
}

// metal3CRDs is the folder of Metal3's CRDs. Teapot requires the module of the API types alone,
// which has none; the operator's own, of the same version, is downloaded, not compiled.
func metal3CRDs(ctx context.Context, root string) (string, error) {
	version, err := goCommand(ctx, root, "list", "-m", "-f", "{{.Version}}", "github.com/metal3-io/baremetal-operator/apis")
	if err != nil {
		return "", err
	}
	answer, err := goCommand(ctx, root, "mod", "download", "-json", "github.com/metal3-io/baremetal-operator@"+version)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(answer), &module); err != nil {
		return "", fmt.Errorf("reading what go mod download says: %w", err)
	}
	return filepath.Join(module.Dir, "config", "base", "crds", "bases"), nil
}

func goCommand(ctx context.Context, directory string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = directory
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w: %s", strings.Join(args, " "), directory, err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}
