// Package render runs Helm on charts/teapot for tests. Helm is the one that the environment
// variable HELM names; where it is missing a test fails, it is never skipped.
package render

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

const (
	// Namespace is where the chart is installed.
	Namespace = "teapot-system"
	// KubeVersion is the version of Kubernetes that the chart is rendered for.
	KubeVersion = "v1.36.3"
)

// Dir returns the chart's folder. Helm reads it in a process of its own; it is walked here
// too, so that `go test` knows not to answer from its cache when a file has changed.
func Dir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(apiserver.Root(t), "charts", "teapot")
	if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Helm runs Helm and returns what it wrote.
func Helm(t testing.TB, input string, args ...string) (string, error) {
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

// Template renders the chart, as release teapot, with values (YAML). Further arguments are
// Helm's.
func Template(t testing.TB, values string, args ...string) (string, error) {
	t.Helper()
	return Helm(t, values, append([]string{
		"template", "teapot", Dir(t), "--namespace", Namespace, "--kube-version", KubeVersion, "--values", "-",
	}, args...)...)
}

// Objects returns what Template renders.
func Objects(t testing.TB, values string, args ...string) []*unstructured.Unstructured {
	t.Helper()
	out, err := Template(t, values, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	objects, err := manifest.Parse([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
