package image

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

//go:embed all:files
var files embed.FS

// nodeParts is what an image has on top of Debian. All of it counts for the digest; the paths
// of binaries and archives have digests of their own in them.
type nodeParts struct {
	// Files maps paths to contents, Binaries and Links paths to paths.
	Files, Binaries, Links map[string]string
	// Archives are container images.
	Archives []string
	// Recipe is to be raised when the way of building changes what comes out.
	Recipe int

	// containerd and ctr unpack the archives.
	containerd, ctr string
}

// binaries maps binaries of the development cluster's catalogue to where they are installed.
var binaries = map[string]string{
	"containerd": "/usr/local/bin", "containerd-shim-runc-v2": "/usr/local/bin", "ctr": "/usr/local/bin",
	"runc":    "/usr/local/sbin",
	"kubelet": "/usr/bin", "kubeadm": "/usr/bin", "kubectl": "/usr/bin",
	"bridge": "/opt/cni/bin", "host-local": "/opt/cni/bin", "loopback": "/opt/cni/bin", "portmap": "/opt/cni/bin",
}

// masked are the units that reach for hardware, for a console or for the kernel's settings,
// which the computer keeps to itself, and those that wake up to keep house.
var masked = []string{
	"apt-daily-upgrade.timer", "apt-daily.timer", "cloud-init-hotplugd.socket", "console-getty.service",
	"dev-hugepages.mount", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"getty-static.service", "getty@tty1.service", "modprobe@.service", "proc-sys-fs-binfmt_misc.automount",
	"sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"systemd-firstboot.service", "systemd-networkd.service", "systemd-pstore.service",
	"systemd-random-seed.service", "systemd-remount-fs.service", "systemd-udevd.service",
}

// parts collects what goes into an image, building what is not built.
func (b *Builder) parts(ctx context.Context, version string) (*nodeParts, error) {
	p := &nodeParts{Binaries: map[string]string{}, Links: map[string]string{}, Recipe: 1}
	groups, err := build.Catalogue(version)
	if err != nil {
		return nil, err
	}
	for name, dir := range binaries {
		if p.Binaries[filepath.Join(dir, name)], err = b.Builds.Binary(ctx, groups, name); err != nil {
			return nil, err
		}
	}
	p.containerd, p.ctr = p.Binaries["/usr/local/bin/containerd"], p.Binaries["/usr/local/bin/ctr"]
	for _, unit := range masked {
		p.Links["/etc/systemd/system/"+unit] = "/dev/null"
	}
	for _, unit := range []string{"containerd.service", "kubelet.service"} {
		p.Links["/etc/systemd/system/multi-user.target.wants/"+unit] = "/etc/systemd/system/" + unit
	}
	p.Links["/etc/systemd/system/default.target"] = "/lib/systemd/system/multi-user.target"
	// Debian's own settings are of the kernel.
	p.Links["/etc/sysctl.d/50-pid-max.conf"] = "/dev/null"
	if p.Files, err = embedded(map[string]string{"@PAUSE_IMAGE@": imageset.PauseImage}); err != nil {
		return nil, err
	}
	archives, err := b.images(ctx, version, groups)
	if err != nil {
		return nil, err
	}
	podRoutes, err := b.podRoutes(ctx)
	p.Archives = slices.Concat(b.Archives, archives, []string{podRoutes})
	return p, err
}

