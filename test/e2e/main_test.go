// Package e2e runs Teapot end to end: the real manager, installed by Helm, makes control
// planes of real pods in the development cluster (test/run.sh sets it up).
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

var (
	// root is the root of the repository.
	root string
	// config, clientset and management reach the management cluster.
	config     *rest.Config
	clientset  *kubernetes.Clientset
	management client.Client
	// node is the development cluster's: its network namespace and its address.
	node *state.Record
)

func TestMain(m *testing.M) {
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "error: end-to-end tests need the development cluster with Teapot in it (make test):", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := removeMachine(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func setUp() (err error) {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	for _, variable := range []string{"KUBECONFIG", "KUBECTL"} {
		if os.Getenv(variable) == "" {
			return fmt.Errorf("%s is not set", variable)
		}
	}
	if node, err = state.FromEnvironment().Load(); err != nil {
		return err
	}
	if node == nil {
		return netdial.ErrNotRunning
	}
	if config, err = clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG")); err != nil {
		return err
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{} // deprecated kinds are listed like all others
	if clientset, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	management, err = client.New(config, client.Options{Scheme: controllers.Scheme()})
	return err
}

// eventually polls until a check succeeds or the time is over.
func eventually(t *testing.T, within time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		// What the end of the time interrupted says less than what was found before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", within, what, last)
		case <-ticker.C:
		}
	}
}

// binary is the path of a program of the development cluster.
func binary(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin/devcluster"), "bin", name).Output()
	if err != nil {
		t.Fatalf("finding %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// teapot runs the command line that people use and returns what it printed to stdout.
func teapot(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(root, "bin/teapot"), args...)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("teapot %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
