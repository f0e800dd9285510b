package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/teapot-cloud/teapot/images/oci"
)

// image is one of Teapot's images: a static binary that is its entrypoint.
type image struct {
	// name is the image's last path component and the binary's name.
	name string
	// pkg is the main package, relative to the module's root.
	pkg string
	// description is for the image's label.
	description string
}

// table lists all images.
var table = []image{
	{name: "teapot-manager", pkg: "./cmd/teapot-manager", description: "Teapot's controllers"},
	{name: "teapot-gateway", pkg: "./cmd/teapot-gateway", description: "Teapot's shared entrance to control planes"},
}

// user is who runs in the images: distroless' nonroot.
const user = "65532:65532"

// choose returns the named images, or all.
func choose(names []string) ([]image, error) {
	if len(names) == 0 {
		return table, nil
	}
	var chosen []image
	for _, name := range names {
		i := slices.IndexFunc(table, func(img image) bool { return img.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: no image %q", errUsage, name)
		}
		chosen = append(chosen, table[i])
	}
	return chosen, nil
}

// moduleRoot returns the directory of Teapot's go.mod, so that the command
// works from any directory of the checkout.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not inside a checkout of Teapot")
	}
	return filepath.Dir(mod), nil
}

// build compiles the binary for each platform and makes an image, or an index
// if there are several platforms. Unchanged sources cost no compilation, by
// Go's build cache, and yield the same digest.
func build(ctx context.Context, root, dir string, img image, platforms []string, version string) (oci.Artifact, error) {
	kubernetes, err := kubernetesVersion(ctx, root)
	if err != nil {
		return nil, err
	}
	var specs []oci.Spec
	for _, platform := range platforms {
		binary := filepath.Join(dir, strings.ReplaceAll(platform, "/", "-"), img.name)
		if err := compile(ctx, root, img.pkg, binary, platform, ldflags(version, kubernetes)); err != nil {
			return nil, err
		}
		specs = append(specs, spec(img, binary, platform, version))
	}
	if len(specs) == 1 {
		return oci.Build(specs[0])
	}
	return oci.BuildIndex(specs...)
}

// spec describes the image around a binary.
func spec(img image, binary, platform, version string) oci.Spec {
	return oci.Spec{
		Platform: platform,
		Files: []oci.File{
			{Path: "/" + img.name, HostPath: binary, Mode: 0o755},
			{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
			{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
		},
		Config: oci.Config{
			User:       user,
			Entrypoint: []string{"/" + img.name},
			Env:        []string{oci.PathEnv},
			Labels: map[string]string{
				"org.opencontainers.image.title":       img.name,
				"org.opencontainers.image.description": img.description,
				"org.opencontainers.image.source":      "https://github.com/teapot-cloud/teapot",
				"org.opencontainers.image.licenses":    "Apache-2.0",
				"org.opencontainers.image.version":     version,
			},
		},
	}
}

// compile builds a static binary.
func compile(ctx context.Context, root, pkg, binary, platform, ldflags string) error {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return fmt.Errorf("%w: platform %q is not of the form os/arch", errUsage, platform)
	}
	// -buildvcs=false: the state of the checkout must not change the digest.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", binary, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s for %s: %w\n%s", pkg, platform, err, out)
	}
	return nil
}

// kubernetesVersion asks go.mod for the version of the Kubernetes code that is
// linked in.
func kubernetesVersion(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("finding the version of k8s.io/kubernetes: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// ldflags returns linker flags with version stamps. kubeadm's code is linked
// in: unstamped it would take itself for v0.0.0-master+$Format and choose
// images and defaults by guessing.
func ldflags(version, kubernetes string) string {
	flags := []string{"-s", "-w", "-X", "github.com/teapot-cloud/teapot/internal/version.Version=" + version}
	parts := append(strings.SplitN(strings.TrimPrefix(kubernetes, "v"), ".", 3), "", "")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X", pkg+".gitVersion="+kubernetes,
			"-X", pkg+".gitMajor="+parts[0],
			"-X", pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}
