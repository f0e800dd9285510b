package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// patch replaces a piece of one file of an upstream module: what a machine of the
// tests makes necessary, and no option of upstream's covers.
type patch struct {
	// module is the module's path.
	module string
	// file is the file's path inside the module, with slashes.
	file string
	// old must be in the file exactly once, else the build fails; new takes its place.
	old, new string
}

// apply returns the file's content with the patch in it.
func (p patch) apply(content []byte) ([]byte, error) {
	if n := bytes.Count(content, []byte(p.old)); n != 1 {
		return nil, fmt.Errorf("patching %s of %s: %q is in it %d times, and not once: look at what upstream changed",
			p.file, p.module, p.old, n)
	}
	return bytes.Replace(content, []byte(p.old), []byte(p.new), 1), nil
}

// patched copies the modules that the group's patches change into the directory work,
// which it makes afresh, patches the copies, and writes a go.mod there that points to them. It returns that file, for
// go build's -modfile. Go's own way, -overlay, refuses files of the module cache.
func (b *Builder) patched(ctx context.Context, g Group, work string) (string, error) {
	upstream := filepath.Join(b.Upstream, g.Dir())
	modfile := filepath.Join(work, "go.mod")
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(upstream, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(work, name), content, 0o644); err != nil {
			return "", err
		}
	}
	copies := map[string]string{}
	for i, p := range g.patches {
		if _, ok := copies[p.module]; !ok {
			source, err := moduleDir(ctx, upstream, p.module)
			if err != nil {
				return "", err
			}
			copies[p.module] = filepath.Join(work, fmt.Sprintf("module-%d", i))
			if err := os.CopyFS(copies[p.module], os.DirFS(source)); err != nil {
				return "", fmt.Errorf("copying the source of %s: %w", p.module, err)
			}
			edit := exec.CommandContext(ctx, "go", "mod", "edit", "-replace="+p.module+"="+copies[p.module], modfile)
			if out, err := edit.CombinedOutput(); err != nil {
				return "", fmt.Errorf("replacing %s by its copy: %w\n%s", p.module, err, out)
			}
		}
		path := filepath.Join(copies[p.module], filepath.FromSlash(p.file))
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("patching %s: %w", p.module, err)
		}
		if content, err = p.apply(content); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return "", fmt.Errorf("patching %s: %w", p.module, err)
		}
	}
	return modfile, nil
}

// moduleDir returns where the module cache holds a module that another requires,
// downloading it if need be.
func moduleDir(ctx context.Context, from, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = from
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("finding the source of %s: %w\n%s", module, err, out)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", fmt.Errorf("finding the source of %s: %w", module, err)
	}
	return found.Dir, nil
}
