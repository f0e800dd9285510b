// Package process runs programs whose use of the computer is measured. It needs Linux.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// stopWithin is how long a program may take to end by itself.
const stopWithin = 20 * time.Second

// Process is a program that runs.
type Process struct {
	Name    string
	Started time.Time

	command *exec.Cmd
	// ended is closed when the process has ended, for the reason failure if it did not end well.
	ended   chan struct{}
	failure error
}

// Build compiles a program of this working copy, such as cmd/teapot, into a folder and returns where
// it is.
func Build(ctx context.Context, folder, program string) (string, error) {
	binary := filepath.Join(folder, filepath.Base(program))
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/teapot-cloud/teapot/"+program)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", program, err, output)
	}
	return binary, nil
}

// Start starts a program that writes to the end of a log, with variables beside those of this process.
func Start(name, log string, environment []string, arguments ...string) (*Process, error) {
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
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &Process{Name: name, Started: time.Now(), command: command, ended: make(chan struct{})}
	go func() { p.failure = command.Wait(); close(p.ended) }()
	return p, nil
}

// Err is nil while the program runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %s", p.Name, p.command.ProcessState)
	default:
		return nil
	}
}

// Stop ends the program as a kubelet would, and fails if it does not end by itself or not well.
func (p *Process) Stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.Name, err)
	}
	select {
	case <-p.ended:
		if p.failure != nil {
			return fmt.Errorf("%s ended: %w", p.Name, p.failure)
		}
		return nil
	case <-time.After(stopWithin):
		_ = p.command.Process.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.Name, stopWithin)
	}
}

// Usage is what a process has used of the computer.
type Usage struct {
	At time.Time
	// CPU is the time on processors since the process started, in steps of 10 ms.
	CPU time.Duration
	// Anonymous is the memory that it shares with nobody and no file backs, and Resident all that it
	// has in memory, in bytes.
	Anonymous, Resident uint64
}

// Usage looks at the process.
func (p *Process) Usage() (Usage, error) {
	proc, err := procfs.NewProc(p.command.Process.Pid)
	if err != nil {
		return Usage{}, fmt.Errorf("looking at %s: %w", p.Name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return Usage{}, fmt.Errorf("reading the processor time of %s: %w", p.Name, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return Usage{}, fmt.Errorf("reading the memory of %s: %w", p.Name, err)
	}
	return Usage{
		At: time.Now(), CPU: time.Duration(stat.CPUTime() * float64(time.Second)), Anonymous: status.RssAnon, Resident: status.VmRSS,
	}, nil
}

// Millicores is the average use of processors since an earlier look.
func (u Usage) Millicores(earlier Usage) float64 {
	return 1000 * (u.CPU - earlier.CPU).Seconds() / u.At.Sub(earlier.At).Seconds()
}

// MiB is the anonymous memory.
func (u Usage) MiB() float64 { return float64(u.Anonymous) / (1 << 20) }
