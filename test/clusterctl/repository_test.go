package clusterctl

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
	"github.com/teapot-cloud/teapot/test/render"
)

// upstream are the providers of Cluster API's own that are installed, by their names in
// test/devcluster/providers.
var upstream = map[string]struct{ name, kind, label, components, port string }{
	"cluster-api":       {"cluster-api", "CoreProvider", "cluster-api", "core-components.yaml", "CORE_WEBHOOK_PORT"},
	"kubeadm-bootstrap": {"kubeadm", "BootstrapProvider", "bootstrap-kubeadm", "bootstrap-components.yaml", "BOOTSTRAP_WEBHOOK_PORT"},
}

// repository is a local repository for clusterctl with Teapot and what it needs.
type repository struct {
	folder string
	// config is the file by which clusterctl finds the providers.
	config string
	// certificates is the folder with the certificate of the webhooks.
	certificates string
}

// newRepository makes Teapot's part as `make release-manifests` does, and upstream's of its
// manifests, with webhooks where the test runs their managers.
func newRepository(t *testing.T) *repository {
	t.Helper()
	root := apiserver.Root(t)
	// What other processes read is looked at here too, so that `go test` knows not to answer from its
	// cache when it has changed.
	render.Dir(t)
	for _, each := range []string{"release", "examples", "cmd"} {
		must(t, filepath.WalkDir(filepath.Join(root, each), func(_ string, _ fs.DirEntry, err error) error { return err }))
	}
	r := &repository{folder: t.TempDir(), certificates: t.TempDir()}
	r.config = filepath.Join(r.folder, "clusterctl.yaml")
	command := exec.CommandContext(t.Context(), "go", "run", "./release", "--helm", os.Getenv("HELM"), "--output", r.folder)
	command.Dir = root
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}

	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.certificates, "tls.crt"), certificate, 0o600))
	must(t, os.WriteFile(filepath.Join(r.certificates, "tls.key"), key, 0o600))

	builder := &build.Builder{Upstream: filepath.Join(root, "test", "devcluster", "upstream")}
	kubectl := filepath.Join(os.Getenv(apiserver.AssetsVariable), "kubectl")
	config, err := os.ReadFile(r.config)
	must(t, err)
	for _, p := range providers.All("127.0.0.1") {
		u, wanted := upstream[p.Name]
		if !wanted {
			continue
		}
		group, err := build.Find(build.Machines(), p.Group)
		must(t, err)
		source, err := builder.Source(t.Context(), group, p.Module)
		must(t, err)
		manifests, err := p.Manifests(t.Context(), kubectl, source)
		must(t, err)
		metadata, err := os.ReadFile(filepath.Join(source, "metadata.yaml"))
		must(t, err)
		folder := filepath.Join(r.folder, u.label, p.Version)
		must(t, os.MkdirAll(folder, 0o755))
		must(t, os.WriteFile(filepath.Join(folder, "metadata.yaml"), metadata, 0o600))
		must(t, os.WriteFile(filepath.Join(folder, u.components), local(t, manifests, u.port, certificate), 0o600))
		config = fmt.Appendf(config, "  - name: %s\n    type: %s\n    url: %s\n", u.name, u.kind, filepath.Join(folder, u.components))
	}
	must(t, os.WriteFile(r.config, config, 0o600))
	return r
}

// local points webhooks to loopback, at the port in a variable of clusterctl's, and leaves out what
// is cert-manager's.
func local(t *testing.T, manifests []byte, port string, authority []byte) []byte {
	t.Helper()
	objects, err := manifest.Parse(manifests)
	must(t, err)
	var file []byte
	for _, object := range objects {
		if object.GroupVersionKind().Group == "cert-manager.io" {
			continue
		}
		redirect(object.Object, port, base64.StdEncoding.EncodeToString(authority))
		text, err := yaml.Marshal(object.Object)
		must(t, err)
		file = append(append(file, "---\n"...), text...)
	}
	return file
}

func redirect(node any, port, authority string) {
	switch node := node.(type) {
	case []any:
		for _, each := range node {
			redirect(each, port, authority)
		}
	case map[string]any:
		if path, found, _ := unstructured.NestedString(node, "clientConfig", "service", "path"); found {
			node["clientConfig"] = map[string]any{"url": "https://127.0.0.1:${" + port + "}" + path, "caBundle": authority}
		}
		for _, each := range node {
			redirect(each, port, authority)
		}
	}
}

// clusterctl runs clusterctl and returns what it wrote to its standard output.
func (r *repository) clusterctl(t *testing.T, environment []string, args ...string) string {
	t.Helper()
	command := r.command(t, environment, args...)
	var complaint strings.Builder
	command.Stderr = &complaint
	said, err := command.Output()
	if err != nil {
		t.Fatalf("clusterctl %s: %v\n%s%s", strings.Join(args, " "), err, said, complaint.String())
	}
	return string(said)
}

func (r *repository) command(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	found, err := binaries()
	must(t, err)
	command := exec.CommandContext(t.Context(), found.clusterctl, append([]string{"--config", r.config}, args...)...)
	// Nothing is looked up in the Internet, and nothing written to the user's folders.
	command.Env = append(append(os.Environ(), "CLUSTERCTL_DISABLE_VERSIONCHECK=true", "GOPROXY=off",
		"HOME="+r.folder, "XDG_CONFIG_HOME="+r.folder), environment...)
	return command
}