// images returns the archives of what every machine of a tenant runs.
func (b *Builder) images(ctx context.Context, version string, groups []build.Group) ([]string, error) {
	wanted := []string{
		imageset.PauseImage, imageset.CoreDNSImage(build.CoreDNSVersion),
		"registry.k8s.io/kube-proxy:" + version,
		"registry.k8s.io/kas-network-proxy/proxy-agent:" + build.KonnectivityVersion,
	}
	dirs := map[string]string{}
	for _, name := range []string{"kubernetes", "etcd", "coredns", "konnectivity"} {
		g, err := build.Find(groups, name)
		if err != nil {
			return nil, err
		}
		if dirs[name], err = b.Builds.Ensure(ctx, g); err != nil {
			return nil, err
		}
	}
	kube, err := build.Find(groups, "kubernetes")
	if err != nil {
		return nil, err
	}
	pause, err := b.Builds.EnsurePause(ctx, kube, imageset.PauseTag)
	if err != nil {
		return nil, err
	}
	all, err := imageset.Ensure(ctx, b.Builds.Cache, imageset.Sources{
		CoreDNSVersion: build.CoreDNSVersion, KonnectivityVersion: build.KonnectivityVersion,
		Kubernetes: map[string]string{version: dirs["kubernetes"]}, Etcd: dirs["etcd"], CoreDNS: dirs["coredns"],
		Konnectivity: dirs["konnectivity"], Pause: pause,
	})
	if err != nil {
		return nil, err
	}
	var chosen []string
	for _, archive := range all {
		if slices.Contains(wanted, archive.Name) {
			chosen = append(chosen, archive.File)
		}
	}
	if len(chosen) != len(wanted) {
		return nil, fmt.Errorf("of the container images %v only %v are made by the development cluster", wanted, chosen)
	}
	return chosen, nil
}

// install writes files, binaries and links.
func (p *nodeParts) install(root string) error {
	for path, content := range p.Files {
		if err := state.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for path, source := range p.Binaries {
		if err := linkOrCopy(source, filepath.Join(root, path)); err != nil {
			return fmt.Errorf("installing %s: %w", path, err)
		}
	}
	for path, target := range p.Links {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	// Mount points of every machine.
	return errors.Join(os.MkdirAll(filepath.Join(root, "var/lib/containerd"), 0o711), os.MkdirAll(filepath.Join(root, "var/lib/kubelet"), 0o750))
}

// linkOrCopy makes a file that nobody will write to: the very file if it can be, since what is
// the same file is in memory once for all machines and for the development cluster.
func linkOrCopy(source, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if os.Link(source, target) == nil {
		return nil
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// unpackLimit bounds the start of a containerd for unpacking.
const unpackLimit = 30 * time.Second

// unpack makes a containerd's root directory that holds the container images, unpacked. It is
// the machines' own containerd that does it.
func (p *nodeParts) unpack(ctx context.Context, tmp, root string) error {
	socket := filepath.Join(tmp, "c.sock")
	config := filepath.Join(tmp, "containerd.toml")
	settings := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\ndisabled_plugins = ['io.containerd.grpc.v1.cri', "+
		"'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri']\n"+
		"[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n", root, filepath.Join(tmp, "state"), socket, socket+".ttrpc")
	if err := os.WriteFile(config, []byte(settings), 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(tmp, "containerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	daemon := containedCommand(ctx, p.containerd, "--config", config)
	// It looks at its own process namespace in /proc, which is that of this one.
	daemon.SysProcAttr.Cloneflags = 0
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	err = p.load(ctx, socket)
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		err = fmt.Errorf("%w\n%s", err, said[max(0, len(said)-2000):])
	}
	// Its database is consistent when it has ended by itself.
	err = errors.Join(err, daemon.Process.Signal(os.Interrupt))
	<-ended
	for _, name := range []string{"c.sock", "c.sock.ttrpc", "containerd.toml", "containerd.log", "state"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(tmp, name)))
	}
	return err
}

// load imports the archives once containerd answers.
func (p *nodeParts) load(ctx context.Context, socket string) error {
	ctr := func(args ...string) error {
		cmd := exec.CommandContext(ctx, p.ctr, append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ctr %s: %w: %s", args[0], err, out)
		}
		return nil
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(unpackLimit)
	for {
		err := ctr("version")
		if err == nil {
			break
		}
		select {
		case <-limit:
			return fmt.Errorf("containerd does not answer: %w", err)
		case <-tick.C:
		}
	}
	for _, archive := range p.Archives {
		if err := ctr("images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}
