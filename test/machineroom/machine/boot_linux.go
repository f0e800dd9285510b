package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/proc"
)

// booted is a machine that runs, as its supply holds it.
type booted struct {
	cmd *exec.Cmd
	// held are closed when it has ended: the loop device, and both ends of the console.
	held []io.Closer
}

// first is what the first process of a machine is told.
type first struct {
	// Root is an empty directory to mount the root file system on.
	Root string
	// Overlay are the options of that mount.
	Overlay string
	// Binds maps paths in the machine to directories of this computer.
	Binds map[string]string
	// Drive is the config drive's device; it has the same name in the machine.
	Drive device
	// Console is the path of the console's terminal.
	Console string
	// Resolver is the content of resolv.conf.
	Resolver string
	// Cgroups are the hierarchies to mount, each from the machine's own group downwards.
	Cgroups []hierarchy
}

// boot starts what the disk holds and returns when its init runs.
func (c Config) boot() (_ *booted, err error) {
	m := &booted{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.release())
		}
	}()
	if err := thisComputer.prepare(); err != nil {
		return nil, err
	}
	d := c.disk()
	overlay, err := d.overlayOptions()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(c.Dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	drive, attached, err := attach(d.path("config-drive"))
	if err != nil {
		return nil, fmt.Errorf("attaching the config drive: %w", err)
	}
	m.held = append(m.held, attached)
	cgroups, err := hierarchies()
	if err != nil {
		return nil, err
	}
	group := cgroup{c.ID()}
	if err := thisComputer.alone(func() error { return group.make(cgroups, drive) }); err != nil {
		return nil, fmt.Errorf("making cgroups: %w", err)
	}
	terminal, err := m.openConsole(c.Console())
	if err != nil {
		return nil, fmt.Errorf("opening the console: %w", err)
	}

	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Args = []string{firstName, c.Name}
	m.cmd.Env = []string{}
	m.cmd.Stdout, m.cmd.Stderr = os.Stdout, os.Stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
	}
	handOver, wait, err := prepareRole(m.cmd)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.cmd.Process.Kill())
			_ = m.cmd.Wait() // it was killed
		}
	}()
	if err := group.enter(m.cmd.Process.Pid); err != nil {
		return nil, err
	}
	if err := c.connect(m.cmd.Process.Pid); err != nil {
		return nil, fmt.Errorf("connecting the network card: %w", err)
	}
	err = handOver(first{
		Root: root, Overlay: overlay, Drive: drive, Console: terminal, Cgroups: cgroups,
		Binds: map[string]string{"/var/lib/containerd": d.path("containerd"), "/var/lib/kubelet": d.path("kubelet")},
		// A resolver without a server would be an error for CoreDNS.
		Resolver: fmt.Sprintf("nameserver %s\n", c.Gateway),
	})
	if err != nil {
		return nil, err
	}
	if err := wait(); err != nil {
		return nil, fmt.Errorf("starting init: %w", err)
	}
	return m, nil
}

// openConsole makes a terminal whose output goes to a file, and returns its path.
func (m *booted) openConsole(file string) (string, error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	m.held = append(m.held, out)
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	m.held = append(m.held, near)
	if err := unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	number, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err != nil {
		return "", err
	}
	path := fmt.Sprintf("/dev/pts/%d", number)
	// Held open, for reading fails while nobody has the far end open.
	far, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	m.held = append(m.held, far)
	go func() { _, _ = io.Copy(out, near) }() // until both ends are closed
	return path, nil
}

// wait waits for the machine's end and says whether it asked for a reboot. The kernel ends the
// first process of a process namespace with SIGHUP on reboot, and with SIGINT on poweroff and
// halt (reboot(2)).
func (m *booted) wait() (again bool) {
	err := m.cmd.Wait()
	status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus)
	fmt.Fprintln(os.Stderr, "the machine ended:", m.cmd.ProcessState, err)
	if err := m.release(); err != nil {
		fmt.Fprintln(os.Stderr, "releasing what it held:", err)
	}
	return ok && status.Signaled() && status.Signal() == syscall.SIGHUP
}

func (m *booted) release() error {
	var err error
	for i := len(m.held) - 1; i >= 0; i-- {
		err = errors.Join(err, m.held[i].Close())
	}
	m.held = nil
	return err
}

// initEnvironment is what init is started with. container tells systemd, and through it every
// service, that the kernel is not its own.
var initEnvironment = []string{"container=teapot-machineroom", "PATH=" + proc.Path, "TERM=dumb"}
