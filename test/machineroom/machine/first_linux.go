package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that a machine has no use for and that reach the computer.
var dropped = []uintptr{
	// open_by_handle_at finds any file of a file system of which one directory is visible.
	unix.CAP_DAC_READ_SEARCH,
	unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ, unix.CAP_BLOCK_SUSPEND, unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE,
	unix.CAP_SYSLOG, unix.CAP_SYS_MODULE, unix.CAP_SYS_PACCT, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME, unix.CAP_WAKE_ALARM,
}

// beFirst is the first process of a machine. It makes the machine's view of the computer and
// becomes its init.
func beFirst() (err error) {
	defer func() { report(err) }()
	var f first
	// The supply writes when this process is in its cgroups and has its network.
	if err := json.NewDecoder(os.Stdin).Decode(&f); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	// Now the cgroups that it is in become the roots of those it sees.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Sethostname([]byte("localhost")); err != nil {
		return fmt.Errorf("sethostname: %w", err)
	}
	if err := f.mounts(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.Root, "etc/resolv.conf"), []byte(f.Resolver), 0o644); err != nil {
		return err
	}
	if err := f.enter(); err != nil {
		return err
	}
	for _, capability := range dropped {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	console, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("opening the console: %w", err)
	}
	for _, fd := range []int{0, 1, 2} {
		if err := unix.Dup3(console, fd, 0); err != nil {
			return fmt.Errorf("opening the console: %w", err)
		}
	}
	unix.CloseOnExec(console)
	if err := unix.Exec("/sbin/init", []string{"/sbin/init"}, initEnvironment); err != nil {
		return fmt.Errorf("/sbin/init: %w", err)
	}
	return nil
}

// mounts makes the machine's file systems below f.Root.
func (f first) mounts() error {
	const nothing = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	at := func(path string) string { return filepath.Join(f.Root, path) }
	steps := []step{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"overlay", f.Root, "overlay", 0, f.Overlay},
		{"proc", at("proc"), "proc", nothing, ""},
		// Of the kernel's settings, those of its own network are the machine's.
		{at("proc/sys"), at("proc/sys"), "", unix.MS_BIND, ""},
		{"", at("proc/sys"), "", unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | nothing, ""},
		{at("proc/sys/net"), at("proc/sys/net"), "", unix.MS_BIND, ""},
		{"", at("proc/sys/net"), "", unix.MS_REMOUNT | unix.MS_BIND | nothing, ""},
		{"sysfs", at("sys"), "sysfs", nothing, ""},
		{"", at("sys"), "", unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | nothing, ""},
		{"tmpfs", at("run"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", at("tmp"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", at("dev"), "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755"},
	}
	for path, source := range f.Binds {
		steps = append(steps, step{source, at(path), "", unix.MS_BIND, ""})
	}
	if err := run(steps); err != nil {
		return err
	}
	if err := f.devices(at("dev")); err != nil {
		return err
	}
	for _, file := range []string{"kcore", "keys", "kmsg", "sched_debug", "sysrq-trigger", "timer_list"} {
		path := at("proc/" + file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := (step{at("dev/null"), path, "", unix.MS_BIND, ""}).run(); err != nil {
			return err
		}
	}
	return f.cgroups()
}

// cgroups mounts the hierarchies where the computer has them.
func (f first) cgroups() error {
	const (
		dir   = "/sys/fs/cgroup"
		flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	)
	at := func(path string) string { return filepath.Join(f.Root, path) }
	if len(f.Cgroups) == 1 && f.Cgroups[0].Point == dir {
		return step{"cgroup2", at(dir), "cgroup2", flags, ""}.run()
	}
	steps := []step{{"tmpfs", at(dir), "tmpfs", flags, "mode=755"}}
	for _, h := range f.Cgroups {
		fstype, options := "cgroup", h.Controllers
		switch {
		case h.V2:
			fstype = "cgroup2"
		case strings.HasPrefix(options, "name="):
			options = "none," + options
		}
		steps = append(steps, step{"cgroup", at(h.Point), fstype, flags, options})
	}
	steps = append(steps, step{"", at(dir), "", unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | flags, ""})
	return run(steps)
}

// devices fills the machine's /dev.
func (f first) devices(dev string) error {
	nodes := []device{
		{"null", unix.S_IFCHR, 1, 3}, {"zero", unix.S_IFCHR, 1, 5}, {"full", unix.S_IFCHR, 1, 7},
		{"random", unix.S_IFCHR, 1, 8}, {"urandom", unix.S_IFCHR, 1, 9}, {"tty", unix.S_IFCHR, 5, 0},
	}
	for _, node := range nodes {
		if err := node.make(dev, 0o666); err != nil {
			return err
		}
	}
	if err := f.Drive.make(dev, 0o600); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
		// The kubelet reads it to learn of processes that the kernel killed, and does not start
		// without. The kernel's log is the computer's; nothing comes from the console.
		"kmsg": "console",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	console := filepath.Join(dev, "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		return err
	}
	return run([]step{
		{"devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{f.Console, console, "", unix.MS_BIND, ""},
	})
}

// enter makes f.Root the root, and what was the root before unreachable.
func (f first) enter() error {
	if err := unix.Chdir(f.Root); err != nil {
		return fmt.Errorf("chdir %s: %w", f.Root, err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	// The old root lies over the new one now.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir /: %w", err)
	}
	// The kubelet's volumes are to be seen by containers that are running.
	return step{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""}.run()
}

// step is a mount(2). The target is made if it is not there.
type step struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

func (s step) run() error {
	if _, err := os.Stat(s.target); err != nil {
		if err := os.MkdirAll(s.target, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(s.source, s.target, s.fstype, s.flags, s.data); err != nil {
		return fmt.Errorf("mounting %s on %s (%s): %w", s.source, s.target, s.data, err)
	}
	return nil
}

func run(steps []step) error {
	for s := range slices.Values(steps) {
		if err := s.run(); err != nil {
			return err
		}
	}
	return nil
}
