package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

// sweepPatience is how long a sweep may take altogether. Nodes may take two fifths of it, and pods are
// deleted until four fifths are over: the rest is for those that resist, to be marked.
const sweepPatience = 30 * time.Second

// What conditions of Nodes and pods say that a sweep has written.
const (
	reasonHibernated = "Hibernated"
	restingMessage   = "The control plane sleeps. The machine is switched off, or left alone until the control plane is back."
	unreadyMessage   = "The control plane sleeps, and nobody knows whether the pod runs."
	disruptedMessage = "The control plane sleeps, and the pod's machine was given back."
)

// verdict is what becomes of a Node.
type verdict int

const (
	stays verdict = iota // it is left as it is
	rests                // it is marked as not ready, with its pods
	goes                 // it is deleted, with its pods
)

// sweep removes Nodes with what is on them, or marks them, as far as that is possible. Its calls ask
// nobody's leave and wait for nothing that a tenant could hold up for longer than sweepPatience.
type sweep struct {
	*typed
	now metav1.Time

	// verdicts are on all Nodes that there are, by name, and absent are names of those that there
	// are not, as far as it was asked.
	verdicts map[string]verdict
	absent   map[string]bool

	nodesDeleted, nodesMarked, podsDeleted, podsMarked effort
	// held are pods that were deleted and stay for their finalizers.
	held []string
	errs []error
}

func newSweep(clients *typed, c clock.PassiveClock) *sweep {
	begin := func(failure string) effort { return effort{clock: c, failure: failure, slow: map[string]int{}} }
	return &sweep{
		typed: clients, now: metav1.NewTime(c.Now()),
		verdicts: map[string]verdict{}, absent: map[string]bool{},
		nodesDeleted: begin("Nodes were not deleted"),
		nodesMarked:  begin("Nodes were not marked as not ready"),
		podsDeleted:  begin("pods were not deleted"),
		podsMarked:   begin("pods were not marked as not ready"),
	}
}

// run sweeps, within the time that is left.
func (w *sweep) run(ctx context.Context, left time.Duration, judge func(*corev1.Node) verdict) {
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	nodesCtx, endNodes := context.WithTimeout(ctx, left*2/5)
	defer endNodes()
	deleteCtx, endDelete := context.WithTimeout(ctx, left*4/5)
	defer endDelete()
	w.sweepNodes(nodesCtx, judge)
	w.sweepPods(ctx, deleteCtx)
}

// sweepNodes deletes Nodes before their pods: the scheduler would put the pods' successors, which
// are made at once, on them again.
func (w *sweep) sweepNodes(ctx context.Context, judge func(*corev1.Node) verdict) {
	var going, resting []object
	err := w.eachNode(ctx, func(node *corev1.Node) {
		is := judge(node)
		w.verdicts[node.Name] = is
		switch each := (object{NamespacedName: types.NamespacedName{Name: node.Name}, uid: node.UID}); is {
		case goes:
			going = append(going, each)
		case rests:
			resting = append(resting, each)
		}
	})
	if err != nil {
		w.errs = append(w.errs, err)
	}
	left := w.nodesDeleted.makeFor(ctx, going, func(ctx context.Context, node object) error {
		return w.core.Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &node.uid}})
	})
	w.nodesMarked.makeFor(ctx, append(resting, left...), w.markNode)
}

// sweepPods deletes the pods on Nodes that go or do not exist, and marks those on Nodes that rest and
// those that resist, so that no Service sends requests to them.
func (w *sweep) sweepPods(ctx, deleteCtx context.Context) {
	var going, marked []object
	err := w.eachPod(deleteCtx, "spec.nodeName!=", func(pod *corev1.Pod) {
		each := object{
			NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, uid: pod.UID,
			ready: podReady(pod), counts: countedByJob(pod),
		}
		switch is, known := w.verdicts[pod.Spec.NodeName]; {
		case known && is == rests && each.ready:
			marked = append(marked, each)
		case known && is != goes || !known && !w.isAbsent(deleteCtx, pod.Spec.NodeName):
		case !w.isHeld(pod):
			going = append(going, each)
		}
	})
	if err != nil {
		w.errs = append(w.errs, err)
	}
	left := w.podsDeleted.makeFor(deleteCtx, going, w.deletePod)
	left = slices.DeleteFunc(slices.Clone(left), func(pod object) bool { return !pod.ready })
	w.podsMarked.makeFor(ctx, append(marked, left...), w.markPod)
}

