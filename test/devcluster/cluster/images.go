//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/teapot-cloud/teapot/images/oci"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
)

// LoadImages imports archives, or images named by references to registries,
// into the running cluster. What is there with the same digest is skipped.
func (c *Cluster) LoadImages(ctx context.Context, sources []string) error {
	if _, err := c.attach(ctx, "containerd"); err != nil {
		return err
	}
	pulled, err := os.MkdirTemp("", "devcluster-pull-")
	if err != nil {
		return fmt.Errorf("making a directory for pulled images: %w", err)
	}
	defer os.RemoveAll(pulled)
	var files []string
	for _, source := range sources {
		if _, err := os.Stat(source); err == nil {
			files = append(files, source)
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("loading %s: %w", source, err)
		}
		file := filepath.Join(pulled, fmt.Sprintf("%d.tar", len(files)))
		if err := c.pull(ctx, source, file); err != nil {
			return err
		}
		files = append(files, file)
	}
	return c.load(ctx, files)
}

// attach finds the running cluster and the binaries of some groups, and returns what
// builds more.
func (c *Cluster) attach(ctx context.Context, groups ...string) (*build.Builder, error) {
	record, err := c.Dir.Load()
	if err != nil {
		return nil, err
	}
	if record == nil || !record.Ready {
		return nil, fmt.Errorf("%w: go run ./test/devcluster up", ErrDown)
	}
	c.record = record
	b, err := build.NewBuilder(c.step)
	if err != nil {
		return nil, err
	}
	catalogue, err := build.Catalogue(record.KubernetesVersion)
	if err != nil {
		return nil, err
	}
	var chosen []build.Group
	for _, name := range groups {
		g, err := build.Find(catalogue, name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, g)
	}
	c.bins, err = c.buildAll(ctx, b, chosen)
	return b, err
}

// pull fetches an image from its registry, with the user's credentials, into
// an archive.
func (c *Cluster) pull(ctx context.Context, source, file string) error {
	ref, err := name.ParseReference(source)
	if err != nil {
		return fmt.Errorf("%s is neither a file nor an image reference: %w", source, err)
	}
	c.step("pulling %s", ref.Name())
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return fmt.Errorf("pulling %s: %w", source, err)
	}
	return oci.WriteArchive(file, ref.Name(), img)
}

// load imports archives into the namespace that kubelet's containerd client
// uses.
func (c *Cluster) load(ctx context.Context, files []string) error {
	present, err := c.imageDigests(ctx)
	if err != nil {
		return err
	}
	for _, file := range files {
		entries, err := oci.ReadArchive(file)
		if err != nil {
			return err
		}
		if loaded(entries, present) {
			continue
		}
		label := filepath.Base(file)
		if len(entries) > 0 {
			label = entries[0].Name
		}
		c.step("loading image %s", label)
		if out, err := c.ctr(ctx, "images", "import", "--local", file); err != nil {
			return fmt.Errorf("importing %s: %w\n%s", file, err, out)
		}
	}
	return nil
}

// loaded reports whether all images of an archive are there already.
func loaded(entries []oci.Entry, present map[string]string) bool {
	for _, e := range entries {
		if present[e.Name] != e.Digest {
			return false
		}
	}
	return len(entries) > 0
}

// imageDigests maps the names of containerd's images to their digests.
func (c *Cluster) imageDigests(ctx context.Context) (map[string]string, error) {
	out, err := c.ctr(ctx, "images", "list")
	if err != nil {
		return nil, fmt.Errorf("listing images: %w\n%s", err, out)
	}
	return parseImageList(string(out)), nil
}

// parseImageList reads the table that ctr prints: REF, TYPE, DIGEST, …
func parseImageList(table string) map[string]string {
	digests := map[string]string{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && strings.HasPrefix(fields[2], "sha256:") {
			digests[fields[0]] = fields[2]
		}
	}
	return digests
}

// ctr runs containerd's own client against the cluster's containerd.
func (c *Cluster) ctr(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.bin("ctr"), append([]string{"--address", c.Dir.ContainerdSocket(), "--namespace", "k8s.io"}, args...)...)
	return cmd.CombinedOutput()
}
