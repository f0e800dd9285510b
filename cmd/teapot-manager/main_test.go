package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/output"
)

// asManager makes the test's program be the manager itself.
const asManager = "TEAPOT_TEST_IS_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(asManager) != "" {
		main()
		return
	}
	apiserver.Run(m)
}

// manager is a manager that runs as a process of its own against the test's API server.
type manager struct {
	ended chan struct{}
	log   output.Buffer
}

// startManager starts one and stops it at the end of the test. Its leader election ends it
// soon after the API server, should the test be killed.
func startManager(t *testing.T, args ...string) *manager {
	t.Helper()
	m := &manager{ended: make(chan struct{})}
	command := exec.Command(os.Args[0], append([]string{
		"--leader-election-namespace=default", "--leader-election-id=" + strings.ToLower(t.Name()),
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--node-port-address=192.0.2.1",
	}, args...)...)
	command.Env = append(os.Environ(), asManager+"=1", "KUBECONFIG="+apiserver.Kubeconfig(t))
	command.Stdout, command.Stderr = &m.log, &m.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var failure error
	go func() {
		failure = command.Wait()
		close(m.ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // one that has ended says so below
		<-m.ended
		if failure != nil {
			t.Errorf("the manager ended: %v", failure)
		}
		if t.Failed() {
			t.Logf("manager %s:\n%s", strings.Join(args, " "), m.log.String())
		}
	})
	return m
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(apiserver.Config(t), client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tenant makes a control plane in a namespace of its own.
func tenant(t *testing.T, c client.Client) *teapotv1.TenantControlPlane {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "acme"}}
	tcp.Spec.Version = "v1.36.3"
	if err := c.Create(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// eventually polls until a check succeeds, for as long as the manager runs.
func (m *manager) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute for %s: %v", what, err)
		case <-m.ended:
			t.Fatalf("the manager ended before %s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
