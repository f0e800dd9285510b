package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// mainModule is the first line of the go.mod that marks the checkout's root.
const mainModule = "module github.com/teapot-cloud/teapot\n"

// Builder builds groups and remembers where.
type Builder struct {
	// Upstream is the directory with a module per upstream and version.
	Upstream string
	// Cache is the directory that receives one directory per group and key.
	Cache string
	// Progress is told about a build before it starts, since a cold one takes
	// minutes.
	Progress func(format string, args ...any)
}

// NewBuilder returns a Builder for the checkout that holds the working
// directory, with the cache in the user's cache directory. It fails outside a
// checkout, and if neither HOME nor XDG_CACHE_HOME is set.
func NewBuilder(progress func(format string, args ...any)) (*Builder, error) {
	root, err := checkoutRoot()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding a directory for the build cache: %w", err)
	}
	return &Builder{
		Upstream: filepath.Join(root, "test", "devcluster", "upstream"),
		Cache:    filepath.Join(cache, "teapot", "devcluster"),
		Progress: progress,
	}, nil
}

// checkoutRoot walks up from the working directory to Teapot's go.mod.
func checkoutRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte(mainModule)) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no checkout of github.com/teapot-cloud/teapot at or above %s: run this inside one", wd)
		}
	}
}

// Key identifies the outcome of a build: it changes with the module's go.mod
// and go.sum, the platform, the flags, the names of the binaries, the patches
// and every other file of the module, which is source that stands for a module
// that cannot be had.
func Key(g Group, module fs.FS, platform string) (string, error) {
	goMod, err := fs.ReadFile(module, "go.mod")
	if err != nil {
		return "", err
	}
	goSum, err := fs.ReadFile(module, "go.sum")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	parts := [][]byte{
		goMod, goSum, []byte(platform), []byte(g.ldflags()), []byte(strings.Join(g.tags, ",")),
		fmt.Appendf(nil, "cgo=%t %v %v", g.cgo, g.Binaries, g.rename),
	}
	for _, p := range g.patches {
		parts = append(parts, fmt.Appendf(nil, "%q", p))
	}
	err = fs.WalkDir(module, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == "go.mod" || path == "go.sum" {
			return err
		}
		content, err := fs.ReadFile(module, path)
		parts = append(parts, []byte(path), content)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, part := range parts {
		// The length keeps two neighbours from being cut differently into the
		// same bytes.
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// Path returns the directory where the group's binaries are, or will be.
func (b *Builder) Path(g Group) (string, error) {
	key, err := Key(g, os.DirFS(filepath.Join(b.Upstream, g.Dir())), runtime.GOOS+"/"+runtime.GOARCH)
	if err != nil {
		return "", fmt.Errorf("reading the module of %s: %w", g.Dir(), err)
	}
	return filepath.Join(b.Cache, g.Dir()+"-"+key), nil
}

// Ensure returns the directory with the group's binaries, building them if
// they are not in the cache. Concurrent calls, in this process or another,
// build once.
func (b *Builder) Ensure(ctx context.Context, g Group) (string, error) {
	dest, err := b.Path(g)
	if err != nil {
		return "", err
	}
	// A directory under its final name is complete: it got there by a rename.
	if _, err := os.Stat(dest); err == nil {
		return dest, nil
	}
	if err := MissingError("building "+g.Dir(), g.needs...); err != nil {
		return "", err
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("making the build cache: %w", err)
	}
	unlock, err := state.Lock(ctx, filepath.Join(b.Cache, g.Dir()+".lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for another build of %s: %w", g.Dir(), err)
	}
	defer unlock()
	if _, err := os.Stat(dest); err == nil {
		return dest, nil
	}
	b.Progress("building %s (%s)", g.Dir(), strings.Join(g.Binaries, " "))
	if err := b.compile(ctx, g, dest); err != nil {
		return "", fmt.Errorf("building %s: %w", g.Dir(), err)
	}
	return dest, nil
}

// compile builds into a temporary directory beside dest and renames it. The
// caller holds the group's lock, so what an interrupted build left under the
// temporary name can go.
func (b *Builder) compile(ctx context.Context, g Group, dest string) error {
	tmp := filepath.Join(b.Cache, g.Dir()+".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	// "tool" is Go's name for all tool directives of the module.
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", g.ldflags()}
	if len(g.tags) > 0 {
		args = append(args, "-tags", strings.Join(g.tags, ","))
	}
	if len(g.patches) > 0 {
		// The same path each time: Go's cache then holds what did not change.
		work := filepath.Join(b.Cache, g.Dir()+".src")
		defer os.RemoveAll(work)
		modfile, err := b.patched(ctx, g, work)
		if err != nil {
			return err
		}
		args = append(args, "-modfile="+modfile)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", tmp+"/", "tool")...)
	cmd.Dir = filepath.Join(b.Upstream, g.Dir())
	cgo := "0"
	if g.cgo {
		cgo = "1"
	}
	// The caller's GOFLAGS and workspace are meant for the main module.
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", cmd.Dir, err, tail(out.Bytes(), 4000))
	}
	for from, to := range g.rename {
		if err := os.Rename(filepath.Join(tmp, from), filepath.Join(tmp, to)); err != nil {
			return err
		}
	}
	for _, name := range g.Binaries {
		if _, err := os.Stat(filepath.Join(tmp, name)); err != nil {
			return fmt.Errorf("the module's tool directives do not yield %s: %w", name, err)
		}
	}
	return os.Rename(tmp, dest)
}

// tail returns the last n bytes of b.
func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

// Binary returns the path of a binary of any of the groups, building its group
// if need be.
func (b *Builder) Binary(ctx context.Context, groups []Group, name string) (string, error) {
	g, err := FindBinary(groups, name)
	if err != nil {
		return "", err
	}
	dir, err := b.Ensure(ctx, g)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}

// Source returns where the source of a module is that the group's own requires,
// for files beside the Go code, such as manifests.
func (b *Builder) Source(ctx context.Context, g Group, module string) (string, error) {
	return moduleDir(ctx, filepath.Join(b.Upstream, g.Dir()), module)
}

// Assets returns a directory in the shape that controller-runtime's envtest
// wants for KUBEBUILDER_ASSETS: etcd, kube-apiserver and kubectl.
func (b *Builder) Assets(ctx context.Context, groups []Group) (string, error) {
	links := map[string]string{}
	h := sha256.New()
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		path, err := b.Binary(ctx, groups, name)
		if err != nil {
			return "", err
		}
		links[name] = path
		_, _ = io.WriteString(h, path+"\n")
	}
	dir := filepath.Join(b.Cache, "assets-"+hex.EncodeToString(h.Sum(nil))[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the assets directory: %w", err)
	}
	for name, path := range links {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("linking %s: %w", name, err)
		}
	}
	return dir, nil
}
