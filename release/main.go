// release writes what `clusterctl` installs Teapot from, and makes Clusters from: a repository in
// the layout of Cluster API's clusterctl contract, version v1beta2.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/clusterctl
//
//	go run ./release --helm helm --output dist/clusterctl
//
// The components are what Helm renders of charts/teapot, the ClusterClass is that of
// examples/cluster-class.yaml: nothing is written twice. What is written by hand is in
// release/clusterctl.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := pflag.NewFlagSet("release", pflag.ContinueOnError)
	var r release
	output := flags.String("output", filepath.Join("dist", "clusterctl"), "folder to write to; what was written there before is replaced")
	flags.StringVar(&r.root, "root", ".", "root of the repository")
	flags.StringVar(&r.helm, "helm", "helm", "Helm v3")
	flags.StringVar(&r.version, "version", "", "version of the release, for example v0.1.0 (default: the chart's appVersion)")
	flags.StringVar(&r.image, "image", "", "name of the manager's image, without a tag; the gateway's, teapot-gateway, is beside it (default: the chart's)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	return write(*output, r.version, files)
}

// write writes the repository and, beside it, a configuration with which clusterctl finds it.
func write(output, version string, files map[string][]byte) error {
	output, err := filepath.Abs(output) // clusterctl wants absolute paths of a local repository
	if err != nil {
		return err
	}
	config := "# Finds this repository: clusterctl --config FILE …\nproviders:\n"
	for _, p := range providers {
		// Only these: the folder may be one in which there is something else.
		if err := os.RemoveAll(filepath.Join(output, p.label())); err != nil {
			return err
		}
		config += fmt.Sprintf("  - name: %s\n    type: %s\n    url: %s\n", p.name, p.kind, filepath.Join(output, p.label(), version, p.components))
	}
	files[configName] = []byte(config)
	for name, content := range files {
		path := filepath.Join(output, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
