// Package imageset makes the upstream images of the development cluster from
// the binaries that it built, with the names, tags, paths, users, entrypoints
// and file capabilities of the published ones: a manifest that works here is
// what a user of the public registries would run.
package imageset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/teapot-cloud/teapot/images/oci"
)

// Tags that kubeadm v1.36.3 names for the parts that are versioned apart
// (cmd/kubeadm/app/constants). The binaries inside are of build's versions.
const (
	EtcdTag  = "3.6.8-0"
	PauseTag = "3.10.2"
)

// registry is the registry of all upstream images.
const registry = "registry.k8s.io/"

// PauseImage is the sandbox's image, which containerd pins.
const PauseImage = registry + "pause:" + PauseTag

// CoreDNSImage returns the image of a CoreDNS version, with the leading v.
func CoreDNSImage(version string) string { return registry + "coredns/coredns:" + version }

// Sources says where the binaries are.
type Sources struct {
	CoreDNSVersion, KonnectivityVersion string
	// Kubernetes maps each version of Kubernetes to its directory with
	// binaries: a tenant's version need not be the management cluster's.
	Kubernetes map[string]string
	// Directories with binaries.
	Etcd, CoreDNS, Konnectivity string
	// Pause is the path of the compiled pause.
	Pause string
}

// Archive is an image as a file.
type Archive struct {
	// Name is the full reference.
	Name string
	// File is an OCI-layout archive.
	File string
}

// image is a named image description.
type image struct {
	name string
	spec oci.Spec
}

// nonroot is the user of distroless' :nonroot images.
const nonroot = "65532:65532"

// base returns the files that every distroless base image has and that
// programs look at: users, and a world-writable /tmp.
func base() []oci.File {
	return []oci.File{
		{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{Path: "/etc/group", Content: []byte("root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n")},
		{Path: "/etc/nsswitch.conf", Content: []byte("hosts: files dns\n")},
		{Path: "/home/nonroot", Mode: os.ModeDir | 0o700, UID: 65532, GID: 65532},
		{Path: "/root", Mode: os.ModeDir | 0o700},
		{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
	}
}

// define lists the images. kube-proxy's tools come from this host.
func define(s Sources, proxyTools []oci.File) []image {
	kube := func(version, name string, extra ...oci.File) image {
		file := oci.File{Path: "/usr/local/bin/" + name, HostPath: filepath.Join(s.Kubernetes[version], name)}
		if name == "kube-apiserver" {
			// build/server-image/kube-apiserver/Dockerfile: so that it can listen
			// below 1024 as another user than root. It also means that it does
			// not start at all where the capability is dropped from the bounding
			// set.
			file.Capabilities = []oci.Capability{oci.NetBindService}
		}
		files := append(base(), file,
			oci.File{Path: "/go-runner", HostPath: filepath.Join(s.Kubernetes[version], "kube-log-runner")})
		return image{
			name: registry + name + ":" + version,
			spec: oci.Spec{Files: append(files, extra...), Config: oci.Config{
				User: "0", Entrypoint: []string{"/go-runner"},
			}},
		}
	}
	konnectivity := func(name string) image {
		return image{
			name: registry + "kas-network-proxy/" + name + ":" + s.KonnectivityVersion,
			spec: oci.Spec{
				Files:  append(base(), oci.File{Path: "/" + name, HostPath: filepath.Join(s.Konnectivity, name)}),
				Config: oci.Config{User: nonroot, Entrypoint: []string{"/" + name}},
			},
		}
	}
	etcd := base()
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		etcd = append(etcd, oci.File{Path: "/usr/local/bin/" + name, HostPath: filepath.Join(s.Etcd, name)})
	}
	images := []image{
		{PauseImage, oci.Spec{
			Files:  []oci.File{{Path: "/pause", HostPath: s.Pause}},
			Config: oci.Config{User: "65535:65535", Entrypoint: []string{"/pause"}},
		}},
		{CoreDNSImage(s.CoreDNSVersion), oci.Spec{
			Files: append(base(), oci.File{
				Path: "/coredns", HostPath: filepath.Join(s.CoreDNS, "coredns"),
				Capabilities: []oci.Capability{oci.NetBindService},
			}),
			Config: oci.Config{User: nonroot, Entrypoint: []string{"/coredns"}, ExposedPorts: []string{"53/tcp", "53/udp"}},
		}},
		// Upstream's etcd image has no entrypoint and no user either.
		{registry + "etcd:" + EtcdTag, oci.Spec{
			Files:  etcd,
			Config: oci.Config{ExposedPorts: []string{"2379/tcp", "2380/tcp", "4001/tcp", "7001/tcp"}},
		}},
		konnectivity("proxy-server"),
		konnectivity("proxy-agent"),
	}
	for _, version := range slices.Sorted(maps.Keys(s.Kubernetes)) {
		images = append(images,
			kube(version, "kube-apiserver"),
			kube(version, "kube-controller-manager"),
			kube(version, "kube-scheduler"),
			kube(version, "kube-proxy", proxyTools...))
	}
	return images
}

// Ensure returns the archives of all images, making those that are not in the
// cache directory.
func Ensure(ctx context.Context, cache string, s Sources) ([]Archive, error) {
	tools, err := proxyTools(ctx)
	if err != nil {
		return nil, err
	}
	return ensureAll(ctx, cache, define(s, tools))
}

// ensureAll makes the archives that are not in the cache directory.
func ensureAll(ctx context.Context, cache string, images []image) ([]Archive, error) {
	var archives []Archive
	for _, img := range images {
		img.spec.Platform = "linux/" + runtime.GOARCH
		if img.name != PauseImage {
			img.spec.Env = []string{oci.PathEnv, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}
		}
		file, err := ensure(ctx, cache, img)
		if err != nil {
			return nil, fmt.Errorf("making image %s: %w", img.name, err)
		}
		archives = append(archives, Archive{Name: img.name, File: file})
	}
	return archives, nil
}

// ensure makes one archive unless the cache has it.
func ensure(ctx context.Context, cache string, img image) (string, error) {
	key, err := fingerprint(img)
	if err != nil {
		return "", err
	}
	short := strings.NewReplacer("/", "_", ":", "_").Replace(strings.TrimPrefix(img.name, registry))
	file := filepath.Join(cache, "images", short+"-"+key+".tar")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	built, err := oci.Build(img.spec)
	if err != nil {
		return "", err
	}
	return file, oci.WriteArchive(file, img.name, built)
}

// fingerprint identifies an image by its description and by size and time of
// the host files that go into it, which is cheaper than reading them.
func fingerprint(img image) (string, error) {
	h := sha256.New()
	description, err := json.Marshal(img.spec)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s\n%s\n", img.name, description)
	for _, f := range img.spec.Files {
		if f.HostPath == "" {
			continue
		}
		info, err := os.Stat(f.HostPath)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d %d\n", f.HostPath, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}
