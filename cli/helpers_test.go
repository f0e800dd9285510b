package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/output"
)

// deadline bounds what a test waits for.
const deadline = 20 * time.Second

// eventually waits until something is true.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !true() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

// invocation is one run of the command line.
type invocation struct {
	stdout, stderr output.Buffer
	code           chan int
}

// wait returns the exit code.
func (i *invocation) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-i.code:
		return code
	case <-time.After(deadline):
		t.Fatalf("the command did not end\nstdout: %s\nstderr: %s", i.stdout.String(), i.stderr.String())
		return -1
	}
}

// start runs a command line in the background. answer, if not empty, is typed on a
// terminal. api may be nil.
func start(t *testing.T, api *fakeAPI, answer string, args ...string) *invocation {
	t.Helper()
	i := &invocation{code: make(chan int, 1)}
	e := newEnvironment(genericiooptions.IOStreams{In: strings.NewReader(answer), Out: &i.stdout, ErrOut: &i.stderr}, programName)
	e.interactive = func() bool { return answer != "" }
	root := newRoot(e, programName)
	if api != nil {
		args = append([]string{"--kubeconfig", api.kubeconfig, "--cache-dir", t.TempDir()}, args...)
	}
	root.SetArgs(args)
	ctx := t.Context()
	go func() {
		executed, err := root.ExecuteContextC(ctx)
		i.code <- report(executed, err, &i.stderr)
	}()
	return i
}

// run is start, and waits for the end.
func run(t *testing.T, api *fakeAPI, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	i := start(t, api, "", args...)
	code = i.wait(t)
	return code, i.stdout.String(), i.stderr.String()
}

func controlPlane(name string, conditions ...metav1.Condition) *teapotv1.TenantControlPlane {
	return &teapotv1.TenantControlPlane{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, UID: types.UID(name + "-uid"), Generation: 1},
		Spec:       teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"},
		Status:     teapotv1.TenantControlPlaneStatus{ObservedGeneration: 1, Conditions: conditions},
	}
}

func condition(conditionType string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message, ObservedGeneration: 1}
}

var ready = condition(teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "answers")

func wantCode(t *testing.T, want, code int, stderr string) {
	t.Helper()
	if code != want {
		t.Fatalf("exit code %d, want %d\nstderr: %s", code, want, stderr)
	}
}

func wantText(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}
