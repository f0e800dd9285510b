package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

// provider is one of the two kinds of provider that Teapot is.
type provider struct {
	// name and kind are those of clusterctl's configuration.
	name, kind string
	// prefix begins the provider's label, as clusterctl has it (ManifestLabel in
	// cmd/clusterctl/api/v1alpha3/labels.go of Cluster API v1.14.2).
	prefix string
	// components is the name of the file with what is installed.
	components string
	// templates says that the provider's folder has the templates of Clusters: clusterctl looks for
	// them with the infrastructure provider.
	templates bool
}

// providers: one manager serves both, so the components of each are all of Teapot. Whoever asks for
// one gets a Teapot that works, and whoever asks for both gets the same objects twice, which is one
// installation.
var providers = []provider{
	{name: "teapot", kind: "ControlPlaneProvider", prefix: "control-plane", components: "control-plane-components.yaml"},
	{name: "teapot", kind: "InfrastructureProvider", prefix: "infrastructure", components: "infrastructure-components.yaml", templates: true},
}

func (p provider) label() string { return p.prefix + "-" + p.name }

const (
	configName   = "clusterctl.yaml"
	metadataName = "metadata.yaml"
	// className is the name of the ClusterClass in classExample, and so part of its file's name.
	className    = "teapot"
	classExample = "examples/cluster-class.yaml"
)

// release is what a repository is made from.
type release struct {
	root, helm, version, image string
}

// files returns the repository's files by their names, with slashes.
func (r *release) files() (map[string][]byte, error) {
	chart, err := r.chart()
	if err != nil {
		return nil, err
	}
	if r.version == "" {
		r.version = chart.AppVersion
	}
	metadata, err := r.metadata()
	if err != nil {
		return nil, err
	}
	objects, err := r.render()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, p := range providers {
		folder := path.Join(p.label(), r.version)
		files[path.Join(folder, metadataName)] = metadata
		if files[path.Join(folder, p.components)], err = components(objects, p); err != nil {
			return nil, err
		}
		if !p.templates {
			continue
		}
		if err := r.templates(func(name string, content []byte) { files[path.Join(folder, name)] = content }); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// chart is what is read of Chart.yaml.
type chart struct {
	AppVersion string `json:"appVersion"`
}

func (r *release) chart() (chart, error) {
	var c chart
	return c, r.read(path.Join(chartPath, "Chart.yaml"), &c)
}

// metadata returns the file that says which contract of Cluster API each series of releases keeps.
// It fails if this release's series is not in it.
func (r *release) metadata() ([]byte, error) {
	parsed, err := version.ParseSemantic(r.version)
	if err != nil || !strings.HasPrefix(r.version, "v") {
		return nil, fmt.Errorf("version %q of the release is not a semantic version with a leading v, for example v0.1.0", r.version)
	}
	name := path.Join(byHand, metadataName)
	var m struct {
		ReleaseSeries []struct {
			Major, Minor uint
		} `json:"releaseSeries"`
	}
	if err := r.read(name, &m); err != nil {
		return nil, err
	}
	for _, series := range m.ReleaseSeries {
		if series.Major == parsed.Major() && series.Minor == parsed.Minor() {
			return os.ReadFile(r.path(name))
		}
	}
	return nil, fmt.Errorf("%s has no releaseSeries for version %s: add it, with the contract of Cluster API that it keeps", name, r.version)
}

// templates adds what Clusters are made from.
func (r *release) templates(add func(name string, content []byte)) error {
	paths, err := filepath.Glob(r.path(path.Join(byHand, "cluster-template*.yaml")))
	if err != nil {
		return err
	}
	for _, each := range paths {
		content, err := os.ReadFile(each)
		if err != nil {
			return err
		}
		add(filepath.Base(each), content)
	}
	example, err := os.ReadFile(r.path(classExample))
	if err != nil {
		return err
	}
	class, err := withoutNamespace(example)
	if err != nil {
		return fmt.Errorf("making a ClusterClass of %s: %w", classExample, err)
	}
	add("clusterclass-"+className+".yaml", class)
	return nil
}

// withoutNamespace takes the Namespace, and the namespaces of objects, out of an example, and
// leaves its comments: clusterctl puts objects into the namespace that it is told.
func withoutNamespace(example []byte) ([]byte, error) {
	var kept []string
	found := false
	for _, document := range strings.Split(string(example), "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, err
		}
		if object.Kind == "Namespace" {
			continue
		}
		found = found || object.Kind == "ClusterClass" && object.Metadata.Name == className
		lines := strings.Split(document, "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "  namespace: "+object.Metadata.Namespace })
		kept = append(kept, strings.TrimRight(strings.Join(lines, "\n"), "\n"))
	}
	if !found {
		return nil, fmt.Errorf("it has no ClusterClass %s", className)
	}
	return []byte(strings.Join(kept, "\n---\n") + "\n"), nil
}

func (r *release) path(name string) string {
	return filepath.Join(r.root, filepath.FromSlash(name))
}

func (r *release) read(name string, into any) error {
	content, err := os.ReadFile(r.path(name))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(bytes.TrimSpace(content), into); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}

// byHand is the folder of what is written by hand.
const byHand = "release/clusterctl"
