package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// elapsed is the part of a progress line that differs from run to run.
var elapsed = regexp.MustCompile(` \[[0-9.]+m?s\]`)

func TestWaitShowsProgress(t *testing.T) {
	const no, yes = metav1.ConditionFalse, metav1.ConditionTrue
	api := newFakeAPI(t, controlPlane("acme",
		condition("NamespaceReady", yes, "Ready", ""),
		condition("DatastoreReady", no, "WaitingForPods", "0 of 1 members\nare ready"),
		condition("Ready", no, "WaitingForPods", "")))
	i := start(t, api, "", "wait", "acme")
	seen := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Contains(i.stderr.String(), text) })
	}
	seen("Ready is False (WaitingForPods)")
	api.put(controlPlane("acme",
		condition("NamespaceReady", yes, "Ready", ""),
		condition("DatastoreReady", yes, "Ready", "1 of 1 members are ready"),
		condition("Ready", no, "WaitingForAPIServer", "")))
	seen("WaitingForAPIServer")

	// True, but of the spec before the last change: not yet.
	stale := controlPlane("acme", condition("Ready", yes, "Ready", "answers"))
	stale.Generation = 2
	api.put(stale)
	seen("Ready is True: answers")
	current := controlPlane("acme", condition("Ready", yes, "Ready", "answers"))
	current.Generation, current.Status.ObservedGeneration = 2, 2
	api.put(current)

	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	if want := "tenantcontrolplane.teapot.dev/acme condition met\n"; i.stdout.String() != want {
		t.Errorf("standard output %q, want %q", i.stdout.String(), want)
	}
	want := `acme: DatastoreReady is False (WaitingForPods): 0 of 1 members are ready
acme: Ready is False (WaitingForPods)
acme: DatastoreReady is True (Ready): 1 of 1 members are ready
acme: Ready is False (WaitingForAPIServer)
acme: Ready is True: answers
`
	if diff := cmp.Diff(want, elapsed.ReplaceAllString(i.stderr.String(), "")); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestWait(t *testing.T) {
	notReady := condition("Ready", metav1.ConditionFalse, "NotAnswering", "192.0.2.1:30443 refused the connection")
	paused := controlPlane("paused", notReady)
	paused.Spec.Paused = true
	deleting := controlPlane("deleting", ready)
	now := metav1.Now()
	deleting.DeletionTimestamp, deleting.Finalizers = &now, []string{teapotv1.ControlPlaneFinalizer}
	objects := func(t *testing.T) *fakeAPI {
		return newFakeAPI(t, controlPlane("acme", ready), controlPlane("broken", notReady), paused, deleting)
	}
	for _, test := range []struct {
		name, args     string
		code           int
		stdout, stderr []string
	}{
		{name: "ready", args: "acme", stdout: []string{"acme condition met"}},
		{name: "as kubectl names it", args: "tcp/acme", stdout: []string{"acme condition met"}},
		{name: "with the kind", args: "tcp acme", stdout: []string{"acme condition met"}},
		{name: "condition, in any case", args: "acme --for=condition=ready", stdout: []string{"acme condition met"}},
		{name: "condition false", args: "broken --for=condition=Ready=false", stdout: []string{"broken condition met"}},
		{name: "gone already", args: "globex --for=deleted", stdout: []string{"globex condition met"}},
		{
			name: "timed out", args: "broken --timeout=500ms", code: exitFailed,
			stderr: []string{`timed out after 500ms waiting for tenantcontrolplane "broken" in namespace "tenants": condition Ready to be True`, "Ready is False (NotAnswering): 192.0.2.1:30443 refused the connection"},
		},
		{name: "timed out, paused", args: "paused --timeout=500ms", code: exitFailed, stderr: []string{"is paused", "spec.paused is true", "kubectl patch tcp paused -n tenants"}},
		{name: "is being deleted", args: "deleting", code: exitFailed, stderr: []string{"it is being deleted"}},
		{name: "not deleted", args: "deleting --for=deleted --timeout=500ms", code: exitFailed, stderr: []string{"it to be deleted", "its finalizers are still there: " + teapotv1.ControlPlaneFinalizer}},
		{
			name: "several, one without success", args: "acme broken --timeout=500ms", code: exitFailed,
			stdout: []string{"acme condition met"}, stderr: []string{`"broken"`},
		},
		{name: "no such name", args: "globex", code: exitFailed, stderr: []string{`tenantcontrolplane "globex" not found in namespace "tenants"`, "teapot get -A"}},
		{name: "nothing named", args: "", code: exitUsage, stderr: []string{"the name of a control plane is missing"}},
		{name: "kind alone", args: "tcp", code: exitUsage, stderr: []string{"the name of a control plane is missing"}},
		{name: "unknown goal", args: "acme --for=happiness", code: exitUsage, stderr: []string{`--for "happiness": must be ready`}},
		{name: "unknown status", args: "acme --for=condition=Ready=maybe", code: exitUsage, stderr: []string{"condition=TYPE=True|False|Unknown"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, objects(t), append([]string{"wait"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.stdout...)
			wantText(t, stderr, test.stderr...)
		})
	}
}

func TestWaitForDeletion(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme", ready))
	i := start(t, api, "", "wait", "acme", "--for=deleted")
	eventually(t, "it watches", func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.watchers) == 1
	})
	// A new one of the same name is another: the one that was waited for is gone.
	again := controlPlane("acme", ready)
	again.UID = "another"
	api.put(again)
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
}

// A watch that the server ends is taken up again, and nothing is missed in between.
func TestWaitOutlivesItsWatch(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme"))
	i := start(t, api, "", "wait", "acme")
	eventually(t, "it watches", func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.watchers) == 1
	})
	api.server.CloseClientConnections()
	api.put(controlPlane("acme", ready))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
}
