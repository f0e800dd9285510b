// Package oci makes container images out of files, without a container engine:
// one layer, a configuration, and an OCI-layout archive that containerd, kind,
// skopeo and Docker import. The same input yields the same digest, on any
// machine.
package oci

import (
	"fmt"
	"sort"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PathEnv is the search path of distroless base images, from which upstream's
// images inherit it.
const PathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Config is what runs when a container starts.
type Config struct {
	// User is "uid", "uid:gid" or empty for root.
	User string
	// Entrypoint and Cmd are the argument vector.
	Entrypoint []string
	Cmd        []string
	// Env entries have the form NAME=value.
	Env []string
	// WorkingDir is "/" if empty.
	WorkingDir string
	// ExposedPorts have the form "53/udp"; they only document.
	ExposedPorts []string
	// Labels are the image's labels.
	Labels map[string]string
}

// Spec is a whole image for one platform.
type Spec struct {
	// Platform is "os/arch", as in "linux/amd64".
	Platform string
	// Files make up the only layer. Parent directories need not be listed.
	Files []File
	Config
}

// Build makes the image.
func Build(spec Spec) (v1.Image, error) {
	platform, err := v1.ParsePlatform(spec.Platform)
	if err != nil {
		return nil, fmt.Errorf("parsing platform %q: %w", spec.Platform, err)
	}
	if platform.OS == "" || platform.Architecture == "" {
		return nil, fmt.Errorf("platform %q is not of the form os/arch", spec.Platform)
	}
	layer, err := newLayer(spec.Files)
	if err != nil {
		return nil, err
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCIUncompressedLayer})
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	// A time stamp would give every build another digest.
	file.Created = v1.Time{}
	file.History = nil
	file.Config = v1.Config{
		User:       spec.User,
		Entrypoint: spec.Entrypoint,
		Cmd:        spec.Cmd,
		Env:        spec.Env,
		WorkingDir: spec.WorkingDir,
		Labels:     spec.Labels,
	}
	if file.Config.WorkingDir == "" {
		file.Config.WorkingDir = "/"
	}
	for _, port := range spec.ExposedPorts {
		if file.Config.ExposedPorts == nil {
			file.Config.ExposedPorts = map[string]struct{}{}
		}
		file.Config.ExposedPorts[port] = struct{}{}
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("setting the configuration: %w", err)
	}
	return img, nil
}

// BuildIndex makes one image per spec and an index over them, in the order of
// their platforms' names.
func BuildIndex(specs ...Spec) (v1.ImageIndex, error) {
	specs = append([]Spec(nil), specs...)
	sort.Slice(specs, func(i, j int) bool { return specs[i].Platform < specs[j].Platform })
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, spec := range specs {
		img, err := Build(spec)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", spec.Platform, err)
		}
		platform, err := v1.ParsePlatform(spec.Platform)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return index, nil
}
