package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// EnsurePause returns the path of the sandbox's /pause, which upstream writes
// in C: it compiles the source that the kubernetes module carries.
func (b *Builder) EnsurePause(ctx context.Context, kube Group, version string) (string, error) {
	kubeDir, err := b.Path(kube)
	if err != nil {
		return "", err
	}
	dest := filepath.Join(b.Cache, "pause-"+version+"-"+filepath.Base(kubeDir))
	if _, err := os.Stat(dest); err == nil {
		return dest, nil
	}
	if err := MissingError("compiling pause", needGCC, needLibc); err != nil {
		return "", err
	}
	unlock, err := state.Lock(ctx, filepath.Join(b.Cache, "pause.lock"))
	if err != nil {
		return "", fmt.Errorf("compiling pause: %w", err)
	}
	defer unlock()
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	list.Dir = filepath.Join(b.Upstream, kube.Dir())
	list.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	source, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("finding the source of pause: %w", err)
	}
	// Upstream's flags, from build/pause/Makefile.
	gcc := exec.CommandContext(ctx, "gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-DVERSION=v"+version,
		"-o", dest+".tmp", filepath.Join(strings.TrimSpace(string(source)), "build", "pause", "linux", "pause.c"))
	if out, err := gcc.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling pause: %w\n%s", err, out)
	}
	return dest, os.Rename(dest+".tmp", dest)
}
