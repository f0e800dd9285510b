// Package apiserver gives tests a real kube-apiserver with its etcd, on loopback, with
// Teapot's CRDs installed. One server serves all tests of a package:
//
//	func TestMain(m *testing.M) { apiserver.Run(m) }
//
//	func TestSomething(t *testing.T) {
//		config := apiserver.Config(t)
//		…
//	}
//
// It is started when the first test asks for it, so a test that does not need it runs
// without. The binaries are those of the development cluster: the environment variable
// KUBEBUILDER_ASSETS names their folder. Where they are missing a test fails; it is
// never skipped.
package apiserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// AssetsVariable names the folder that holds kube-apiserver, etcd and kubectl.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// CRDs is the folder of the generated CRDs, relative to the root of the repository.
const CRDs = "charts/teapot/files/crds"

var shared struct {
	sync.Mutex
	running bool // Run was called and will clean up
	started bool
	server  *server
	err     error
}

// Run runs a package's tests, stops the server that they may have started and exits. It
// is the whole body of a TestMain.
func Run(m *testing.M) {
	shared.Lock()
	shared.running = true
	shared.Unlock()

	code := m.Run()

	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the test's API server:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Config returns an administrator's access to the package's server, started on first
// call. The caller may change the copy that it gets, for example to impersonate a user.
func Config(t testing.TB) *rest.Config {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.running {
		t.Fatal("package apiserver: TestMain must call apiserver.Run, so that the server is stopped")
	}
	if !shared.started {
		shared.started = true
		shared.server, shared.err = start()
	}
	if shared.err != nil {
		t.Fatalf("starting the test's API server: %v", shared.err)
	}
	return rest.CopyConfig(shared.server.environment.Config)
}

// Kubeconfig returns the path of a file with the access of Config, for programs.
func Kubeconfig(t testing.TB) string {
	t.Helper()
	Config(t)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, shared.server.environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Start starts a server for a TestMain that wants it before any test. The caller stops it.
func Start() (config *rest.Config, stop func() error, err error) {
	s, err := start()
	if err != nil {
		return nil, nil, err
	}
	return s.environment.Config, s.stop, nil
}

// Root returns the root of the repository.
func Root(t testing.TB) string {
	t.Helper()
	root, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

type server struct {
	environment *envtest.Environment
	directory   string
}

func start() (_ *server, err error) {
	assets, err := assetsWith("kube-apiserver", "etcd")
	if err != nil {
		return nil, err
	}
	root, err := root()
	if err != nil {
		return nil, err
	}
	sweep()
	directory, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", directoryPrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	s := &server{directory: directory, environment: &envtest.Environment{
		UseExistingCluster:    new(bool), // never, whatever the environment says
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join(root, CRDs)},
		ErrorIfCRDPathMissing: true,
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()

	apiServer, etcd := s.environment.ControlPlane.GetAPIServer(), &envtest.Etcd{}
	s.environment.ControlPlane.Etcd = etcd
	apiServer.CertDir, etcd.DataDir = filepath.Join(directory, "certificates"), filepath.Join(directory, "data")
	if apiServer.Path, err = tied(directory, filepath.Join(assets, "kube-apiserver")); err != nil {
		return nil, err
	}
	if etcd.Path, err = tied(directory, filepath.Join(assets, "etcd")); err != nil {
		return nil, err
	}
	for _, path := range []string{apiServer.CertDir, etcd.DataDir} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
	}
	// What the two have to say is worth reading only when they do not start.
	log, err := os.Create(filepath.Join(directory, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	apiServer.Out, apiServer.Err, etcd.Out, etcd.Err = log, log, log, log

	if _, err := s.environment.Start(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w; the end of what it said:\n%s", err, tail(string(said), 20))
	}
	return s, nil
}

func (s *server) stop() error {
	return errors.Join(s.environment.Stop(), os.RemoveAll(s.directory))
}

const directoryPrefix = "teapot-apiserver-"

// sweep removes the directories of runs that were killed before they could.
func sweep() {
	if _, err := os.Stat("/proc/self"); err != nil {
		return // no way to tell here which of them are in use
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), directoryPrefix+"*"))
	for _, directory := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(directory), directoryPrefix), "-")
		if _, err := os.Stat(filepath.Join("/proc", pid)); errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(directory)
		}
	}
}

// tied returns a program that runs the binary and dies with this process, so that a test
// that is killed or runs out of time leaves nothing running. Where setpriv is missing
// (other than Linux) the binary itself is returned.
func tied(directory, binary string) (string, error) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return binary, nil //nolint:nilerr // best effort where it cannot be had
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %q --pdeathsig KILL %q \"$@\"\n", setpriv, binary)
	path := filepath.Join(directory, filepath.Base(binary))
	return path, os.WriteFile(path, []byte(script), 0o700)
}

func assetsWith(names ...string) (string, error) {
	assets := os.Getenv(AssetsVariable)
	if assets == "" {
		return "", fmt.Errorf("%s is not set, and a real %s is needed: run `make assets`, then `make test`, or set it to the folder that `make assets` prints", AssetsVariable, strings.Join(names, " and "))
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil {
			return "", fmt.Errorf("%s=%s has no %s: run `make assets`: %w", AssetsVariable, assets, name, err)
		}
	}
	return assets, nil
}

func root() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, CRDs)); err == nil {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", fmt.Errorf("no folder above the working directory has %s: run `make generate`", CRDs)
		}
		directory = parent
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
