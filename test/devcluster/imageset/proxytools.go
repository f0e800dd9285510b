package imageset

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/teapot-cloud/teapot/images/oci"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
)

// libraryPath matches the absolute paths in ldd's output: libraries after the
// arrow, and the dynamic loader by itself.
var libraryPath = regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+) \(0x`)

// proxyTools returns what kube-proxy executes, with the libraries that it
// needs, from this host's Debian packages (upstream's image, distroless-iptables,
// has the same packages): nft, and the nftables flavour of iptables with its
// extensions, which it loads at run time.
func proxyTools(ctx context.Context) ([]oci.File, error) {
	if err := build.MissingError("the image of kube-proxy",
		build.CommandNeed("nft", "nftables"), build.CommandNeed("xtables-nft-multi", "iptables")); err != nil {
		return nil, err
	}
	files := map[string]oci.File{}
	for _, tool := range []string{"nft", "xtables-nft-multi"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			return nil, err
		}
		files["/usr/sbin/"+tool] = oci.File{Path: "/usr/sbin/" + tool, HostPath: path, Mode: 0o755}
		if err := addLibraries(ctx, files, path); err != nil {
			return nil, err
		}
	}
	// iptables is one binary that looks at the name by which it is called.
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, verb := range []string{"", "-save", "-restore"} {
			for _, flavour := range []string{"", "-nft"} {
				path := "/usr/sbin/" + name + flavour + verb
				files[path] = oci.File{Path: path, Link: "xtables-nft-multi"}
			}
		}
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return nil, err
	}
	for _, path := range extensions {
		files[path] = oci.File{Path: path, HostPath: path, Mode: 0o644}
	}
	if err := addLibraries(ctx, files, extensions...); err != nil {
		return nil, err
	}
	sorted := make([]oci.File, 0, len(files))
	for _, f := range files {
		sorted = append(sorted, f)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	return sorted, nil
}

// addLibraries adds the shared libraries that programs and libraries are linked
// with, under the names by which the loader looks for them.
func addLibraries(ctx context.Context, files map[string]oci.File, linked ...string) error {
	out, err := exec.CommandContext(ctx, "ldd", linked...).Output()
	if err != nil {
		return fmt.Errorf("listing the libraries of %s: %w", strings.Join(linked, ", "), err)
	}
	for _, m := range libraryPath.FindAllSubmatch(out, -1) {
		path := string(m[1])
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("library of %s: %w", strings.Join(linked, ", "), err)
		}
		files[path] = oci.File{Path: path, HostPath: path, Mode: 0o755}
	}
	return nil
}
