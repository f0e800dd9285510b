package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of the file system.
type File struct {
	// Path is absolute, inside the image.
	Path string
	// Mode holds the permission bits. A File with os.ModeDir set is a
	// directory; zero means 0755 for directories and host files, 0644 for
	// content.
	Mode os.FileMode
	// UID and GID own the file.
	UID, GID int
	// HostPath is a file of the machine that builds. Links are followed.
	HostPath string
	// Content is used when HostPath and Link are empty.
	Content []byte
	// Link makes this a symbolic link to that target.
	Link string
	// Capabilities are file capabilities, permitted and effective.
	Capabilities []Capability
}

// epoch is the modification time of everything: a fixed one keeps digests
// equal from build to build.
var epoch = time.Unix(0, 0).UTC()

// layer is an uncompressed layer that is produced anew from its files whenever
// it is read, so that building an image needs no copy of large binaries.
// Images for one's own machine are read once: compressing them costs seconds
// and saves nothing.
type layer struct {
	files  []File
	digest v1.Hash
	size   int64
}

// newLayer checks the files, adds parent directories and computes the digest.
func newLayer(files []File) (*layer, error) {
	sorted, err := withParents(files)
	if err != nil {
		return nil, err
	}
	l := &layer{files: sorted}
	sum := &counter{hash: sha256.New()}
	if err := l.write(sum); err != nil {
		return nil, err
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.hash.Sum(nil))}
	l.size = sum.n
	return l, nil
}

// counter hashes and counts what is written.
type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.hash.Write(p)
}

// withParents returns the files sorted by path, with every parent directory
// that is not among them as 0755 root.
func withParents(files []File) ([]File, error) {
	byPath := map[string]File{}
	for _, f := range files {
		clean := path.Clean(f.Path)
		if !path.IsAbs(f.Path) || clean == "/" {
			return nil, fmt.Errorf("file %q: the path must be absolute and name a file", f.Path)
		}
		if _, dup := byPath[clean]; dup {
			return nil, fmt.Errorf("file %q appears twice", clean)
		}
		f.Path = clean
		byPath[clean] = f
	}
	for _, f := range files {
		for dir := path.Dir(path.Clean(f.Path)); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = File{Path: dir, Mode: os.ModeDir | 0o755}
			}
		}
	}
	sorted := make([]File, 0, len(byPath))
	for _, f := range byPath {
		sorted = append(sorted, f)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	return sorted, nil
}

// write writes the layer's tar stream.
func (l *layer) write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, f := range l.files {
		if err := writeFile(tw, f); err != nil {
			return fmt.Errorf("adding %s: %w", f.Path, err)
		}
	}
	return tw.Close()
}

// writeFile writes one entry.
func writeFile(tw *tar.Writer, f File) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(f.Path, "/"), Mode: int64(f.Mode.Perm()),
		Uid: f.UID, Gid: f.GID, ModTime: epoch, Format: tar.FormatPAX,
	}
	content := io.Reader(bytes.NewReader(f.Content))
	defaultMode := int64(0o644)
	switch {
	case f.Mode.IsDir():
		header.Typeflag, defaultMode = tar.TypeDir, 0o755
		header.Name += "/"
	case f.Link != "":
		header.Typeflag, header.Linkname, defaultMode = tar.TypeSymlink, f.Link, 0o777
	case f.HostPath != "":
		host, err := os.Open(f.HostPath)
		if err != nil {
			return err
		}
		defer host.Close()
		info, err := host.Stat()
		if err != nil {
			return err
		}
		header.Typeflag, header.Size, defaultMode = tar.TypeReg, info.Size(), 0o755
		content = host
	default:
		header.Typeflag, header.Size = tar.TypeReg, int64(len(f.Content))
	}
	if header.Mode == 0 {
		header.Mode = defaultMode
	}
	if f.Mode&os.ModeSticky != 0 {
		// The tar format's own bit, as Go's file modes keep it elsewhere.
		header.Mode |= 0o1000
	}
	if len(f.Capabilities) > 0 {
		header.PAXRecords = map[string]string{capabilityRecord: string(encodeCapabilities(f.Capabilities))}
	}
	if err := tw.WriteHeader(header); err != nil {
		return err
	}
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(tw, content)
	return err
}

// stream returns a reader over the tar stream. A file that changed since the
// digest was computed shows as an error of whoever verifies the digest.
func (l *layer) stream() io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.write(w)) }()
	return r
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return l.stream(), nil }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.stream(), nil }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
