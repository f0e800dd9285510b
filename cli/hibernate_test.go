package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// hibernating is acme in a phase of hibernation, as it was asked for: users come through the gateway.
func hibernating(phase teapotv1.HibernationPhase, message string, change ...func(*teapotv1.TenantControlPlane)) *teapotv1.TenantControlPlane {
	answers := ready
	if phase != teapotv1.HibernationAwake {
		answers = condition(teapotv1.ReadyCondition, metav1.ConditionFalse, string(phase), message)
	}
	tcp := controlPlane("acme", answers)
	tcp.Status.Hibernation = &teapotv1.HibernationStatus{Phase: phase, Since: ptr.To(metav1.NewTime(noon)), Reason: "Requested", Message: message}
	tcp.Status.Endpoint = &teapotv1.EndpointStatus{URL: "https://192.0.2.1:30443", GatewayURL: "https://192.0.2.9:30999", GatewayServerName: "acme.tenants.teapot.internal"}
	tcp.Spec.Hibernation = &teapotv1.HibernationSpec{
		Enabled:   ptr.To(phase == teapotv1.HibernationAsleep || phase == teapotv1.HibernationHibernating),
		IdleAfter: &metav1.Duration{Duration: time.Hour}, Workers: teapotv1.HibernatedWorkersRelease,
	}
	for _, each := range change {
		each(tcp)
	}
	return tcp
}

// generation is that of the spec, and of what the status is about.
func generation(spec, status int64) func(*teapotv1.TenantControlPlane) {
	return func(tcp *teapotv1.TenantControlPlane) {
		tcp.Generation, tcp.Status.ObservedGeneration = spec, status
		for i := range tcp.Status.Conditions {
			tcp.Status.Conditions[i].ObservedGeneration = status
		}
	}
}

func paused(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = true }

// neverAsked has no spec.hibernation.
func neverAsked(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Hibernation = nil }

