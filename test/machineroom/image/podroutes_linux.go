package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/teapot-cloud/teapot/images/oci"
)

// PodRoutesImage is the container image of ../podroutes, as ../pod-network.yaml names it.
const PodRoutesImage = "teapot.dev/machineroom/podroutes:built"

// podRoutes returns the archive of PodRoutesImage. Its name has the digest of the program in it.
func (b *Builder) podRoutes(ctx context.Context) (string, error) {
	program := filepath.Join(b.Dir, ".podroutes", "podroutes")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w",
		"-o", program, "github.com/teapot-cloud/teapot/test/machineroom/podroutes")
	// Inside the main module, wherever the caller is.
	build.Dir = filepath.Dir(b.Builds.Upstream)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building podroutes: %w\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	archive := filepath.Join(b.Builds.Cache, "images", "podroutes-"+hex.EncodeToString(sum[:6])+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	img, err := oci.Build(oci.Spec{
		Platform: "linux/" + runtime.GOARCH,
		Files:    []oci.File{{Path: "/podroutes", HostPath: program}},
		Config:   oci.Config{User: "0", Entrypoint: []string{"/podroutes"}},
	})
	if err != nil {
		return "", fmt.Errorf("making the image of podroutes: %w", err)
	}
	return archive, oci.WriteArchive(archive, PodRoutesImage, img)
}
