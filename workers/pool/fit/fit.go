// Package fit says whether a machine of a pool could run a pod that waits for one. It is pure.
package fit

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelpers "k8s.io/component-helpers/resource"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Shape is what is known beforehand of a pool's machines as Nodes.
type Shape struct {
	// Pool is the name of the WorkerPool.
	Pool string
	// Labels are those of each Node.
	Labels map[string]string
	// Taints are those of each Node.
	Taints []corev1.Taint
	// Least is what a machine has at least. A resource that it does not name is not known, and
	// rules nothing out.
	Least corev1.ResourceList
}

// newMachine is the name of a machine that does not exist yet. No Node can have it, so a pod that asks
// for a Node by its name does not mean this one.
const newMachine = "(new)"

// architectures are those that a machine may have whose architecture is not known.
var architectures = []string{"amd64", "arm64"}

// Of returns the shapes of a pool: one, or one for each architecture if that is not known. offers is
// the status of the pool's HostMachineTemplate.
func Of(pool *teapotv1.WorkerPool, offers teapotv1.HostMachineTemplateStatus) []Shape {
	var taints []corev1.Taint
	for _, taint := range pool.Spec.Taints {
		taints = append(taints, corev1.Taint{Key: taint.Key, Value: string(taint.Value), Effect: taint.Effect})
	}
	possible := architectures
	if known := offers.NodeInfo.Architecture; known != "" {
		possible = []string{known}
	}
	shapes := make([]Shape, len(possible))
	for i, architecture := range possible {
		labels := map[string]string{corev1.LabelOSStable: string(corev1.Linux), corev1.LabelArchStable: architecture}
		for key, value := range pool.Spec.Labels {
			labels[key] = string(value)
		}
		shapes[i] = Shape{Pool: pool.Name, Labels: labels, Taints: taints, Least: offers.Capacity}
	}
	return shapes
}

// CouldServe names the first pool of which a new, empty machine could run the pod. It asks what
// the scheduler's filters for node affinity, taints and resources ask
// (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/). What depends on other
// pods or on volumes is taken to be possible.
func CouldServe(pod *corev1.Pod, shapes []Shape) (pool string, could bool) {
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	requests := resourcehelpers.PodRequests(pod, resourcehelpers.PodResourcesOptions{})
	for _, shape := range shapes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: newMachine, Labels: shape.Labels}}
		if matches, err := affinity.Match(node); err != nil || !matches {
			continue // an affinity that cannot be read matches no Node
		}
		if tolerates(pod, shape.Taints) && holds(shape.Least, requests) {
			return shape.Pool, true
		}
	}
	return "", false
}

// tolerates says whether the pod may be put on a Node with the taints.
func tolerates(pod *corev1.Pod, taints []corev1.Taint) bool {
	_, refused := schedulinghelpers.FindMatchingUntoleratedTaint(klog.Background(), taints, pod.Spec.Tolerations, keepsOut, false)
	return !refused
}

// keepsOut says whether a taint keeps pods out, not only away.
func keepsOut(taint *corev1.Taint) bool { return taint.Effect != corev1.TaintEffectPreferNoSchedule }

// holds says whether a machine has room, as far as that is known.
func holds(least, requests corev1.ResourceList) bool {
	for name, wanted := range requests {
		if has, known := least[name]; known && wanted.Cmp(has) > 0 {
			return false
		}
	}
	return true
}
