package providers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
)

// Upstream's own manifests render, and nothing in them is left that needs cert-manager,
// clusterctl or a registry. It needs kubectl, and the modules from the module proxy.
func TestUpstreamManifests(t *testing.T) {
	upstream, err := filepath.Abs(filepath.Join("..", "upstream"))
	if err != nil {
		t.Fatal(err)
	}
	builder := &build.Builder{Upstream: upstream}
	assets := os.Getenv(apiserver.AssetsVariable)
	if assets == "" {
		t.Fatalf("%s does not name the folder of kubectl: export %[1]s=$(make assets)", apiserver.AssetsVariable)
	}
	kubectl := filepath.Join(assets, "kubectl")
	for _, p := range All("192.0.2.1") {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			group, err := build.Find(build.Machines(), p.Group)
			if err != nil {
				t.Fatal(err)
			}
			source, err := builder.Source(t.Context(), group, p.Module)
			if err != nil {
				t.Fatal(err)
			}
			manifests, err := p.Manifests(t.Context(), kubectl, source)
			if err != nil {
				t.Fatal(err)
			}
			var calls int
			r, err := p.Render(manifests, "build-1", issuer(&calls))
			if err != nil {
				t.Fatal(err)
			}
			if calls != 1 {
				t.Errorf("%d certificates, want one for its webhooks", calls)
			}
			var crds []apiextensionsv1.CustomResourceDefinition
			for _, o := range r.Objects {
				checkAuthority(t, o)
				switch o.GetKind() {
				case "CustomResourceDefinition":
					crds = append(crds, typed[apiextensionsv1.CustomResourceDefinition](t, o))
				case "Deployment":
					checkContainers(t, typed[appsv1.Deployment](t, o), p)
				}
			}
			checkProbe(t, p, crds)
		})
	}
}

// checkAuthority fails for a webhook that the API server would not trust.
func checkAuthority(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	var bundles [][]byte
	switch o.GetKind() {
	case "MutatingWebhookConfiguration":
		for _, w := range typed[admissionv1.MutatingWebhookConfiguration](t, o).Webhooks {
			bundles = append(bundles, w.ClientConfig.CABundle)
		}
	case "ValidatingWebhookConfiguration":
		for _, w := range typed[admissionv1.ValidatingWebhookConfiguration](t, o).Webhooks {
			bundles = append(bundles, w.ClientConfig.CABundle)
		}
	case "CustomResourceDefinition":
		if c := typed[apiextensionsv1.CustomResourceDefinition](t, o).Spec.Conversion; c != nil && c.Webhook != nil {
			bundles = append(bundles, c.Webhook.ClientConfig.CABundle)
		}
	case "Certificate", "Issuer":
		t.Errorf("%s %s is left for cert-manager", o.GetKind(), o.GetName())
	}
	for i, bundle := range bundles {
		if string(bundle) != "CA" {
			t.Errorf("%s %s: the authority of webhook %d is %q", o.GetKind(), o.GetName(), i, bundle)
		}
	}
}

// checkContainers fails for a container that would not start here.
func checkContainers(t *testing.T, d appsv1.Deployment, p Provider) {
	t.Helper()
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Image != p.Image || !strings.HasSuffix(c.Image, ":"+p.Version) {
			t.Errorf("container %s: image %s, want %s, version %s", c.Name, c.Image, p.Image, p.Version)
		}
		if args := strings.Join(c.Args, " "); strings.Contains(args, "${") {
			t.Errorf("container %s: arguments %s are not filled in", c.Name, args)
		}
	}
}

// checkProbe fails for a probe that no webhook sees: it must be of a kind that the
// provider brings, and, if its CRD converts, in a version other than the stored one.
func checkProbe(t *testing.T, p Provider, crds []apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	probe := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(p.Probe), &probe.Object); err != nil {
		t.Fatal(err)
	}
	kind := probe.GroupVersionKind()
	for _, crd := range crds {
		if crd.Spec.Group != kind.Group || crd.Spec.Names.Kind != kind.Kind {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Name != kind.Version {
				continue
			}
			converts := crd.Spec.Conversion != nil && crd.Spec.Conversion.Strategy == apiextensionsv1.WebhookConverter
			if !v.Served || converts && v.Storage {
				t.Errorf("the probe's version %s: served %t, stored %t; its conversion is not tried", v.Name, v.Served, v.Storage)
			}
			return
		}
	}
	t.Errorf("no CRD of %s has the probe's kind %s", p.Name, kind)
}
