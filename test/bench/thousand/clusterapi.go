package thousand

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
)

// clusterAPI are the providers that run beside the manager, by their names in package providers,
// each with its program, the port of its webhooks and its flags beside those of every one. The
// flags are those that the development cluster gives them; what is not given is upstream's default.
var clusterAPI = map[string]struct {
	binary, port string
	flags        []string
}{
	"cluster-api":       {"cluster-api-controller", "9443", []string{"--feature-gates=ClusterTopology=true,MachinePool=false"}},
	"kubeadm-bootstrap": {"kubeadm-bootstrap-controller", "9444", []string{"--feature-gates=MachinePool=false"}},
}

// startClusterAPI installs Cluster API's core and kubeadm bootstrap provider, of the version of the
// development cluster, and starts their managers: real ones, whose webhooks the API server asks.
func (r *room) startClusterAPI(ctx context.Context, progress func(format string, args ...any)) error {
	builder, err := build.NewBuilder(progress)
	if err != nil {
		return err
	}
	address := r.tenants.address
	certificate, key, err := certutil.GenerateSelfSignedCertKey(address, []net.IP{net.ParseIP(address)}, nil)
	if err != nil {
		return fmt.Errorf("making a certificate for webhooks: %w", err)
	}
	for file, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(r.folder, file), content, 0o600); err != nil {
			return err
		}
	}
	var probes []string
	for _, provider := range providers.All(address) {
		its, wanted := clusterAPI[provider.Name]
		if !wanted {
			continue
		}
		probes = append(probes, provider.Probe)
		if err := r.install(ctx, builder, provider, net.JoinHostPort(address, its.port), certificate); err != nil {
			return fmt.Errorf("installing %s: %w", provider.Name, err)
		}
		binary, err := builder.Binary(ctx, build.Machines(), its.binary)
		if err != nil {
			return err
		}
		flags := append([]string{binary, "--leader-elect=false", "--diagnostics-address=0", "--health-addr=0",
			"--webhook-cert-dir=" + r.folder, "--webhook-port=" + its.port}, its.flags...)
		started, err := startProcess(provider.Name, r.kubeconfig, filepath.Join(r.folder, provider.Name+".log"), flags...)
		if err != nil {
			return err
		}
		r.providers = append(r.providers, started)
	}
	return r.awaitWebhooks(ctx, probes)
}

// install applies a provider's manifests, with the webhooks where its manager listens. What runs
// the manager in a cluster is not among them, nor what is cert-manager's.
func (r *room) install(ctx context.Context, builder *build.Builder, provider providers.Provider, webhooks string, authority []byte) error {
	group, err := build.Find(build.Machines(), provider.Group)
	if err != nil {
		return err
	}
	source, err := builder.Source(ctx, group, provider.Module)
	if err != nil {
		return err
	}
	manifests, err := provider.Manifests(ctx, filepath.Join(os.Getenv(apiserver.AssetsVariable), "kubectl"), source)
	if err != nil {
		return err
	}
	objects, err := manifest.Parse(manifests)
	if err != nil {
		return err
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, object := range objects {
		redirect(object.Object, "https://"+webhooks, base64.StdEncoding.EncodeToString(authority))
		switch object.GetKind() {
		case "CustomResourceDefinition":
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
				return fmt.Errorf("reading CustomResourceDefinition %s: %w", object.GetName(), err)
			}
			crds = append(crds, crd)
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			if err := r.client.Create(ctx, object); err != nil {
				return fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	// It also waits until the API server serves them.
	_, err = envtest.InstallCRDs(r.config, envtest.CRDInstallOptions{CRDs: crds})
	return err
}

// redirect has webhooks asked at a URL in place of a Service.
func redirect(node any, url, authority string) {
	switch node := node.(type) {
	case []any:
		for _, each := range node {
			redirect(each, url, authority)
		}
	case map[string]any:
		if path, found, _ := unstructured.NestedString(node, "clientConfig", "service", "path"); found {
			node["clientConfig"] = map[string]any{"url": url + path, "caBundle": authority}
		}
		for _, each := range node {
			redirect(each, url, authority)
		}
	}
}

// awaitWebhooks waits until the API server admits each provider's probe.
func (r *room) awaitWebhooks(ctx context.Context, probes []string) error {
	var last error
	for _, probe := range probes {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(probe), object); err != nil {
			return err
		}
		err := r.await(ctx, time.Minute, func() bool {
			last = r.client.Create(ctx, object.DeepCopy(), client.DryRunAll)
			return last == nil
		})
		if err != nil {
			return fmt.Errorf("asking the webhooks of Cluster API about a %s: %w", object.GetKind(), errors.Join(err, last))
		}
	}
	return nil
}

// saidBy is the end of what the providers said.
func (r *room) saidBy() string {
	var said strings.Builder
	for _, provider := range r.providers {
		fmt.Fprintf(&said, "%s:\n%s\n", provider.Name, tail(filepath.Join(r.folder, provider.Name+".log")))
	}
	return said.String()
}
