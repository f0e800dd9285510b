package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// PodSelector selects the control-plane pods, in the form of the scale subresource.
func PodSelector(owner types.NamespacedName) string {
	return labels.SelectorFromSet(ComponentLabels(owner, ControlPlaneName)).String()
}

// Optional lists the objects of the control plane's own namespace that some specs ask for
// and others do not. What of it a plan does not name is deleted.
func Optional(in Input) []client.Object {
	budget := func(name string) client.Object { return &policyv1.PodDisruptionBudget{ObjectMeta: in.meta(name)} }
	return []client.Object{budget(ControlPlaneName), budget(EtcdName)}
}

// Problem is why pods do not run; Reason is one of the API's reasons.
type Problem struct{ Reason, Message string }

// waitingReasons are what the kubelet says of a container that will not start by waiting
// (pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime, v1.36).
var waitingReasons = []string{
	"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
}

// PodProblem finds the first problem among pods, by the pods' names.
func PodProblem(pods []corev1.Pod) (Problem, bool) {
	for _, pod := range byName(pods) {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
				reason := teapotv1.ReasonPodsFailing
				if strings.Contains(condition.Message, "PersistentVolumeClaim") {
					reason = teapotv1.ReasonWaitingForStorage
				}
				return Problem{reason, fmt.Sprintf("pod %s cannot be scheduled: %s", pod.Name, condition.Message)}, true
			}
		}
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if waiting := status.State.Waiting; waiting != nil && slices.Contains(waitingReasons, waiting.Reason) {
				message := fmt.Sprintf("pod %s, container %s: %s", pod.Name, status.Name, waiting.Reason)
				if waiting.Message != "" {
					message += ": " + waiting.Message
				}
				if last := status.LastTerminationState.Terminated; last != nil {
					message += fmt.Sprintf(" (it ended with exit code %d; kubectl logs -n %s %s -c %s --previous)", last.ExitCode, pod.Namespace, pod.Name, status.Name)
				}
				return Problem{teapotv1.ReasonPodsFailing, message}, true
			}
		}
	}
	return Problem{}, false
}

// Refusal says why no control-plane pod was made: in the words of the API server, which the
// Deployment's controller passes on.
func Refusal(status appsv1.DeploymentStatus) (Problem, bool) {
	for _, condition := range status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return Problem{teapotv1.ReasonPodsRefused, "no pod is made: " + condition.Message}, true
		}
	}
	return Problem{}, false
}

// Versions are the Kubernetes versions that run while one follows another, from the older to
// the newer, with the number of replicas of each. was is empty before the first is there.
func Versions(was, wanted string, replicas, updated int32) []clusterv1.StatusVersion {
	if was == wanted {
		updated = replicas // whatever is rolled out, it is not a version
	}
	var versions []clusterv1.StatusVersion
	if was != "" && replicas > updated {
		versions = append(versions, clusterv1.StatusVersion{Version: was, Replicas: replicas - updated})
	}
	if was != "" && updated > 0 {
		versions = append(versions, clusterv1.StatusVersion{Version: wanted, Replicas: updated})
	}
	slices.SortFunc(versions, func(a, b clusterv1.StatusVersion) int {
		order, err := version.MustParseSemantic(a.Version).Compare(b.Version)
		utilruntime.Must(err)
		return order
	})
	return versions
}

// nudgeAfter is how long a pod that has a node may take until its first container exists,
// and how long a nudge is given to help. A pod that nothing keeps takes half a second.
const nudgeAfter = 2 * time.Second

// StuckPods finds pods that a node has taken and not begun. A kubelet whose first look at a
// pod's volumes fails, because the API server has not told its own authorizer of the pod yet,
// looks again only after ten to fifteen seconds (backOffPeriod in pkg/kubelet/kubelet.go,
// v1.36), but at once if the pod changes.
func StuckPods(pods []corev1.Pod, now time.Time) []corev1.Pod {
	var stuck []corev1.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodPending || begun(pod) {
			continue
		}
		since := scheduledAt(pod)
		if nudged, err := time.Parse(time.RFC3339, pod.Annotations[teapotv1.NudgedAnnotation]); err == nil && nudged.After(since) {
			since = nudged
		}
		if !since.IsZero() && now.Sub(since) >= nudgeAfter {
			stuck = append(stuck, pod)
		}
	}
	return stuck
}

// beginPatience is after how long a pod that has a node and no container is told of: by then it
// was nudged, and sandboxes and volumes of a busy node are usually made.
const beginPatience = 10 * time.Second

// Unbegun says which pod a node has taken and not begun, and who knows why; it is empty if there
// is none. A sandbox that fails (a runtime class whose handler the node lacks, a network without
// addresses) or a volume that cannot be mounted is told by events alone.
func Unbegun(pods []corev1.Pod, now time.Time) string {
	for _, pod := range byName(pods) {
		since := scheduledAt(pod)
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodPending && !begun(pod) && !since.IsZero() && now.Sub(since) >= beginPatience {
			return fmt.Sprintf("node %s has pod %s since %s and has not begun it; kubectl describe pod -n %s %s says why",
				pod.Spec.NodeName, pod.Name, since.UTC().Format(time.RFC3339), pod.Namespace, pod.Name)
		}
	}
	return ""
}

func byName(pods []corev1.Pod) []corev1.Pod {
	return slices.SortedFunc(slices.Values(pods), func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
}

func scheduledAt(pod corev1.Pod) time.Time {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// begun says whether the kubelet has got to the pod's containers: one runs or ran, or waits
// for something other than its turn.
func begun(pod corev1.Pod) bool {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := status.State.Waiting
		if waiting == nil || waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
			return true
		}
	}
	return false
}
