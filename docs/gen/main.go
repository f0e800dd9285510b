// Command gen writes docs/api.md from the generated CRDs and, for conditions and reasons,
// from the comments in api/v1alpha1/conditions.go. It is run from the root of the
// repository: go run ./docs/gen.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	crds   = "charts/teapot/files/crds"
	types  = "api/v1alpha1"
	output = "docs/api.md"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	text, err := render(root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, output), text, 0o644); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}

// render returns the whole of docs/api.md.
func render(root string) ([]byte, error) {
	source, err := readSource(filepath.Join(root, types))
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(root, crds, "*.yaml"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no CRDs in %s; run `make generate` from the root of the repository", filepath.Join(root, crds))
	}
	w := &writer{source: source}
	w.linef("<!-- Written by `make generate` from the types in %s. Change those. -->", types)
	w.linef("# The API")
	w.linef("")
	w.linef("Group `teapot.dev`, version `v1alpha1`. The API server checks all that is said here and refuses what does not comply with a sentence that names the field; what it cannot see is a condition.")
	for _, path := range paths {
		if err := w.kind(path); err != nil {
			return nil, err
		}
	}
	w.conditions()
	return w.buffer.Bytes(), nil
}
