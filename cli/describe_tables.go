package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/term"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// style is how tables for people are written: ages on a terminal, points in time in a
// file that is read later.
type style struct {
	// time writes a point in time that is not zero.
	time func(time.Time) string
	// width is where messages are wrapped, in characters; 0 leaves them on one line.
	width uint
}

// inFiles is the style of what is read later and elsewhere.
var inFiles = style{time: func(t time.Time) string { return t.UTC().Format(time.RFC3339) }}

func (s style) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return s.time(t)
}

// message is a text of any form as one paragraph.
func (s style) message(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if s.width == 0 {
		return text
	}
	var wrapped strings.Builder
	_, _ = term.NewWordWrapWriter(&wrapped, s.width).Write([]byte(text)) // a Builder takes everything
	return wrapped.String()
}

// writeHead writes what is to be known at a glance, and what to do, if there is anything. It returns
// what begins a further section.
func writeHead(w io.Writer, facts [][]string, next string) (section func(title string)) {
	section = func(title string) { _, _ = fmt.Fprintf(w, "\n%s:\n", title) }
	writeTable(w, "", facts)
	if next != "" {
		section("What to do")
		for line := range strings.Lines(style{width: messageWidth}.message(next)) {
			_, _ = fmt.Fprintln(w, "  "+strings.TrimRight(line, "\n"))
		}
	}
	return section
}

// writeTable writes rows in columns, the first of which is a header. A cell with several
// lines goes on below itself.
func writeTable(w io.Writer, indent string, rows [][]string) {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([][]string, len(row))
		height := 1
		for i, cell := range row {
			cells[i] = strings.Split(cell, "\n")
			height = max(height, len(cells[i]))
		}
		for line := range height {
			for i, cell := range cells {
				if i > 0 {
					_, _ = fmt.Fprint(columns, "\t")
				}
				if line < len(cell) {
					_, _ = fmt.Fprint(columns, cell[line])
				}
			}
			_, _ = fmt.Fprintln(columns)
		}
	}
	_ = columns.Flush() // into memory
	for line := range strings.Lines(text.String()) {
		_, _ = fmt.Fprintln(w, strings.TrimRight(indent+line, " \n"))
	}
}

// conditionRows shows every condition.
func conditionRows(conditions []metav1.Condition, s style) [][]string {
	rows := [][]string{{"TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"}}
	for _, c := range conditions {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, s.since(c.LastTransitionTime.Time), s.message(c.Message)})
	}
	return rows
}

// podRows shows pods, each followed by its containers.
func podRows(pods []corev1.Pod, s style) [][]string {
	rows := [][]string{{"POD, CONTAINER", "STATE", "READY", "RESTARTS", "SINCE", "LAST END", "NODE"}}
	for i := range pods {
		pod := &pods[i]
		state := string(pod.Status.Phase)
		if pod.DeletionTimestamp != nil {
			state = "Terminating"
		}
		rows = append(rows, []string{pod.Name, state, yesNo(isReady(pod)), "", s.since(pod.CreationTimestamp.Time), "", pod.Spec.NodeName})
		for _, c := range containerStatuses(pod) {
			state, since := containerState(c.State)
			last, at := containerState(c.LastTerminationState)
			if !at.IsZero() {
				last += " (" + s.since(at) + ")"
			}
			rows = append(rows, []string{"  " + c.Name, state, yesNo(c.Ready), fmt.Sprint(c.RestartCount), s.since(since), last, ""})
		}
	}
	return rows
}

// containerStatuses are those of all containers, in the order in which they start.
func containerStatuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses)
}

// containerState is a state in words, and since when it holds; empty if there is none.
func containerState(state corev1.ContainerState) (string, time.Time) {
	switch {
	case state.Running != nil:
		return "Running", state.Running.StartedAt.Time
	case state.Waiting != nil:
		return state.Waiting.Reason, time.Time{}
	case state.Terminated != nil:
		return fmt.Sprintf("%s, exit code %d", state.Terminated.Reason, state.Terminated.ExitCode), state.Terminated.FinishedAt.Time
	default:
		return "", time.Time{}
	}
}

// eventRows shows events.
func eventRows(events []corev1.Event, s style) [][]string {
	rows := [][]string{{"LAST SEEN", "COUNT", "TYPE", "REASON", "OBJECT", "MESSAGE"}}
	for i := range events {
		e := &events[i]
		count := e.Count
		if e.Series != nil {
			count = e.Series.Count
		}
		object := strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name
		rows = append(rows, []string{s.since(lastSeen(e)), fmt.Sprint(max(count, 1)), e.Type, e.Reason, object, s.message(e.Message)})
	}
	return rows
}

// lastSeen is when an event happened for the last time. Which field has it depends on the
// API by which it was recorded.
func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}

// secretNames are the Secrets that a tenant's namespace has, each with what it is for.
func secretNames(tcp *teapotv1.TenantControlPlane) [][]string {
	if tcp.Status.Secrets == nil {
		return nil
	}
	return [][]string{
		{tcp.Status.Secrets.UserKubeconfig, "kubeconfig of users"},
		{tcp.Status.Secrets.Kubeconfig, "kubeconfig of Cluster API's and other controllers"},
		{tcp.Status.Secrets.CertificateAuthority, "certificate by which the API is trusted"},
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
