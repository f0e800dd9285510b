package pool

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Annotations of a MachineDeployment that the Cluster Autoscaler reads.
// https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/clusterapi/README.md
const (
	capacityPrefix = "capacity.cluster-autoscaler.kubernetes.io/"
	optionsPrefix  = "cluster.x-k8s.io/autoscaling-options-"

	cpuAnnotation           = capacityPrefix + "cpu"
	memoryAnnotation        = capacityPrefix + "memory"
	ephemeralDiskAnnotation = capacityPrefix + "ephemeral-disk"
	gpuCountAnnotation      = capacityPrefix + "gpu-count"
	gpuTypeAnnotation       = capacityPrefix + "gpu-type"
	labelsAnnotation        = capacityPrefix + "labels"
	taintsAnnotation        = capacityPrefix + "taints"
	provisionTimeAnnotation = optionsPrefix + "maxnodeprovisiontime"

	// defaultGPU is the resource that accelerators are taken to be. An annotation of the pool says
	// otherwise.
	defaultGPU = "nvidia.com/gpu"
)

// autoscaling is what the autoscaler is told: the bounds, and what a Node would be like, so that it
// can scale from zero. Annotations of the pool in the autoscaler's groups go over what is found out.
func autoscaling(in Input) map[string]string {
	spec := in.Pool.Spec
	annotations := map[string]string{
		clusterv1.AutoscalerMinSizeAnnotation: strconv.Itoa(int(spec.Autoscaling.MinReplicas)),
		clusterv1.AutoscalerMaxSizeAnnotation: strconv.Itoa(int(spec.Autoscaling.MaxReplicas)),
		labelsAnnotation:                      nodeLabels(in),
		provisionTimeAnnotation:               startupTime(spec).String(),
	}
	capacity := in.Offers.Capacity
	if len(capacity) == 0 {
		capacity = required(spec.Hardware)
	}
	for name, annotation := range map[corev1.ResourceName]string{
		corev1.ResourceCPU:              cpuAnnotation,
		corev1.ResourceMemory:           memoryAnnotation,
		corev1.ResourceEphemeralStorage: ephemeralDiskAnnotation,
	} {
		if quantity, known := capacity[name]; known {
			annotations[annotation] = quantity.String()
		}
	}
	if gpus := spec.Hardware.GPUs; gpus.MinCount > 0 || gpus.Model != "" {
		annotations[gpuCountAnnotation] = strconv.Itoa(max(1, int(gpus.MinCount)))
		annotations[gpuTypeAnnotation] = defaultGPU
	}
	if len(spec.Taints) > 0 {
		taints := make([]string, len(spec.Taints))
		for i, taint := range spec.Taints {
			taints[i] = taint.Key + "=" + string(taint.Value) + ":" + string(taint.Effect)
		}
		annotations[taintsAnnotation] = strings.Join(taints, ",")
	}
	for key, value := range in.Pool.Annotations {
		if strings.HasPrefix(key, capacityPrefix) || strings.HasPrefix(key, optionsPrefix) {
			annotations[key] = value
		}
	}
	return annotations
}

// required is what a machine has at least by what is asked of it.
func required(asked teapotv1.HardwareRequirements) corev1.ResourceList {
	capacity := corev1.ResourceList{}
	if asked.CPU.MinCount > 0 {
		capacity[corev1.ResourceCPU] = *resource.NewQuantity(int64(asked.CPU.MinCount), resource.DecimalSI)
	}
	if asked.Memory != nil {
		capacity[corev1.ResourceMemory] = *asked.Memory
	}
	if asked.Disks.MinSize != nil {
		capacity[corev1.ResourceEphemeralStorage] = *asked.Disks.MinSize
	}
	return capacity
}

// nodeLabels are the labels that a Node of the pool has.
func nodeLabels(in Input) string {
	labels := map[string]string{corev1.LabelOSStable: "linux"}
	if architecture := in.Offers.NodeInfo.Architecture; architecture != "" {
		labels[corev1.LabelArchStable] = architecture
	}
	for key, value := range in.Pool.Spec.Labels {
		labels[key] = string(value)
	}
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}