func TestHibernateAndResume(t *testing.T) {
	const awake, asleep = teapotv1.HibernationAwake, teapotv1.HibernationAsleep
	const named = "tenantcontrolplane.teapot.dev/acme "
	schedules := func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation.Schedules = []teapotv1.HibernationSchedule{{HibernateAt: "20:00", ResumeAt: "06:00"}}
	}
	going := func(tcp *teapotv1.TenantControlPlane) {
		tcp.DeletionTimestamp, tcp.Finalizers = ptr.To(metav1.Now()), []string{teapotv1.ControlPlaneFinalizer}
	}
	spec := func(enabled bool, more ...string) map[string]any {
		wanted := map[string]any{"enabled": enabled, "idleAfter": "1h0m0s", "workers": "Release"}
		for i := 0; i < len(more); i += 2 {
			wanted[more[i]] = more[i+1]
		}
		return wanted
	}
	for _, test := range []struct {
		name, args string
		given      *teapotv1.TenantControlPlane
		want       map[string]any // spec.hibernation
		unwritten  bool
		stdout     string
		stderr     []string
		code       int
	}{
		{name: "an awake one to sleep", args: "hibernate acme", given: hibernating(awake, ""), want: spec(true), stdout: "asked to hibernate",
			stderr: []string{"acme: a user's request wakes it, and so does: teapot resume acme -n tenants\n"}},
		{name: "one that was never asked", args: "hibernate tcp acme", given: hibernating(awake, "", neverAsked), want: map[string]any{"enabled": true}, stdout: "asked to hibernate",
			stderr: []string{"acme: no request wakes it, since spec.hibernation.idleAfter is not set (--idle-after sets it); wake it with: teapot resume acme -n tenants\n"}},
		{name: "with the rest of the fields", args: "hibernate tcp/acme --idle-after 90m --workers poweroff", given: hibernating(awake, "", neverAsked),
			want: map[string]any{"enabled": true, "idleAfter": "1h30m0s", "workers": "PowerOff"}, stdout: "asked to hibernate", stderr: []string{"a user's request wakes it"}},
		{name: "one that sleeps", args: "hibernate acme", given: hibernating(asleep, ""), want: spec(true), stdout: "sleeps already"},
		{name: "one on its way", args: "hibernate acme", given: hibernating(teapotv1.HibernationHibernating, ""), want: spec(true), stdout: "is going to sleep already"},
		{name: "one that sleeps because of a schedule", args: "hibernate acme", given: hibernating(asleep, "", schedules, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Hibernation.Enabled = nil }),
			want: spec(true), stdout: "asked to hibernate", stderr: []string{"acme: its schedules count again after that"}},
		{name: "one that sleeps, with another field", args: "hibernate acme --workers Keep", given: hibernating(asleep, ""), want: spec(true, "workers", "Keep"), stdout: "asked to hibernate"},
		{name: "no wake on request", args: "hibernate acme", given: hibernating(awake, "", func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Hibernation.WakeOnRequest = ptr.To(false) }),
			want: map[string]any{"enabled": true, "idleAfter": "1h0m0s", "workers": "Release", "wakeOnRequest": false}, stdout: "asked to hibernate", stderr: []string{"no request wakes it, since spec.hibernation.wakeOnRequest is false; wake it"}},
		{name: "no gateway", args: "hibernate acme", given: hibernating(awake, "", func(tcp *teapotv1.TenantControlPlane) { tcp.Status.Endpoint.GatewayURL = "" }),
			want: spec(true), stdout: "asked to hibernate", stderr: []string{"no request wakes it, since its users do not come through a gateway"}},
		{name: "a sleeping one to wake", args: "resume acme", given: hibernating(asleep, ""), want: spec(false), stdout: "asked to resume"},
		{name: "one that is awake", args: "resume acme", given: hibernating(awake, ""), want: spec(false), stdout: "is awake already"},
		{name: "one that wakes", args: "resume acme", given: hibernating(teapotv1.HibernationWaking, ""), want: spec(false), stdout: "is waking already"},
		{name: "awake, and never asked to sleep", args: "resume acme", given: hibernating(awake, "", neverAsked), unwritten: true, stdout: "is awake already"},
		{name: "asleep, and asked no more", args: "resume acme", given: hibernating(asleep, "", neverAsked), unwritten: true, stdout: "wakes by itself: spec.hibernation is not set any more"},
		{name: "paused", args: "hibernate acme", given: hibernating(awake, "", paused), want: spec(true), stdout: "asked to hibernate", stderr: []string{
			`acme: tenantcontrolplane "acme" in namespace "tenants" has spec.paused: true`, "that it is to hibernate is noted, and done when it is paused no more",
			`"teapot resume" does not change spec.paused; this does: kubectl patch tcp acme -n tenants --type merge -p '{"spec":{"paused":false}}'`}},
		{name: "paused, and waited for", args: "resume acme --wait", given: hibernating(asleep, "", paused), want: spec(false), stdout: "asked to resume", code: exitFailed,
			stderr: []string{`error: tenantcontrolplane "acme" in namespace "tenants" has spec.paused: true`, "that it is to resume is noted"}},
		{name: "going", args: "hibernate acme", given: hibernating(awake, "", going), unwritten: true, code: exitFailed, stderr: []string{`error: tenantcontrolplane "acme" in namespace "tenants" is being deleted: it stays as it is`}},
		{name: "not there", args: "hibernate globex", given: hibernating(awake, ""), unwritten: true, code: exitFailed, stderr: []string{`tenantcontrolplane "globex" not found in namespace "tenants"`, "teapot get -A"}},
		{name: "two", args: "resume acme globex", given: hibernating(awake, ""), unwritten: true, code: exitUsage, stderr: []string{"one control plane at a time"}},
		{name: "no name", args: "hibernate", given: hibernating(awake, ""), unwritten: true, code: exitUsage, stderr: []string{"the name of a control plane is missing: teapot hibernate NAME"}},
		{name: "another policy", args: "hibernate acme --workers Burn", given: hibernating(awake, ""), unwritten: true, code: exitUsage, stderr: []string{`--workers "Burn": must be one of Release, PowerOff, Keep`}},
		{name: "no time", args: "resume acme --timeout 0s", given: hibernating(awake, ""), unwritten: true, code: exitUsage, stderr: []string{"--timeout 0s: must be greater than zero"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, test.given)
			before := api.stored("tenantcontrolplanes", "tenants", "acme")
			began := time.Now().Truncate(time.Second)
			code, stdout, stderr := run(t, api, strings.Fields(test.args)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr...)
			if test.stdout != "" && stdout != named+test.stdout+"\n" {
				t.Errorf("standard output %q, want %q", stdout, named+test.stdout)
			}
			after := api.stored("tenantcontrolplanes", "tenants", "acme")
			if test.unwritten {
				if diff := cmp.Diff(before.Object, after.Object); diff != "" {
					t.Errorf("it was changed:\n%s", diff)
				}
				return
			}
			got, _, _ := unstructured.NestedMap(after.Object, "spec", "hibernation")
			delete(got, "schedules")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("spec.hibernation (-want +got):\n%s", diff)
			}
			text := after.GetAnnotations()[teapotv1.HibernationRequestedAtAnnotation]
			at, err := time.Parse(time.RFC3339, text)
			if err != nil || !strings.HasSuffix(text, "Z") || at.Before(began) || at.After(time.Now()) {
				t.Errorf("asked at %q, %v", text, err)
			}
		})
	}
}

