package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// descriptor is the file that makes a directory an image.
const descriptor = "image.json"

// Image is what an image consists of. Paths are absolute.
type Image struct {
	// Digest identifies what it was made from.
	Digest string `json:"digest"`
	// Layers are directories that make the root file system together, the uppermost first.
	Layers []string `json:"layers"`
	// Containerd is the content of /var/lib/containerd. It is no layer: containerd's own
	// layers cannot lie on an overlay.
	Containerd string `json:"containerd"`
}

// Name is the name of the image for a version of Kubernetes, with the leading v.
func Name(kubernetesVersion string) string { return "teapot-node-" + kubernetesVersion }

// Use reads an image and notes its use by making the file note, which lies in the same file
// system: as long as that exists, the image does. An image that is not there is an error that
// wraps os.ErrNotExist.
func Use(images, name, note string) (*Image, error) {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("%q is not the name of an image", name)
	}
	path := filepath.Join(images, name, descriptor)
	if err := os.Link(path, note); err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	return Read(note)
}

// Read reads the description of an image, or a note of Use.
func Read(path string) (*Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading an image's description: %w", err)
	}
	img := &Image{}
	if err := json.Unmarshal(data, img); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return img, nil
}
