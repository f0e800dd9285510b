package clusterctl

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/output"
)

// patience is how long anything may take; each takes seconds on a machine that is not busy.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(m.Run())
}

// binaries are where the programs are, built if need be.
var binaries = sync.OnceValues(func() (found struct{ clusterctl, controllers, core, bootstrap, teapot string }, err error) {
	builder, err := build.NewBuilder(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return found, err
	}
	groups, err := build.Catalogue(build.DefaultKubernetesVersion)
	if err != nil {
		return found, err
	}
	groups = append(append(groups, build.Machines()...), build.Tools()...)
	for name, path := range map[string]*string{
		"clusterctl":                   &found.clusterctl,
		"kube-controller-manager":      &found.controllers,
		"cluster-api-controller":       &found.core,
		"kubeadm-bootstrap-controller": &found.bootstrap,
	} {
		if *path, err = builder.Binary(context.Background(), groups, name); err != nil {
			return found, err
		}
	}
	found.teapot, err = buildManager()
	return found, err
})

// buildManager builds teapot-manager as it is here, to where the next run replaces it.
func buildManager() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "teapot", "test-clusterctl", "teapot-manager")
	command := exec.Command("go", "build", "-o", path, "github.com/teapot-cloud/teapot/cmd/teapot-manager")
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, said)
	}
	return path, nil
}

// program is a process of a test's, whose output is shown if the test fails.
type program struct {
	command *exec.Cmd
	said    output.Buffer
	ended   chan struct{}
	stop    func()
}

// start starts a program that ends with the test, or with the test's process.
func start(t *testing.T, name, path string, environment []string, args ...string) *program {
	t.Helper()
	p := &program{ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	p.command = exec.CommandContext(ctx, "setpriv", append([]string{"--pdeathsig", "KILL", path}, args...)...)
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	must(t, p.command.Start())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // why it ended is in what it said
	}()
	p.stop = func() { cancel(); <-p.ended }
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, tail(p.said.String(), 4000))
		}
		p.stop()
	})
	return p
}

func tail(said string, n int) string { return said[max(0, len(said)-n):] }

// freePort returns a TCP port of loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// ownAddress returns an IPv4 address of this computer that is none of loopback: a cluster's own
// endpoint must be such a one. What is sent to it does not leave the computer.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, each := range addresses {
		if network, ok := each.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Fatalf("this computer has no IPv4 address but loopback's (%v), and a cluster's endpoint cannot be that: give an interface one", addresses)
	return ""
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	apiserver.Eventually(t, patience, what, check)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
