package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// summaryInput is what the summary is made from.
type summaryInput struct {
	program string
	key     types.NamespacedName
	own     string
	when    time.Time
	// tcp is nil if it could not be read.
	tcp     *teapotv1.TenantControlPlane
	tcpErr  error
	pods    []corev1.Pod
	events  []corev1.Event
	missing int
}

// summarize says in words what is wrong, the first cause first.
func summarize(in summaryInput) string {
	w := &strings.Builder{}
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("%s %s at %s", controlPlaneKind.Kind, in.key, inFiles.time(in.when))
	asleep := in.tcp != nil && isSleeping(in.tcp)
	if asleep {
		line("\nIt %s. %s\nWake it with: %s", asleepSince(in.tcp.Status.Hibernation), oneLine(in.tcp.Status.Hibernation.Message), wakeCommand(in.program, in.key.Namespace, in.key.Name))
	}
	problems := in.problems()
	if len(problems) == 0 && asleep {
		line("\nNothing speaks against that.")
	} else if len(problems) == 0 {
		line("\nNothing speaks against it: its conditions are as they should be, and its pods are ready.")
	} else {
		line("\nWhat is wrong, the first cause first:")
		for i, problem := range problems {
			line("\n%d. %s", i+1, problem.what)
			if problem.remedy != "" {
				line("   What to do: %s", problem.remedy)
			}
		}
	}
	if warnings := in.warnings(); len(warnings) > 0 {
		line("\nThe latest warnings among events:")
		for _, warning := range warnings {
			line("  %s", warning)
		}
	}
	if in.missing > 0 {
		line("\nNot everything could be collected: %s has %s.", missingFile, count(in.missing, "line"))
	}
	return w.String()
}

type problem struct{ what, remedy string }

// causeOrder is the order in which conditions depend on one another: what comes earlier
// explains what comes later.
var causeOrder = []string{
	teapotv1.PausedCondition, teapotv1.NamespaceReadyCondition, teapotv1.EndpointReadyCondition, teapotv1.CertificatesReadyCondition,
	teapotv1.DatastoreReadyCondition, teapotv1.APIServerReadyCondition, teapotv1.AddonsReadyCondition,
}

// problems are what is not as it should be.
func (in summaryInput) problems() []problem {
	var found []problem
	add := func(remedy, format string, args ...any) {
		found = append(found, problem{fmt.Sprintf(format, args...), remedy})
	}
	if in.tcp == nil {
		add("", "The object itself could not be read: %v", in.tcpErr)
	} else {
		if in.tcp.DeletionTimestamp != nil {
			add("", "It is being deleted since %s and is kept by its finalizers %s.",
				inFiles.time(in.tcp.DeletionTimestamp.Time), strings.Join(in.tcp.Finalizers, ", "))
		}
		if len(in.tcp.Status.Conditions) == 0 {
			add("check that Teapot's manager runs: kubectl get pods -A -l app.kubernetes.io/part-of=teapot", "It has no conditions yet.")
		}
		for _, condition := range byCause(in.tcp.Status.Conditions) {
			if !asWanted(&condition) && !(isSleeping(in.tcp) && isOfSleep(&condition)) {
				add(in.remedy(&condition), "%s, since %s", conditionText(&condition), inFiles.since(condition.LastTransitionTime.Time))
			}
		}
	}
	for i := range in.pods {
		if what := podTrouble(&in.pods[i]); what != "" {
			add("", "%s", what)
		}
	}
	return found
}

// isOfSleep says whether a condition is as it is because the control plane sleeps.
func isOfSleep(condition *metav1.Condition) bool {
	return condition.Reason == teapotv1.ReasonAsleep || condition.Reason == teapotv1.ReasonHibernating
}

// byCause sorts conditions so that causes come before what they cause. Those that sum up
// others come last.
func byCause(conditions []metav1.Condition) []metav1.Condition {
	rank := func(c metav1.Condition) int {
		if i := slices.Index(causeOrder, c.Type); i >= 0 {
			return i
		}
		return len(causeOrder)
	}
	conditions = slices.Clone(conditions)
	slices.SortStableFunc(conditions, func(a, b metav1.Condition) int { return rank(a) - rank(b) })
	return conditions
}

// remedy says what to do about a condition: its message says why it is so.
func (in summaryInput) remedy(condition *metav1.Condition) string {
	text, ok := remedies[condition.Reason]
	if !ok {
		return fmt.Sprintf("see docs/operations.md, Finding out what is wrong, reason %s", condition.Reason)
	}
	return strings.NewReplacer("{ns}", in.own, "{name}", in.key.Name, "{namespace}", in.key.Namespace, "{teapot}", in.program).Replace(text)
}

// podTrouble says what is wrong with a pod, or with its past; empty if nothing is.
func podTrouble(pod *corev1.Pod) string {
	if problem, found := controlplane.PodProblem([]corev1.Pod{*pod}); found {
		return capitalized(problem.Message)
	}
	switch {
	case pod.DeletionTimestamp != nil:
		return fmt.Sprintf("Pod %s is being deleted since %s", pod.Name, inFiles.time(pod.DeletionTimestamp.Time))
	case !isReady(pod):
		return fmt.Sprintf("Pod %s is not ready (%s)", pod.Name, pod.Status.Phase)
	}
	for _, status := range containerStatuses(pod) {
		if last := status.LastTerminationState.Terminated; last != nil && last.ExitCode != 0 {
			return fmt.Sprintf("Pod %s, container %s has restarted %s, the last time at %s: %s, exit code %d",
				pod.Name, status.Name, count(int(status.RestartCount), "time"), inFiles.since(last.FinishedAt.Time), last.Reason, last.ExitCode)
		}
	}
	return ""
}

func capitalized(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// mostWarnings is how many warnings a summary shows; events.txt has all.
const mostWarnings = 5

// warnings are the latest events of type Warning, the newest first.
func (in summaryInput) warnings() []string {
	events := slices.Clone(in.events)
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return lastSeen(&b).Compare(lastSeen(&a)) })
	var lines []string
	for i := range events {
		e := &events[i]
		if e.Type != corev1.EventTypeWarning || len(lines) == mostWarnings {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s/%s: %s", inFiles.since(lastSeen(e)), e.Reason,
			strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, inFiles.message(e.Message)))
	}
	return lines
}

// nodeRows say of nodes whether they are ready and what they have.
func nodeRows(nodes []corev1.Node) [][]string {
	rows := [][]string{{"NODE", "READY", "KUBELET", "CPU", "MEMORY", "PODS", "ALLOCATABLE CPU", "ALLOCATABLE MEMORY", "REMARKS"}}
	for i := range nodes {
		node := &nodes[i]
		ready := "Unknown"
		var remarks []string
		if node.Spec.Unschedulable {
			remarks = append(remarks, "unschedulable")
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				ready = string(condition.Status)
			} else if condition.Status != corev1.ConditionFalse { // the others are pressures and the like
				remarks = append(remarks, fmt.Sprintf("%s=%s (%s)", condition.Type, condition.Status, condition.Reason))
			}
		}
		for _, taint := range node.Spec.Taints {
			remarks = append(remarks, "taint "+taint.ToString())
		}
		has, free := node.Status.Capacity, node.Status.Allocatable
		rows = append(rows, []string{
			node.Name, ready, node.Status.NodeInfo.KubeletVersion, has.Cpu().String(), has.Memory().String(), has.Pods().String(),
			free.Cpu().String(), free.Memory().String(), strings.Join(remarks, ", "),
		})
	}
	return rows
}
