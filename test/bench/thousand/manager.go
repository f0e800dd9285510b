package thousand

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// Ports of the manager, on the room's own address.
const (
	metricsPort = "8443"
	healthPort  = "8081"
)

// process is a running manager, Teapot's or one of Cluster API's.
type process struct {
	name    string
	command *exec.Cmd
	started time.Time
	// ended is closed when the process has ended, for the reason failure if it did not end well.
	ended   chan struct{}
	failure error
}

// buildManager compiles the manager of this working copy into a folder.
func buildManager(ctx context.Context, folder string) (string, error) {
	binary := filepath.Join(folder, "teapot-manager")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/teapot-cloud/teapot/cmd/teapot-manager")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the manager: %w\n%s", err, output)
	}
	return binary, nil
}

// startManager starts the manager with its defaults, but for where it listens, how it reaches
// its tenants, and that it needs not be elected: on a computer that is busy with other things
// it would lose the election and end.
func startManager(binary, kubeconfig, address, log string) (*process, error) {
	return startProcess("the manager", kubeconfig, log, binary,
		"--leader-elect=false",
		"--metrics-bind-address="+net.JoinHostPort(address, metricsPort),
		"--health-probe-bind-address="+net.JoinHostPort(address, healthPort),
		"--node-port-address="+address)
}

// startProcess starts a program that works by a kubeconfig and writes to a log.
func startProcess(name, kubeconfig, log string, arguments ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	// It dies with this process, also when that is killed.
	if setpriv, err := exec.LookPath("setpriv"); err == nil {
		arguments = append([]string{setpriv, "--pdeathsig", "KILL"}, arguments...)
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "POD_NAMESPACE="+namespace)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, command: command, started: time.Now(), ended: make(chan struct{})}
	go func() { p.failure = command.Wait(); close(p.ended) }()
	return p, nil
}

// stop ends the program as a kubelet would, and fails if it does not end by itself or not well.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		if p.failure != nil {
			return fmt.Errorf("%s ended: %w", p.name, p.failure)
		}
		return nil
	case <-time.After(20 * time.Second):
		_ = p.command.Process.Kill()
		return fmt.Errorf("%s did not end within 20 s of SIGTERM", p.name)
	}
}

// usage is what a process has used of the computer.
type usage struct {
	at time.Time
	// cpu is the time on processors since the process started, in steps of 10 ms.
	cpu time.Duration
	// anonymous is the memory that it shares with nobody and no file backs, in bytes.
	anonymous uint64
}

func (p *process) usage() (usage, error) {
	proc, err := procfs.NewProc(p.command.Process.Pid)
	if err != nil {
		return usage{}, fmt.Errorf("looking at %s: %w", p.name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return usage{}, fmt.Errorf("reading the processor time of %s: %w", p.name, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return usage{}, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	return usage{at: time.Now(), cpu: time.Duration(stat.CPUTime() * float64(time.Second)), anonymous: status.RssAnon}, nil
}

// millicores is the average use of processors since an earlier look.
func (u usage) millicores(earlier usage) float64 {
	return 1000 * (u.cpu - earlier.cpu).Seconds() / u.at.Sub(earlier.at).Seconds()
}

func (u usage) mib() float64 { return float64(u.anonymous) / (1 << 20) }
