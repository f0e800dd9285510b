package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// resting is acme's Cluster while its control plane sleeps.
func resting(workers teapotv1.HibernatedWorkers) *clusterv1.Cluster {
	return &clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme", Annotations: map[string]string{teapotv1.HibernationAnnotation: string(workers)}},
		Spec:       clusterv1.ClusterSpec{Paused: ptr.To(true)},
	}
}

// Cluster API says of a machine what it said before its control plane fell asleep.
func TestMachinesWhileAsleep(t *testing.T) {
	deleting := func(m *clusterv1.Machine) {
		m.DeletionTimestamp, m.Finalizers = ptr.To(metav1.Now()), []string{clusterv1.MachineFinalizer}
	}
	for _, test := range []struct {
		name   string
		mode   teapotv1.HibernatedWorkers
		change func(*clusterv1.Machine)
		want   string
	}{
		{"switched off", teapotv1.HibernatedWorkersPowerOff, runningOn("node-a"), "its control plane sleeps: it is switched off"},
		{"kept", teapotv1.HibernatedWorkersKeep, runningOn("node-a"), "its control plane sleeps: it runs on"},
		{"had not joined", teapotv1.HibernatedWorkersKeep, waitingFor(noHost), "its control plane sleeps: no host is held for a machine that has not joined"},
		{"to be given back", teapotv1.HibernatedWorkersRelease, runningOn("node-a"), "its control plane sleeps: it is given back"},
		{"going, of which Cluster API knows more", teapotv1.HibernatedWorkersRelease, func(m *clusterv1.Machine) { waitingFor("Deleting: the host is cleaned")(m); deleting(m) }, "Deleting: the host is cleaned"},
		{"back", clusterapi.Waking, runningOn("node-a"), "its control plane is back, and it boots"},
	} {
		t.Run(test.name, func(t *testing.T) {
			other := machine("brought-x", "", runningOn("x"))
			other.Spec.ClusterName = "brought"
			api := newFakeAPI(t, resting(test.mode), pool("web"), machine("web-a", "web", test.change), other)
			for _, args := range []string{"get machines", "describe pool web"} {
				code, stdout, stderr := run(t, api, strings.Fields(args)...)
				wantCode(t, exitDone, code, stderr)
				wantText(t, squeezed(stdout), "v1.36.3 90m "+test.want+"\n")
			}
			_, stdout, _ := run(t, api, "get", "machines", "brought-x")
			wantText(t, squeezed(stdout), "brought-x - x Running - v1.36.3 90m -\n")
			// Without the right to see Clusters the rest is shown.
			api.refuse = forbid("/clusters")
			_, stdout, _ = run(t, api, "get", "machines")
			wantText(t, stdout, "web-a", "brought-x")
		})
	}
}

func TestGetMachinesWatchWhileAsleep(t *testing.T) {
	api := newFakeAPI(t, pool("web"), machine("web-a", "web", runningOn("node-a")))
	i := start(t, api, "", "get", "machines", "--watch")
	line := func(because string) {
		t.Helper()
		eventually(t, because, func() bool { return strings.HasSuffix(squeezed(i.stdout.String()), "90m "+because+"\n") })
	}
	line("-")
	api.put(resting(teapotv1.HibernatedWorkersPowerOff))
	line("its control plane sleeps: it is switched off")
	api.remove("clusters", "tenants", "acme")
	line("-")
}

