package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What clusterctl makes of a repository is in test/clusterctl.

// TestASeriesWithoutAContractIsRefused: whoever releases a new series has to say which contract of
// Cluster API it keeps.
func TestASeriesWithoutAContractIsRefused(t *testing.T) {
	for _, tt := range []struct{ version, want string }{
		{"v0.1.7", ""},
		{"v0.99.0", "release/clusterctl/metadata.yaml has no releaseSeries for version v0.99.0"},
		{"0.1.0", "leading v"},
		{"dev", "is not a semantic version"},
	} {
		_, err := (&release{root: "..", version: tt.version}).metadata()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.version, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.version, err, tt.want)
		}
	}
}

// TestClusterClassOfTheExample: the objects are those of the example, without its Namespace, and
// name none.
func TestClusterClassOfTheExample(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(classExample)))
	if err != nil {
		t.Fatal(err)
	}
	class, err := withoutNamespace(example)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Count(string(example), "\n---\n") // one document fewer
	documents := strings.Split(string(class), "\n---\n")
	if len(documents) != want {
		t.Errorf("there are %d objects, want %d", len(documents), want)
	}
	for _, document := range documents {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		if object.GetKind() == "Namespace" || object.GetNamespace() != "" {
			t.Errorf("%s %s is, or names, a namespace", object.GetKind(), object.GetName())
		}
	}
	if _, err := withoutNamespace([]byte("kind: Cluster\n")); err == nil || !strings.Contains(err.Error(), "no ClusterClass teapot") {
		t.Errorf("an example without the class: %v", err)
	}
}

// TestSubjectsOfOtherNamespacesAreKept: clusterctl writes its target namespace into those that have
// one.
func TestSubjectsOfOtherNamespacesAreKept(t *testing.T) {
	binding := &unstructured.Unstructured{Object: map[string]any{"subjects": []any{
		map[string]any{"kind": "ServiceAccount", "name": "teapot-manager", "namespace": namespace},
		map[string]any{"kind": "ServiceAccount", "name": "other", "namespace": "elsewhere"},
		map[string]any{"kind": "Group", "name": "people"},
	}}}
	if err := keepSubjects(binding); err != nil {
		t.Fatal(err)
	}
	subjects, _, _ := unstructured.NestedSlice(binding.Object, "subjects")
	for i, want := range []string{"teapot-manager", "system:serviceaccount:elsewhere:other", "people"} {
		subject := subjects[i].(map[string]any)
		if subject["name"] != want || subject["namespace"] != nil && subject["namespace"] != namespace {
			t.Errorf("subject %d is %v, want %s", i, subject, want)
		}
	}
}