// deletePod deletes a pod without its kubelet's leave. That of a Job is first said to have failed for
// no fault of its own, as controller-manager says of pods whose Node is gone
// (markFailedAndDeletePodWithCondition in k8s.io/kubernetes/pkg/controller/podgc, v1.36.3), so that
// a podFailurePolicy can leave it out of the Job's failures.
func (w *sweep) deletePod(ctx context.Context, pod object) error {
	pods := w.core.Pods(pod.Namespace)
	if pod.counts {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": pod.uid},
			"status": map[string]any{"phase": corev1.PodFailed, "conditions": []any{corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reasonHibernated, Message: disruptedMessage,
				LastTransitionTime: w.now,
			}}},
		})
		if err != nil {
			return err
		}
		if _, err := pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
	}
	return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &pod.uid},
	})
}

// isAbsent makes sure that there is no such Node, since it may have come after the others were read.
func (w *sweep) isAbsent(ctx context.Context, name string) bool {
	absent, known := w.absent[name]
	if !known {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		_, err := w.core.Nodes().Get(callCtx, name, metav1.GetOptions{})
		absent = apierrors.IsNotFound(err)
		if err != nil && !absent {
			w.errs = append(w.errs, fmt.Errorf("reading Node %s: %w", name, err))
		}
		w.absent[name] = absent
	}
	return absent
}

// isHeld notes a pod that stays for a finalizer, and says whether it is deleted as far as it can be.
// The finalizer of Jobs is taken off by controller-manager.
func (w *sweep) isHeld(pod *corev1.Pod) bool {
	if slices.ContainsFunc(pod.Finalizers, func(finalizer string) bool { return finalizer != batchv1.JobTrackingFinalizer }) {
		w.held = append(w.held, pod.Namespace+"/"+pod.Name)
	}
	return len(pod.Finalizers) > 0 && !pod.DeletionTimestamp.IsZero() && ptr.Deref(pod.DeletionGracePeriodSeconds, 1) == 0
}

// countedByJob says whether a Job has yet to learn how a pod ends.
func countedByJob(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !ended && slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer)
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// markNode says of a Node that nobody knows how it is, as controller-manager would after a while.
// When that comes back it would otherwise trust what the kubelet said last. A kubelet that still runs
// may say again that it is ready, which is true then and does no harm.
func (w *sweep) markNode(ctx context.Context, node object) error {
	patch, err := statusPatch(corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: reasonHibernated, Message: restingMessage,
		LastTransitionTime: w.now, LastHeartbeatTime: w.now,
	})
	if err != nil {
		return err
	}
	_, err = w.core.Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// markPod says of a pod that it is not ready. Its kubelet, if it has one, says again how it is.
func (w *sweep) markPod(ctx context.Context, pod object) error {
	patch, err := statusPatch(corev1.PodCondition{
		Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: reasonHibernated, Message: unreadyMessage,
		LastTransitionTime: w.now,
	})
	if err != nil {
		return err
	}
	_, err = w.core.Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// statusPatch changes one condition.
func statusPatch(condition any) ([]byte, error) {
	return json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{condition}}})
}

func (w *sweep) efforts() []*effort {
	return []*effort{&w.nodesDeleted, &w.nodesMarked, &w.podsDeleted, &w.podsMarked}
}

// complete says whether nothing failed. That finalizers hold a pod is not a failure: trying again
// would not help.
func (w *sweep) complete() bool {
	return len(w.errs) == 0 && !slices.ContainsFunc(w.efforts(), func(e *effort) bool { return len(e.left) > 0 })
}

// lost says whether the API server went away meanwhile, so that trying again may help.
func (w *sweep) lost() bool {
	return slices.ContainsFunc(w.errs, func(err error) bool { return !answered(err) }) ||
		slices.ContainsFunc(w.efforts(), func(e *effort) bool { return e.lost })
}

// problems says what is left, in one line.
func (w *sweep) problems() string {
	var all []string
	for _, e := range w.efforts() {
		if problem := e.problem(); problem != "" {
			all = append(all, problem)
		}
	}
	if len(w.held) > 0 {
		all = append(all, fmt.Sprintf("pods that were deleted and stay for their finalizers: %d, for example %s", len(w.held), slices.Min(w.held)))
	}
	if err := errors.Join(w.errs...); err != nil {
		all = append(all, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return strings.Join(all, "; ")
}
