package fit

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestCouldServe(t *testing.T) {
	workers := Shape{
		Pool: "workers", Labels: map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "disk": "ssd"},
		Least: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")},
	}
	accelerated := Shape{
		Pool: "accelerated", Labels: map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "gpu": "big"},
		Taints: []corev1.Taint{
			{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule},
			{Key: "costly", Effect: corev1.TaintEffectPreferNoSchedule},
		},
	}
	both := []Shape{accelerated, workers}
	selecting := func(labels map[string]string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Spec.NodeSelector = labels }
	}
	terms := func(terms ...corev1.NodeSelectorTerm) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
			}}
		}
	}
	label := func(key string, operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	requesting := func(name corev1.ResourceName, amount string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{name: resource.MustParse(amount)}
		}
	}
	tolerating := func(toleration corev1.Toleration) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Spec.Tolerations = []corev1.Toleration{toleration}
			pod.Spec.NodeSelector = map[string]string{"gpu": "big"}
		}
	}
	tests := map[string]struct {
		pod    func(*corev1.Pod)
		shapes []Shape
		want   string // empty: none
	}{
		"any machine will do":                 {func(*corev1.Pod) {}, both, "workers"},
		"no pools":                            {func(*corev1.Pod) {}, nil, ""},
		"a label that a pool has":             {selecting(map[string]string{"disk": "ssd"}), both, "workers"},
		"another value of it":                 {selecting(map[string]string{"disk": "tape"}), both, ""},
		"labels of two pools":                 {selecting(map[string]string{"disk": "ssd", "gpu": "big"}), both, ""},
		"a Node by its label":                 {selecting(map[string]string{"kubernetes.io/hostname": "machine-1"}), both, ""},
		"affinity to a label":                 {terms(label("disk", corev1.NodeSelectorOpIn, "ssd", "nvme")), both, "workers"},
		"affinity to what is not there":       {terms(label("disk", corev1.NodeSelectorOpDoesNotExist)), both, ""},
		"one of two terms":                    {terms(label("disk", corev1.NodeSelectorOpIn, "tape"), label("disk", corev1.NodeSelectorOpExists)), both, "workers"},
		"a Node by its name":                  {terms(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"machine-1"}}}}), both, ""},
		"affinity that cannot be read":        {terms(label("disk", corev1.NodeSelectorOpGt, "fast")), both, ""},
		"a taint that is not tolerated":       {selecting(map[string]string{"gpu": "big"}), both, ""},
		"a taint that is tolerated":           {tolerating(corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists}), both, "accelerated"},
		"a taint of another value":            {tolerating(corev1.Toleration{Key: "gpu", Value: "no"}), both, ""},
		"a taint that is tolerated later on":  {tolerating(corev1.Toleration{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoExecute}), both, ""},
		"as much as there is":                 {requesting(corev1.ResourceCPU, "4"), both, "workers"},
		"more than there is":                  {requesting(corev1.ResourceCPU, "4001m"), both, ""},
		"more memory than there is":           {requesting(corev1.ResourceMemory, "9Gi"), both, ""},
		"a resource that nothing is known of": {requesting("example.com/fpga", "1"), both, "workers"},
		"more than all init containers need at a time": {func(pod *corev1.Pod) {
			for range 3 { // one after another
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}}})
			}
		}, both, "workers"},
		"its containers together need more": {func(pod *corev1.Pod) {
			for range 3 { // at the same time
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}}})
			}
		}, both, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
			test.pod(pod)
			got, could := CouldServe(pod, test.shapes)
			if got != test.want || could != (test.want != "") {
				t.Errorf("got %q, %v; want %q", got, could, test.want)
			}
		})
	}
}

func TestOf(t *testing.T) {
	pool := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Name: "workers"}, Spec: teapotv1.WorkerPoolSpec{
		Labels: map[string]teapotv1.LabelValue{"disk": "ssd"},
		Taints: []teapotv1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
	}}
	pod := func(labels map[string]string) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{
			NodeSelector: labels, Tolerations: []corev1.Toleration{{Key: "gpu", Value: "yes"}},
			Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8")}}}},
		}}
	}
	unknown := teapotv1.HostMachineTemplateStatus{}
	small := teapotv1.HostMachineTemplateStatus{
		Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}, NodeInfo: teapotv1.NodeInfo{Architecture: "arm64"},
	}
	large := *small.DeepCopy()
	large.Capacity[corev1.ResourceCPU] = resource.MustParse("8")
	tests := map[string]struct {
		offers teapotv1.HostMachineTemplateStatus
		labels map[string]string
		want   bool
	}{
		"the pool's label":                {unknown, map[string]string{"disk": "ssd"}, true},
		"an architecture, none is known":  {unknown, map[string]string{"kubernetes.io/arch": "arm64"}, true},
		"the other, none is known":        {unknown, map[string]string{"kubernetes.io/arch": "amd64"}, true},
		"the architecture that it has":    {large, map[string]string{"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}, true},
		"one that it does not have":       {large, map[string]string{"kubernetes.io/arch": "amd64"}, false},
		"another system":                  {unknown, map[string]string{"kubernetes.io/os": "windows"}, false},
		"machines that are all too small": {small, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, could := CouldServe(pod(test.labels), Of(pool, test.offers)); could != test.want || could && got != "workers" {
				t.Errorf("got %q, %v; want %v", got, could, test.want)
			}
		})
	}
	intolerant := pod(nil)
	intolerant.Spec.Tolerations = nil
	if _, could := CouldServe(intolerant, Of(pool, unknown)); could {
		t.Error("a pod that does not tolerate the pool's taint could be served")
	}
}
