package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = "../.."

// TestReferenceIsFresh: docs/api.md is what the types say.
func TestReferenceIsFresh(t *testing.T) {
	want, err := render(root)
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, output, want)
}

// TestGeneratedIsFresh: the CRDs and deep copies are what controller-gen makes of the types.
func TestGeneratedIsFresh(t *testing.T) {
	out := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "tool", "controller-gen", "object", "paths=./"+types+"/...", "crd:crdVersions=v1",
		"output:object:dir="+out, "output:crd:dir="+filepath.Join(out, "crds"))
	command.Dir = root
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("controller-gen: %v\n%s", err, text)
	}
	sameFiles(t, filepath.Join(out, "crds"), crds, "*.yaml")
	sameFiles(t, out, types, "zz_generated.*.go")
}

// sameFiles compares the files of a new folder with those of the repository, both ways.
func sameFiles(t *testing.T, fresh, committed, pattern string) {
	t.Helper()
	made, err := filepath.Glob(filepath.Join(fresh, pattern))
	if err != nil || len(made) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sameAs(t, filepath.Join(committed, filepath.Base(path)), want)
	}
	present, err := filepath.Glob(filepath.Join(root, committed, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range present {
		if _, err := os.Stat(filepath.Join(fresh, filepath.Base(path))); err != nil {
			t.Errorf("%s is generated no more: remove it", path)
		}
	}
}

func sameAs(t *testing.T, committed string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(root, committed))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say; run `make generate` and commit it (%v)", committed, err)
	}
}
