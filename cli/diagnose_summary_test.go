package cli

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// troubled is a pod of which a container is in a state.
func troubled(name string, ready corev1.ConditionStatus, status corev1.ContainerStatus) corev1.Pod {
	p := pod(name, ready)
	p.Status.Phase = corev1.PodRunning
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{status}
	return *p
}

var crashing = corev1.ContainerStatus{
	Name: "kube-apiserver", RestartCount: 3,
	State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s"}},
	LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, FinishedAt: metav1.NewTime(noon)}},
}

func TestDiagnoseSummary(t *testing.T) {
	unready := condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoQuorum, "no member answers")
	datastore := condition(teapotv1.DatastoreReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoQuorum, "no member answers")
	addons := condition(teapotv1.AddonsReadyCondition, metav1.ConditionUnknown, "Unheard", "not reached yet")
	unpaused := condition(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
	unstalled := condition(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, "")
	restarted := crashing
	restarted.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	deleting := controlPlane("acme", ready)
	deleting.DeletionTimestamp, deleting.Finalizers = &metav1.Time{Time: noon}, []string{"teapot.dev/control-plane"}
	unscheduled := pod("etcd-0", corev1.ConditionFalse)
	unscheduled.Status.Conditions = append(unscheduled.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes"})
	var events []corev1.Event
	for i := range 8 {
		events = append(events, *event("acme", "Broken", strings.Repeat("x", i+1), i))
	}

	for _, test := range []struct {
		name  string
		given summaryInput
		// want are texts in their order, not what does not occur.
		want []string
		not  string
	}{
		{name: "all is well", given: summaryInput{tcp: controlPlane("acme", ready, unpaused, unstalled), pods: []corev1.Pod{*pod("a", corev1.ConditionTrue)}},
			want: []string{"TenantControlPlane tenants/acme at 2025-11-21T12:00:00Z", "Nothing speaks against it"}, not: "What is wrong"},
		{name: "the first cause comes first, with its remedy", given: summaryInput{tcp: controlPlane("acme", unready, addons, datastore)},
			want: []string{"1. DatastoreReady is False (NoQuorum): no member answers", "What to do: see the logs of the etcd pods", "2. AddonsReady is Unknown", "reason Unheard", "3. Ready is False"}},
		{name: "names are filled in", given: summaryInput{own: "tcp-acme-4f62c5be", tcp: controlPlane("acme", condition(teapotv1.EndpointReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForService, ""))},
			want: []string{"kubectl describe svc control-plane -n tcp-acme-4f62c5be"}},
		{name: "stalled", given: summaryInput{tcp: controlPlane("acme", condition(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonClassNotFound, "no such class"))},
			want: []string{"1. Stalled is True (ClassNotFound): no such class"}},
		{name: "a container that crashes", given: summaryInput{tcp: controlPlane("acme", ready), pods: []corev1.Pod{troubled("cp-1", corev1.ConditionFalse, crashing)}},
			want: []string{"1. Pod cp-1, container kube-apiserver: CrashLoopBackOff: back-off 40s (it ended with exit code 1"}},
		{name: "one that did", given: summaryInput{tcp: controlPlane("acme", ready), pods: []corev1.Pod{troubled("cp-1", corev1.ConditionTrue, restarted)}},
			want: []string{"Pod cp-1, container kube-apiserver has restarted 3 times, the last time at 2025-11-21T12:00:00Z: Error, exit code 1"}},
		{name: "a pod without a node", given: summaryInput{tcp: controlPlane("acme", ready), pods: []corev1.Pod{*unscheduled}},
			want: []string{"Pod etcd-0 cannot be scheduled: 0/1 nodes"}},
		{name: "a pod that is slow", given: summaryInput{tcp: controlPlane("acme", ready), pods: []corev1.Pod{*pod("a", corev1.ConditionFalse)}},
			want: []string{"Pod a is not ready"}},
		{name: "asleep, as it should be", given: summaryInput{tcp: hibernating(teapotv1.HibernationAsleep, "It was asked\nto sleep.")},
			want: []string{"It sleeps since 2025-11-21T12:00:00Z. It was asked to sleep.\nWake it with: teapot resume acme -n tenants --wait", "Nothing speaks against that."}, not: "What is wrong"},
		{name: "asleep, and broken", given: summaryInput{tcp: hibernating(teapotv1.HibernationAsleep, "", func(tcp *teapotv1.TenantControlPlane) {
			tcp.Status.Conditions = append(tcp.Status.Conditions, datastore, condition(teapotv1.HibernatedCondition, metav1.ConditionTrue, teapotv1.ReasonAsleep, ""))
		})}, want: []string{"It sleeps since", "1. DatastoreReady is False (NoQuorum)"}, not: "2."},
		{name: "waking", given: summaryInput{tcp: hibernating(teapotv1.HibernationWaking, "until the API answers")},
			want: []string{"1. Ready is False (Waking): until the API answers", "What to do: wait: the message says what for"}, not: "It sleeps"},
		{name: "no conditions", given: summaryInput{tcp: controlPlane("acme")}, want: []string{"It has no conditions yet", "What to do: check that Teapot's manager runs"}},
		{name: "being deleted", given: summaryInput{tcp: deleting}, want: []string{"It is being deleted since 2025-11-21T12:00:00Z", "teapot.dev/control-plane"}},
		{name: "not readable", given: summaryInput{tcpErr: errors.New("no right")}, want: []string{"The object itself could not be read: no right"}},
		{name: "the latest warnings", given: summaryInput{tcp: controlPlane("acme", ready), events: events},
			want: []string{"The latest warnings", "tenantcontrolplane/acme: xxxxxxxx\n", "acme: xxxxxxx\n", "acme: xxxx\n"}, not: "acme: xxx\n"},
		{name: "something is missing", given: summaryInput{tcp: controlPlane("acme", ready), missing: 2}, want: []string{"missing.txt has 2 lines."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.given.key, test.given.when, test.given.program = acme, noon, programName
			rest := summarize(test.given)
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("lacks %q, or has it earlier, in:\n%s", want, summarize(test.given))
				}
				rest = after
			}
			if text := summarize(test.given); test.not != "" && strings.Contains(text, test.not) {
				t.Errorf("has %q:\n%s", test.not, text)
			}
		})
	}
}

func TestDiagnoseKeepsToOneControlPlane(t *testing.T) {
	const own = "tcp-acme-4f62c5be"
	const log = `tail of an entry
I1121 10:00:00.000000       1 a.go:1] "starting" version="dev"
I1121 10:00:01.000000       1 a.go:2] "applied" controlPlane="tenants/acme" object="Service"
	a line that belongs to it
E1121 10:00:02.000000       1 a.go:3] "failed" controlPlane="tenants/acme-2" err=<
	tenants of others
 >
I1121 10:00:03.000000       1 a.go:4] "created namespace" namespace="tcp-acme-4f62c5be"
I1121 10:00:04.000000       1 a.go:5] "applied" object="Pod tcp-acme-4f62c5be/etcd-0"
I1121 10:00:05.000000       1 a.go:6] "applied" controlPlane="other-tenants/acme"
`
	const want = `I1121 10:00:01.000000       1 a.go:2] "applied" controlPlane="tenants/acme" object="Service"
	a line that belongs to it
I1121 10:00:03.000000       1 a.go:4] "created namespace" namespace="tcp-acme-4f62c5be"
I1121 10:00:04.000000       1 a.go:5] "applied" object="Pod tcp-acme-4f62c5be/etcd-0"
`
	if got := linesAbout(log, acme, own); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
