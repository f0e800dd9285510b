// Package chart tests charts/teapot: what Helm renders, what it refuses, that a real API
// server accepts it, that its roles give what they say, that alerts and dashboard are sound,
// and what installing, upgrading and uninstalling do to control planes.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

const (
	namespace   = "teapot-system"
	kubeVersion = "v1.36.3"
)

// chartDir returns the chart's folder. Helm reads it in a process of its own; it is walked
// here too, so that `go test` knows not to answer from its cache when a file has changed.
func chartDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(apiserver.Root(t), "charts", "teapot")
	if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// helm runs the Helm that the environment variable HELM names.
func helm(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	binary := os.Getenv("HELM")
	if binary == "" {
		t.Fatal("HELM is not set, and Helm v3 is needed: run the tests with `make test`, which builds it, or set HELM to a helm")
	}
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	if pathError := (*exec.Error)(nil); errors.As(err, &pathError) || errors.Is(err, os.ErrNotExist) {
		t.Fatalf("HELM=%s: %v", binary, err)
	}
	return string(out), err
}

// template renders the chart for the default namespace, unless further arguments say other.
func template(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	return helm(t, values, append([]string{
		"template", "teapot", chartDir(t), "--namespace", namespace, "--kube-version", kubeVersion, "--values", "-",
	}, args...)...)
}

func render(t *testing.T, values string, args ...string) []*unstructured.Unstructured {
	t.Helper()
	out, err := template(t, values, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(out)), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, teapotv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ensureNamespace(t *testing.T, c client.Client) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := c.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// create makes an object and removes it at the end of the test.
func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(fmt.Errorf("creating %s: %w", object.GetName(), err))
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), object); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}