// Who may look and not change is told what is missing.
func TestHibernateForbidden(t *testing.T) {
	for _, command := range []string{"hibernate", "resume"} {
		api := newFakeAPI(t, hibernating(teapotv1.HibernationAwake, ""))
		api.refuse = func(r *http.Request) *apierrors.StatusError {
			if r.Method != http.MethodPatch {
				return nil
			}
			if validation := r.URL.Query().Get("fieldValidation"); validation != "Strict" {
				t.Errorf("field validation %q: a Teapot without hibernation would drop the field without a word", validation)
			}
			return apierrors.NewForbidden(controlPlaneResource.GroupResource(), "acme", nil)
		}
		code, stdout, stderr := run(t, api, command, "acme", "--wait")
		wantCode(t, exitFailed, code, stderr)
		wantText(t, stderr, `you may not change spec.hibernation of tenantcontrolplane "acme" in namespace "tenants"; the ClusterRole teapot-tenant-edit`)
		if stdout != "" {
			t.Errorf("standard output: %s", stdout)
		}
	}
}

func TestHibernateShowsProgress(t *testing.T) {
	const asked = "It was asked to sleep at 12:00; `teapot resume` wakes it. "
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAwake, "It is used."))
	i := start(t, api, "", "hibernate", "acme", "--wait")
	seen := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Contains(i.stderr.String(), text) })
	}
	eventually(t, "it watches", func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.watchers) == 1
	})
	put := func(phase teapotv1.HibernationPhase, message string, current int64) {
		api.put(hibernating(phase, message, generation(2, current)))
	}
	put(teapotv1.HibernationAsleep, "It slept before.", 1) // of the spec before: not it
	put(teapotv1.HibernationHibernating, asked+"Waiting until 2 machines are handed over.", 2)
	seen("2 machines")
	put(teapotv1.HibernationHibernating, asked+"Waiting until 1 machine is\nhanded over.", 2)
	seen("1 machine is handed over")
	put(teapotv1.HibernationAsleep, asked, 2)
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	want := `acme: a user's request wakes it, and so does: teapot resume acme -n tenants
acme: Hibernating: It was asked to sleep at 12:00; ` + "`teapot resume`" + ` wakes it. Waiting until 2 machines are handed over.
acme: Waiting until 1 machine is handed over.
acme: Asleep: It was asked to sleep at 12:00; ` + "`teapot resume`" + ` wakes it.
`
	if diff := cmp.Diff(want, elapsed.ReplaceAllString(i.stderr.String(), "")); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	first, took, found := strings.Cut(i.stdout.String(), "\ntenantcontrolplane.teapot.dev/acme asleep after ")
	if _, err := time.ParseDuration(strings.TrimSpace(took)); !found || err != nil || first != "tenantcontrolplane.teapot.dev/acme asked to hibernate" {
		t.Errorf("standard output %q", i.stdout.String())
	}
}

func TestResumeShowsProgress(t *testing.T) {
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAsleep, "It was asked to sleep."))
	i := start(t, api, "", "resume", "acme", "--wait")
	seen := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { return strings.Contains(i.stderr.String(), text) })
	}
	eventually(t, "it is asked", func() bool { return strings.Contains(i.stdout.String(), "asked to resume") })
	api.put(hibernating(teapotv1.HibernationWaking, "It was asked to be awake. Waiting until the API answers.", generation(2, 2)))
	seen("the API answers")
	// Awake, and something is missing still.
	api.put(hibernating(teapotv1.HibernationAwake, "It was asked to be awake.", generation(2, 2), func(tcp *teapotv1.TenantControlPlane) {
		tcp.Status.Conditions[0].Status, tcp.Status.Conditions[0].Reason, tcp.Status.Conditions[0].Message = metav1.ConditionFalse, "Applying", "add-ons"
	}))
	seen("add-ons")
	api.put(hibernating(teapotv1.HibernationAwake, "It was asked to be awake.", generation(2, 2)))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	want := `acme: Waking: It was asked to be awake. Waiting until the API answers.
acme: Awake: It was asked to be awake.
acme: Ready is False (Applying): add-ons
acme: Ready is True: answers
`
	if diff := cmp.Diff(want, elapsed.ReplaceAllString(i.stderr.String(), "")); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	wantText(t, i.stdout.String(), "tenantcontrolplane.teapot.dev/acme awake and Ready after ")
}

