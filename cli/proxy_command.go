package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// runCommand runs a command with KUBECONFIG set to a file with config, which is removed
// afterwards whatever happens. Its exit code is the program's.
func runCommand(streams genericiooptions.IOStreams, terminal bool, command []string, config *clientcmdapi.Config) (err error) {
	// From here on a signal does not end this program before the file is removed.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	directory, err := os.MkdirTemp(runtimeDirectory(), "teapot-proxy-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	file := filepath.Join(directory, "kubeconfig")
	if err := writeKubeconfig(file, config); err != nil {
		return err
	}

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.In, streams.Out, streams.ErrOut
	cmd.Env = append(os.Environ(), "KUBECONFIG="+file)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case received := <-signals:
			// Ctrl-C on a terminal has reached the command too; what it makes of it is
			// its own affair.
			if terminal && received == syscall.SIGINT {
				continue
			}
			_ = cmd.Process.Signal(received)
		case err := <-done:
			return commandResult(command[0], err)
		}
	}
}

// commandResult turns how a command ended into an exit code, as a shell does.
func commandResult(name string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("run %s: %w", name, err)
	case exit.ExitCode() >= 0:
		return exitError{exit.ExitCode()}
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{128 + int(status.Signal())}
	}
	return exitError{exitFailed}
}

// runtimeDirectory is where files that end with the session belong; it is in memory
// where there is one.
// https://specifications.freedesktop.org/basedir-spec/latest/
func runtimeDirectory() string {
	directory := os.Getenv("XDG_RUNTIME_DIR")
	if info, err := os.Stat(directory); err == nil && info.IsDir() && filepath.IsAbs(directory) {
		return directory
	}
	return os.TempDir()
}

// replaceProxyKubeconfig writes a file for a local port. What an earlier proxy wrote is
// replaced, since it names a port that is no more.
func replaceProxyKubeconfig(file string, config *clientcmdapi.Config) error {
	old, err := readKubeconfig(file)
	if err != nil {
		return fmt.Errorf("--kubeconfig-out: %w", err)
	}
	for name, cluster := range old.Clusters {
		server, err := url.Parse(cluster.Server)
		if err != nil || server.Hostname() != localhost || cluster.TLSServerName != inClusterServerName {
			return fmt.Errorf("--kubeconfig-out %s: has cluster %q, which no proxy wrote; name another file", file, name)
		}
	}
	return writeKubeconfig(file, config)
}
