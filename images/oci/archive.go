package oci

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// containerdName is the annotation from which containerd takes an imported
	// image's full name.
	containerdName = "io.containerd.image.name"
	// refName is the OCI image layout's own annotation. It holds the full name
	// as well, which kind and skopeo understand.
	refName = "org.opencontainers.image.ref.name"
)

// Artifact is an image or an index.
type Artifact interface {
	Digest() (v1.Hash, error)
	Size() (int64, error)
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
}

// WriteArchive writes an OCI-layout tar archive that holds the image or index
// under a full reference name, as in "registry.example/team/app:v1". The file
// appears under its name only when it is complete.
func WriteArchive(file, name string, artifact Artifact) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	err = writeArchive(tmp, name, artifact)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// archive writes blobs once each.
type archive struct {
	tw   *tar.Writer
	seen map[v1.Hash]bool
}

// writeArchive writes the layout: marker, index, blobs.
func writeArchive(w io.Writer, name string, artifact Artifact) error {
	digest, err := artifact.Digest()
	if err != nil {
		return err
	}
	size, err := artifact.Size()
	if err != nil {
		return err
	}
	mediaType, err := artifact.MediaType()
	if err != nil {
		return err
	}
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: mediaType, Size: size, Digest: digest,
			Annotations: map[string]string{containerdName: name, refName: name},
		}},
	})
	if err != nil {
		return err
	}
	a := &archive{tw: tar.NewWriter(w), seen: map[v1.Hash]bool{}}
	if err := a.bytes("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := a.bytes("index.json", index); err != nil {
		return err
	}
	if err := a.artifact(artifact); err != nil {
		return err
	}
	return a.tw.Close()
}

// artifact writes the blobs of an image, or of all images of an index.
func (a *archive) artifact(artifact Artifact) error {
	switch t := artifact.(type) {
	case v1.ImageIndex:
		manifest, err := t.IndexManifest()
		if err != nil {
			return err
		}
		for _, d := range manifest.Manifests {
			img, err := t.Image(d.Digest)
			if err != nil {
				return err
			}
			if err := a.image(img); err != nil {
				return err
			}
		}
	case v1.Image:
		return a.image(t)
	default:
		return fmt.Errorf("%T is neither an image nor an index", artifact)
	}
	return a.manifest(artifact)
}

// image writes layers, configuration and manifest.
func (a *archive) image(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := a.layer(l); err != nil {
			return err
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	name, err := img.ConfigName()
	if err != nil {
		return err
	}
	if err := a.blob(name, config); err != nil {
		return err
	}
	return a.manifest(img)
}

// manifest writes the manifest of an image or index.
func (a *archive) manifest(m Artifact) error {
	raw, err := m.RawManifest()
	if err != nil {
		return err
	}
	digest, err := m.Digest()
	if err != nil {
		return err
	}
	return a.blob(digest, raw)
}

// layer streams a layer.
func (a *archive) layer(l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	if a.seen[digest] {
		return nil
	}
	a.seen[digest] = true
	size, err := l.Size()
	if err != nil {
		return err
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := a.header(blobPath(digest), size); err != nil {
		return err
	}
	n, err := io.Copy(a.tw, r)
	if err == nil && n != size {
		err = errors.New("a file changed while the image was made")
	}
	return err
}

func (a *archive) blob(digest v1.Hash, data []byte) error {
	if a.seen[digest] {
		return nil
	}
	a.seen[digest] = true
	return a.bytes(blobPath(digest), data)
}

func (a *archive) bytes(name string, data []byte) error {
	if err := a.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := a.tw.Write(data)
	return err
}

func (a *archive) header(name string, size int64) error {
	return a.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: epoch, Format: tar.FormatPAX,
	})
}

func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// Entry is one named image of an archive.
type Entry struct {
	Name   string
	Digest string
}

// ReadArchive lists the named images of an OCI-layout tar archive. It returns
// none for an archive of another kind, such as docker save's.
func ReadArchive(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if header.Name != "index.json" {
			continue
		}
		var index v1.IndexManifest
		if err := json.NewDecoder(tr).Decode(&index); err != nil {
			return nil, fmt.Errorf("reading index.json of %s: %w", file, err)
		}
		var entries []Entry
		for _, m := range index.Manifests {
			if name := m.Annotations[containerdName]; name != "" {
				entries = append(entries, Entry{Name: name, Digest: m.Digest.String()})
			}
		}
		return entries, nil
	}
}