func TestDescribeHibernation(t *testing.T) {
	in := func(hours int) metav1.Time {
		return metav1.NewTime(time.Now().Add(time.Duration(hours)*time.Hour + time.Minute))
	}
	scheduled := func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation.Schedules = []teapotv1.HibernationSchedule{{HibernateAt: "20:00", ResumeAt: "06:00"}}
	}
	asleep, awake := teapotv1.HibernationAsleep, teapotv1.HibernationAwake
	for _, test := range []struct {
		name  string
		given *teapotv1.TenantControlPlane
		// want are texts in their order.
		want []string
		not  []string
	}{
		{name: "asleep until a schedule wakes it", given: hibernating(asleep, "Nobody had used it for 1h0m0s.", scheduled, func(tcp *teapotv1.TenantControlPlane) {
			tcp.Spec.Hibernation.Enabled = nil
			tcp.Status.Hibernation.Since, tcp.Status.Hibernation.Reason = ptr.To(in(-3)), "Idle"
			tcp.Status.Hibernation.NextChange = &teapotv1.HibernationChange{Time: in(5), Phase: awake}
		}), want: []string{
			row("Users dial:", "https://192.0.2.9:30999, the gateway, as acme.tenants.teapot.internal\n"), row("Replicas:", "0 of 1 ready, since it sleeps\n"),
			"Hibernation:\n", row("State:", "Asleep since"), "(179m)\n", row("Reason:", "Idle\n"), row("Message:", "Nobody had used it for 1h0m0s.\n"),
			row("Next scheduled change:", "Awake at"), "(in 5h)\n", row("Woken by:", "teapot resume acme -n tenants --wait\n"), "a user's request, through the gateway\n",
			row("Machines meanwhile:", "given back, and made anew afterwards\n"), "Asked for (spec):\n",
		}, not: []string{"Does not sleep because"}},
		{name: "asleep, as asked", given: hibernating(asleep, "", scheduled, func(tcp *teapotv1.TenantControlPlane) {
			tcp.Spec.Hibernation.WakeOnRequest, tcp.Spec.Hibernation.Workers = ptr.To(false), teapotv1.HibernatedWorkersPowerOff
		}), want: []string{row("Next scheduled change:", "none while spec.hibernation.enabled is true\n"), "no user's request, since spec.hibernation.wakeOnRequest is false\n", row("Machines meanwhile:", "switched off, and kept\n")}},
		{name: "awake, and in use", given: hibernating(awake, "It is used.", func(tcp *teapotv1.TenantControlPlane) {
			tcp.Status.Hibernation.AwakeBecause = []string{"2 user connections; last at 2025-11-21T12:30:00Z", "Job default/report is not finished"}
		}), want: []string{row("State:", "Awake since 2025-11-21T12:00:00Z"), row("Does not sleep because:", "2 user connections; last at 2025-11-21T12:30:00Z\n"), "Job default/report is not finished\n", "Woken by:"}, not: []string{"since it sleeps", "Next scheduled change"}},
		{name: "waking, and asked for no more", given: hibernating(teapotv1.HibernationWaking, "", neverAsked), want: []string{row("State:", "Waking since"), "no user's request, since spec.hibernation.idleAfter is not set\n"}, not: []string{"Machines meanwhile"}},
		{name: "never asked", given: hibernating(awake, "Nothing has asked it to sleep.", neverAsked), want: []string{"Asked for (spec):"}, not: []string{"Hibernation:"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, newFakeAPI(t, test.given), "describe", "acme")
			wantCode(t, exitDone, code, stderr)
			rest := squeezed(stdout)
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("lacks %q, or has it earlier, in:\n%s", want, stdout)
				}
				rest = after
			}
			if i := slices.IndexFunc(test.not, func(not string) bool { return strings.Contains(stdout, not) }); i >= 0 {
				t.Errorf("has %q:\n%s", test.not[i], stdout)
			}
		})
	}
}

// The tenant's API is not asked while it sleeps, and that it is silent is no finding.
func TestDiagnoseWhatSleeps(t *testing.T) {
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAsleep, "It was asked to sleep."), throughGateway("https://192.0.2.9:30999", "acme.tenants.teapot.internal"))
	files, stderr := diagnose(t, api)
	wantText(t, files["missing.txt"], "tenant/: not asked: the control plane sleeps since 2025-11-21T12:00:00Z\n")
	wantText(t, stderr, "It sleeps since 2025-11-21T12:00:00Z. It was asked to sleep.", "Nothing speaks against that.")
	if text, ok := files["tenant/reached.txt"]; ok {
		t.Errorf("it was asked: %s", text)
	}
}

// What is made asleep is waited for until it is known to sleep.
func TestCreateHibernatedAndWait(t *testing.T) {
	api := newFakeAPI(t)
	i := start(t, api, "", "create", "tcp", "acme", "--hibernated", "--wait")
	eventually(t, "it is created", func() bool { return api.has("tenantcontrolplanes", "tenants", "acme") })
	api.put(hibernating(teapotv1.HibernationAsleep, "It was made so."))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	wantText(t, i.stderr.String(), "acme: Asleep: It was made so.")
}
