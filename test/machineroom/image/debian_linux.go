package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// system is the operating system of an image: all that its Debian part is made from.
type system struct {
	Suite, Architecture string
	// Mirror is where the computer's own packages come from, if it runs this suite.
	Mirror string
	// Sources are lines of sources.list.
	Sources  []string
	Packages []string
	// Recipe is to be raised when the way of building changes what comes out.
	Recipe int
}

const (
	suite         = "bookworm"
	defaultMirror = "http://deb.debian.org/debian"
)

// packages are what the image has beyond Debian's minimum: systemd and cloud-init, and what
// kubelet, kubeadm, kube-proxy and the CNI plug-ins call or people look with.
var packages = []string{
	"ca-certificates", "cloud-init", "conntrack", "dbus", "e2fsprogs", "ethtool", "iproute2", "iptables",
	"kmod", "mount", "nftables", "procps", "socat", "systemd", "systemd-sysv",
}

// operatingSystem says what to build from. It follows the computer's settings of apt.
func operatingSystem(ctx context.Context) (system, error) {
	if err := build.MissingError("the machines' image", build.CommandNeed("debootstrap", "debootstrap"),
		build.CommandNeed("apt-get", "apt")); err != nil {
		return system{}, err
	}
	targets, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Identifier: Packages").Output()
	if err != nil {
		return system{}, fmt.Errorf("asking apt for its sources: %w", err)
	}
	from := system{Suite: suite, Architecture: runtime.GOARCH, Packages: packages, Recipe: 1}
	from.Mirror, from.Sources = sources(string(targets))
	return from, nil
}

// sources picks the suite's mirror and lines of sources.list out of apt's targets.
func sources(targets string) (mirror string, lines []string) {
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "main" {
			continue
		}
		uri := strings.TrimSuffix(fields[0], "/")
		switch fields[1] {
		case suite:
			mirror = uri
		case suite + "-updates", suite + "-security":
		default:
			continue
		}
		lines = append(lines, fmt.Sprintf("deb %s %s main", uri, fields[1]))
	}
	if mirror == "" { // the computer runs something else
		return defaultMirror, []string{fmt.Sprintf("deb %s %s main", defaultMirror, suite)}
	}
	return mirror, lines
}

// debian makes a root file system.
func (b *Builder) debian(ctx context.Context, from system, root string) error {
	downloads := filepath.Join(b.Dir, ".debs")
	if err := os.MkdirAll(filepath.Join(downloads, "partial"), 0o755); err != nil {
		return err
	}
	if err := contained(ctx, "debootstrap", "--variant=minbase", "--cache-dir="+downloads, from.Suite, root, from.Mirror); err != nil {
		return err
	}
	settings, err := exec.CommandContext(ctx, "apt-config", "dump", "--format", `%f "%v";%n`, "Acquire::http", "Acquire::https").Output()
	if err != nil {
		return fmt.Errorf("asking apt for its settings: %w", err)
	}
	resolver, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	// Only for the build.
	temporary := map[string]string{
		"/etc/apt/apt.conf.d/99-build": string(settings) + "Binary::apt-get::APT::Keep-Downloaded-Packages \"1\";\n",
		"/etc/resolv.conf":             string(resolver),
		// No daemon is to be started in the computer that builds.
		"/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
		// Synchronizing each file would take longer than all the rest.
		"/etc/dpkg/dpkg.cfg.d/99-build": "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n",
	}
	for path, content := range temporary {
		if err := state.WriteFile(filepath.Join(root, path), []byte(content), 0o755); err != nil {
			return err
		}
	}
	if err := state.WriteFile(filepath.Join(root, "etc/apt/sources.list"), []byte(strings.Join(from.Sources, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	const script = `
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/var/cache/apt/archives"
shift 2
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq install --no-install-recommends "$@"
`
	args := append([]string{"-euc", `root=$1` + script, "sh", root, downloads}, from.Packages...)
	if err := contained(ctx, "sh", args...); err != nil {
		return err
	}
	for path := range temporary {
		if err := os.Remove(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/apt/lists/*"))
	for _, list := range lists {
		err = errors.Join(err, os.RemoveAll(list))
	}
	return err
}

// contained runs a command in mount and process namespaces of its own: whatever ends it, no
// mount and no process is left.
func contained(ctx context.Context, name string, args ...string) error {
	cmd := containedCommand(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out.Bytes()[max(0, out.Len()-4000):])
	}
	return nil
}

func containedCommand(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// Go makes all mounts private where it unshares, and not where it clones.
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd
}