// When time runs out the error says how far it came.
func TestHibernateTimesOut(t *testing.T) {
	silent := func(tcp *teapotv1.TenantControlPlane) { tcp.Status.Hibernation = nil }
	for _, test := range []struct {
		name, args string
		given      *teapotv1.TenantControlPlane
		want       []string
	}{
		{"on its way", "hibernate acme --wait", hibernating(teapotv1.HibernationHibernating, "Waiting until 1 etcd pods have ended."),
			[]string{`timed out after 300ms waiting for tenantcontrolplane "acme" in namespace "tenants": it to be asleep`, "it is Hibernating: Waiting until 1 etcd pods have ended."}},
		{"awake and not Ready", "resume acme --wait", hibernating(teapotv1.HibernationAwake, "", func(tcp *teapotv1.TenantControlPlane) {
			tcp.Status.Conditions[0] = condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoQuorum, "no member answers")
		}), []string{"it to be awake and Ready", "Ready is False (NoQuorum): no member answers"}},
		{"nothing is known of it", "resume acme --wait", hibernating(teapotv1.HibernationAwake, "", silent), []string{"its status says nothing of hibernation yet", "check that Teapot's manager runs"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := run(t, newFakeAPI(t, test.given), strings.Fields(test.args+" --timeout 300ms")...)
			wantCode(t, exitFailed, code, stderr)
			wantText(t, stderr, test.want...)
		})
	}
}

func TestWaitWhileAsleep(t *testing.T) {
	asleep := hibernating(teapotv1.HibernationAsleep, "Nobody had used it.")
	resting := pool("web", conditioned(condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonAsleep, "TenantControlPlane acme sleeps: the pool has no machines")))
	for _, test := range []struct {
		name, args string
		given      *teapotv1.TenantControlPlane
		code       int
		stdout     string
		stderr     []string
	}{
		{name: "for Ready", args: "acme", given: asleep, code: exitFailed, stderr: []string{
			"acme: sleeps since 2025-11-21T12:00:00Z; wake it with: teapot resume acme -n tenants --wait [", "it sleeps since 2025-11-21T12:00:00Z; wake it with"}},
		{name: "for Ready, on its way to sleep", args: "acme --for=condition=Ready", given: hibernating(teapotv1.HibernationHibernating, ""), code: exitFailed, stderr: []string{"acme: is going to sleep since"}},
		{name: "for Ready, asked to wake meanwhile", args: "acme", given: hibernating(teapotv1.HibernationAsleep, "", generation(2, 1)), code: exitFailed, stderr: []string{"Ready is False (Asleep)"}},
		{name: "for sleep", args: "acme --for=asleep", given: asleep, stdout: "acme condition met"},
		{name: "for sleep, by its condition", args: "acme --for=condition=Ready=False", given: asleep, stdout: "acme condition met"},
		{name: "for sleep, while awake", args: "acme --for=asleep", given: hibernating(teapotv1.HibernationAwake, "It is used."), code: exitFailed, stderr: []string{"acme: Awake: It is used.", "it is Awake: It is used."}},
		{name: "to be awake", args: "acme --for=Awake", given: hibernating(teapotv1.HibernationAwake, ""), stdout: "acme condition met"},
		{name: "a pool", args: "pool web", given: asleep, code: exitFailed, stderr: []string{
			"web: waits for its control plane, which sleeps; wake that with: teapot resume acme -n tenants --wait", "TenantControlPlane acme sleeps: the pool has no machines"}},
		{name: "a pool has no sleep of its own", args: "pool web --for=asleep", given: asleep, code: exitUsage, stderr: []string{`--for "asleep": must be ready, deleted, condition=TYPE`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, newFakeAPI(t, test.given, resting), append([]string{"wait", "--timeout=500ms"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.stdout)
			wantText(t, stderr, test.stderr...)
		})
	}
}
