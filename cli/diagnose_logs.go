package cli

import (
	"context"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// logDeadline bounds the reading of one log, which may be many megabytes.
	logDeadline = time.Minute
	// largestLog is the most bytes of one log that are read.
	largestLog = 32 << 20
	// managerTail is how many lines of the manager's log are looked through. It has those of
	// all control planes.
	managerTail = 100_000
)

// logs collects the logs of every container of the control plane, and of those before it
// that ended.
func (c *collector) logs(ctx context.Context) error {
	for i := range c.pods {
		pod := &c.pods[i]
		for _, status := range containerStatuses(pod) {
			file := path.Join("logs", pod.Name, status.Name)
			c.log(ctx, pod, status.Name, false, file+".log")
			if status.RestartCount > 0 {
				c.log(ctx, pod, status.Name, true, file+".previous.log")
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
	return nil
}

// log collects one log.
func (c *collector) log(ctx context.Context, pod *corev1.Pod, container string, previous bool, file string) {
	options := &corev1.PodLogOptions{Container: container, Previous: previous, Timestamps: true}
	if c.logsTail > 0 {
		options.TailLines = ptr.To(c.logsTail)
	}
	text, err := c.readLog(ctx, pod, options)
	if err != nil {
		c.lack(file, err)
		return
	}
	c.files[file] = text
	switch {
	case len(text) >= largestLog:
		c.missing = append(c.missing, missing{file, fmt.Sprintf("cut off after %d MiB", largestLog>>20)})
	case c.logsTail > 0 && int64(strings.Count(text, "\n")) >= c.logsTail:
		c.missing = append(c.missing, missing{file, fmt.Sprintf("the newest %d lines only (--logs-tail)", c.logsTail)})
	}
}

func (c *collector) readLog(ctx context.Context, pod *corev1.Pod, options *corev1.PodLogOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, logDeadline)
	defer cancel()
	options.LimitBytes = ptr.To[int64](largestLog)
	if c.since > 0 {
		options.SinceSeconds = ptr.To(int64(c.since.Seconds()))
	}
	// As a stream, since what a server says against it is lost otherwise.
	stream, err := c.core.Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	return string(text), err
}

// managerLabels are on the pods of Teapot's manager, whatever the chart's release and names
// are (charts/teapot/templates/_helpers.tpl).
var managerLabels = client.MatchingLabels{
	"app.kubernetes.io/part-of":   "teapot",
	"app.kubernetes.io/component": "manager",
}

// managerLog collects what the manager says about this control plane, and nothing that it
// says about others.
func (c *collector) managerLog(ctx context.Context) error {
	const what = "manager's log"
	list, err := c.list(ctx, corev1.SchemeGroupVersion.WithKind("Pod"), managerLabels)
	if err != nil {
		c.lack(what, err)
		return nil
	}
	var pods corev1.PodList
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &pods); err != nil {
		return fmt.Errorf("read the manager's pods: %w", err)
	}
	if len(pods.Items) == 0 {
		c.missing = append(c.missing, missing{what, "not found: no pod has the labels of Teapot's manager; check that it is installed"})
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		ready := "not ready"
		if isReady(pod) {
			ready = "ready"
		}
		for _, container := range pod.Spec.Containers {
			c.versions = append(c.versions, fmt.Sprintf("teapot-manager: %s (pod %s/%s, %s)", container.Image, pod.Namespace, pod.Name, ready))
		}
		for _, status := range containerStatuses(pod) {
			file := path.Join("manager", pod.Namespace, pod.Name, status.Name)
			c.managerLogOf(ctx, pod, status.Name, false, file+".log")
			if status.RestartCount > 0 {
				c.managerLogOf(ctx, pod, status.Name, true, file+".previous.log")
			}
		}
	}
	return nil
}

func (c *collector) managerLogOf(ctx context.Context, pod *corev1.Pod, container string, previous bool, file string) {
	text, err := c.readLog(ctx, pod, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: ptr.To[int64](managerTail)})
	if err != nil {
		c.lack(file, err)
		return
	}
	c.files[file] = linesAbout(text, c.key, c.own)
}

// klogHeader begins an entry of klog's text format: severity, month and day.
// https://pkg.go.dev/k8s.io/klog/v2/textlogger
var klogHeader = regexp.MustCompile(`^[IWEF]\d{4} `)

// linesAbout keeps the entries of the manager's log that name a control plane or its own
// namespace. Lines without a header go with the entry before them.
func linesAbout(log string, key types.NamespacedName, own string) string {
	// In quotes or as part of namespace/name; nothing else that ends like it.
	own = `\b` + regexp.QuoteMeta(own) + `\b`
	about := regexp.MustCompile(`"` + regexp.QuoteMeta(key.String()) + `"|` + own)
	var kept strings.Builder
	keeping := false
	for line := range strings.Lines(log) {
		if klogHeader.MatchString(line) {
			keeping = about.MatchString(line)
		}
		if keeping {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
