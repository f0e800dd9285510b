package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// Builder builds images.
type Builder struct {
	// Dir is the directory of images.
	Dir string
	// Builds makes the binaries and the archives of container images.
	Builds *build.Builder
	// Archives are OCI archives of further container images that machines hold.
	Archives []string
}

// Ensure makes sure that there is an image for a version of Kubernetes, and returns its name.
// A cold build takes about two minutes, and more if upstream's binaries are not built. It needs
// root.
func (b *Builder) Ensure(ctx context.Context, kubernetesVersion string) (string, error) {
	name := Name(kubernetesVersion)
	if err := b.ensure(ctx, name, kubernetesVersion); err != nil {
		return "", fmt.Errorf("image %s: %w", name, err)
	}
	return name, nil
}

func (b *Builder) ensure(ctx context.Context, name, version string) error {
	if os.Geteuid() != 0 {
		return errors.New("building it needs root")
	}
	unlock, err := state.Lock(ctx, filepath.Join(b.Dir, ".lock"))
	if err != nil {
		return fmt.Errorf("waiting for another build: %w", err)
	}
	defer unlock()
	if err := b.removeInterrupted(); err != nil {
		return err
	}
	from, err := operatingSystem(ctx)
	if err != nil {
		return err
	}
	parts, err := b.parts(ctx, version)
	if err != nil {
		return err
	}
	base := digest(from)
	node := digest(base, parts)
	if current, err := Read(filepath.Join(b.Dir, name, descriptor)); err == nil && current.Digest == node {
		return nil
	}
	baseDir, nodeDir := filepath.Join(b.Dir, ".base-"+base), filepath.Join(b.Dir, ".node-"+node)
	if err := b.once(baseDir, func(tmp string) error {
		b.Builds.Progress("building %s: %s from %s", name, from.Suite, from.Mirror)
		return b.debian(ctx, from, filepath.Join(tmp, "root"))
	}); err != nil {
		return err
	}
	if err := b.once(nodeDir, func(tmp string) error {
		b.Builds.Progress("building %s: Kubernetes and container images", name)
		if err := parts.install(filepath.Join(tmp, "root")); err != nil {
			return err
		}
		if err := parts.unpack(ctx, tmp, filepath.Join(tmp, "containerd")); err != nil {
			return err
		}
		return describe(tmp, Image{
			Digest: node, Containerd: filepath.Join(nodeDir, "containerd"),
			Layers: []string{filepath.Join(nodeDir, "root"), filepath.Join(baseDir, "root")},
		})
	}); err != nil {
		return err
	}
	if err := b.link(name, filepath.Base(nodeDir)); err != nil {
		return err
	}
	return b.removeUnused()
}

// once makes a directory if it is not there: under another name first, so that it is complete
// when it is there.
func (b *Builder) once(dir string, fill func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(b.Dir, ".tmp-")
	if err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return os.Rename(tmp, dir)
}

// removeInterrupted removes what killed builds left.
func (b *Builder) removeInterrupted() error {
	left, err := filepath.Glob(filepath.Join(b.Dir, ".tmp-*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// link lets a name lead to a directory beside it.
func (b *Builder) link(name, target string) error {
	tmp := filepath.Join(b.Dir, ".tmp-link")
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(b.Dir, name))
}

// removeUnused removes the directories that no name leads to and no disk uses.
func (b *Builder) removeUnused() error {
	used := map[string]bool{}
	names, err := os.ReadDir(b.Dir)
	if err != nil {
		return err
	}
	for _, entry := range names {
		if target, err := os.Readlink(filepath.Join(b.Dir, entry.Name())); err == nil {
			used[target] = true
		}
	}
	nodes, err := filepath.Glob(filepath.Join(b.Dir, ".node-*"))
	if err != nil {
		return err
	}
	bases := map[string]bool{}
	for _, dir := range nodes {
		file := filepath.Join(dir, descriptor)
		var info syscall.Stat_t
		if err := syscall.Stat(file, &info); err != nil {
			return err
		}
		img, err := Read(file)
		if err != nil {
			return err
		}
		if info.Nlink == 1 && !used[filepath.Base(dir)] {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			continue
		}
		for _, layer := range img.Layers {
			bases[filepath.Dir(layer)] = true
		}
	}
	all, err := filepath.Glob(filepath.Join(b.Dir, ".base-*"))
	for _, dir := range all {
		if !bases[dir] {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

func describe(dir string, img Image) error {
	data, err := json.MarshalIndent(img, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, descriptor), data, 0o644)
}

// digest identifies inputs. All of them can be marshalled: they are ours.
func digest(inputs ...any) string {
	data, err := json.Marshal(inputs)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// embedded returns our files, by their absolute paths in the image.
func embedded(replace map[string]string) (map[string]string, error) {
	var pairs []string
	for placeholder, value := range replace {
		pairs = append(pairs, placeholder, value)
	}
	replacer := strings.NewReplacer(pairs...)
	result := map[string]string{}
	err := fs.WalkDir(files, "files", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		result[strings.TrimPrefix(path, "files")] = replacer.Replace(string(content))
		return err
	})
	return result, err
}
