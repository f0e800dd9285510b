package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
)

// TestLifeOfARelease begins with an older chart. Control planes outlive whatever is done to
// the release; what README.md says to remove everything with does so. It has an API server of
// its own, since it removes the CRDs.
func TestLifeOfARelease(t *testing.T) {
	config, stop, err := apiserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("KUBECONFIG", kubeconfig(t, config))
	r := release{client: newClient(t, config)}
	r.removeCRDs(t) // those that every test's API server begins with

	r.helm(t, "install", "teapot", olderChart(t), "--create-namespace")
	r.exists(t, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "tenantcontrolplanetemplates.teapot.dev"}}, false)
	r.makeTenant(t)

	t.Log("an upgrade")
	r.helm(t, "upgrade", "teapot", render.Dir(t))
	manager := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "teapot-manager"}}
	r.exists(t, manager, true)
	if image := manager.Spec.Template.Spec.Containers[0].Image; image != "ghcr.io/teapot-cloud/teapot-manager:v0.1.0" {
		t.Errorf("after the upgrade the image is %s", image)
	}
	r.exists(t, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "tenantcontrolplanetemplates.teapot.dev"}}, true)
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "tenantcontrolplanes.teapot.dev"}}
	r.exists(t, crd, true)
	if _, upgraded := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"].Properties[newerField]; !upgraded {
		t.Errorf("after the upgrade the CRD still lacks status.%s", newerField)
	}
	r.tenantIsUntouched(t)

	t.Log("an uninstallation, and an installation again")
	r.helm(t, "uninstall", "teapot")
	r.exists(t, manager, false)
	r.tenantIsUntouched(t)
	r.helm(t, "install", "teapot", render.Dir(t))
	r.exists(t, manager, true)
	r.tenantIsUntouched(t)

	t.Log("under another name")
	r.helm(t, "uninstall", "teapot")
	r.helm(t, "install", "other", render.Dir(t), "--take-ownership")
	r.tenantIsUntouched(t)
	r.helm(t, "uninstall", "other")
	r.helm(t, "install", "teapot", render.Dir(t), "--take-ownership")

	t.Log("the end")
	r.runREADME(t)
	r.exists(t, manager, false)
	crds := &apiextensionsv1.CustomResourceDefinitionList{}
	if err := r.client.List(t.Context(), crds); err != nil || len(crds.Items) > 0 {
		t.Errorf("what README.md says to remove everything with leaves %d CRDs, %v", len(crds.Items), err)
	}
	r.exists(t, r.namespace, true)
}

// kubeconfig writes a file with the access of a configuration.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// newerField is a field of the status that the older chart's CRD lacks.
const newerField = "certificatesExpire"

// olderChart is the chart as it might have been: one CRD fewer, the other without a field, an
// older image.
func olderChart(t *testing.T) string {
	t.Helper()
	older := filepath.Join(t.TempDir(), "teapot")
	if err := os.CopyFS(older, os.DirFS(render.Dir(t))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(older, "files", "crds", "teapot.dev_tenantcontrolplanetemplates.yaml")); err != nil {
		t.Fatal(err)
	}
	edit := func(name string, change func(data []byte) []byte) {
		t.Helper()
		path := filepath.Join(older, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("Chart.yaml", func(data []byte) []byte {
		return []byte(strings.NewReplacer("version: 0.1.0", "version: 0.0.1", "appVersion: v0.1.0", "appVersion: v0.0.1").Replace(string(data)))
	})
	edit("files/crds/teapot.dev_tenantcontrolplanes.yaml", func(data []byte) []byte {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			t.Fatal(err)
		}
		delete(crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"].Properties, newerField)
		data, err := yaml.Marshal(crd)
		if err != nil {
			t.Fatal(err)
		}
		return data
	})
	return older
}

// release is what the test does to a release, and the tenant that it watches meanwhile.
type release struct {
	client    client.Client
	namespace *corev1.Namespace
	plane     *teapotv1.TenantControlPlane
}

func (r *release) helm(t *testing.T, args ...string) {
	t.Helper()
	if out, err := render.Helm(t, "", append(args, "--namespace", namespace)...); err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (r *release) removeCRDs(t *testing.T) {
	t.Helper()
	if err := r.client.DeleteAllOf(t.Context(), &apiextensionsv1.CustomResourceDefinition{}); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "no CRD to be there", func(ctx context.Context) error {
		crds := &apiextensionsv1.CustomResourceDefinitionList{}
		if err := r.client.List(ctx, crds); err != nil || len(crds.Items) > 0 {
			return fmt.Errorf("%d CRDs, %w", len(crds.Items), err)
		}
		return nil
	})
}

func (r *release) makeTenant(t *testing.T) {
	t.Helper()
	r.namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "acme"}}
	r.plane = &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme"}}
	r.plane.Spec.Version = "v1.36.3"
	create(t, r.client, r.namespace)
	r.eventually(t, "the API server to serve the new kind", func(ctx context.Context) error {
		return r.client.Create(ctx, r.plane)
	})
}

// tenantIsUntouched to the byte: nobody has written the objects.
func (r *release) tenantIsUntouched(t *testing.T) {
	t.Helper()
	for _, before := range []client.Object{r.namespace, r.plane} {
		now := before.DeepCopyObject().(client.Object)
		if err := r.client.Get(t.Context(), client.ObjectKeyFromObject(before), now); err != nil {
			t.Fatal(err)
		}
		if now.GetUID() != before.GetUID() || now.GetResourceVersion() != before.GetResourceVersion() {
			t.Errorf("%T %s was written to:\n%+v\nbefore:\n%+v", now, now.GetName(), now, before)
		}
	}
}

func (r *release) exists(t *testing.T, object client.Object, want bool) {
	t.Helper()
	err := r.client.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) == want || client.IgnoreNotFound(err) != nil {
		t.Fatalf("%T %s exists: %v, want %v", object, object.GetName(), err, want)
	}
}

// runREADME runs the commands by which README.md removes everything.
func (r *release) runREADME(t *testing.T) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(render.Dir(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(kubectl delete tenantcontrolplanes.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md does not say how to remove everything")
	}
	programs := t.TempDir()
	for name, variable := range map[string]string{"kubectl": "KUBECTL", "helm": "HELM"} {
		if os.Getenv(variable) == "" {
			t.Fatalf("%s is not set: run the tests with `make test`, which builds %s", variable, name)
		}
		if err := os.Symlink(os.Getenv(variable), filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "sh", "-euxc", string(block[1]))
	command.Env = append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// eventually polls until a check succeeds.
func (r *release) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute for %s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
