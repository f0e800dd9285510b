package controlplane

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestPodProblem(t *testing.T) {
	pod := func(name string, change func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "tcp-x", Name: name}}
		if change != nil {
			change(&p)
		}
		return p
	}
	unscheduled := func(message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}
		}
	}
	waiting := func(reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name:  ContainerAPIServer,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			}}
		}
	}
	tests := map[string]struct {
		pods   []corev1.Pod
		reason string
		says   []string
	}{
		"no pods":      {},
		"a pod starts": {pods: []corev1.Pod{pod("a", waiting("PodInitializing", ""))}},
		"no node has room": {
			pods:   []corev1.Pod{pod("a", unscheduled("0/1 nodes are available: 1 Insufficient cpu."))},
			reason: teapotv1.ReasonPodsFailing, says: []string{"pod a", "Insufficient cpu"},
		},
		"the volume is not bound": {
			pods:   []corev1.Pod{pod("a", unscheduled("pod has unbound immediate PersistentVolumeClaims"))},
			reason: teapotv1.ReasonWaitingForStorage, says: []string{"PersistentVolumeClaims"},
		},
		"the image cannot be had": {
			pods:   []corev1.Pod{pod("a", waiting("ImagePullBackOff", "registry.k8s.io/kube-apiserver:v1.36.99: not found"))},
			reason: teapotv1.ReasonPodsFailing, says: []string{"kube-apiserver:v1.36.99", "ImagePullBackOff"},
		},
		"a container crashes: how to see why": {
			pods: []corev1.Pod{pod("a", func(p *corev1.Pod) {
				waiting("CrashLoopBackOff", "back-off")(p)
				p.Status.InitContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 7}
			})},
			reason: teapotv1.ReasonPodsFailing, says: []string{"exit code 7", "kubectl logs -n tcp-x a -c kube-apiserver --previous"},
		},
		"the same pod is named whatever the order of a list": {
			pods:   []corev1.Pod{pod("b", unscheduled("b")), pod("a", unscheduled("a"))},
			reason: teapotv1.ReasonPodsFailing, says: []string{"pod a"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problem, found := PodProblem(test.pods)
			if found != (test.reason != "") || problem.Reason != test.reason {
				t.Fatalf("got %+v, %v; want reason %q", problem, found, test.reason)
			}
			for _, words := range test.says {
				if !strings.Contains(problem.Message, words) {
					t.Errorf("message %q does not say %q", problem.Message, words)
				}
			}
		})
	}
}

func TestResourcesKeepWhatIsNotNamed(t *testing.T) {
	defaults := requests("40m", "256Mi")
	got := resources(defaults, teapotv1.ComponentSpec{Resources: teapotv1.ResourcesSpec{
		Requests: teapotv1.ResourceAmounts{CPU: ptr.To(resource.MustParse("1"))},
		Limits:   teapotv1.ResourceAmounts{Memory: ptr.To(resource.MustParse("128Mi"))},
	}})
	for what, pair := range map[string][2]resource.Quantity{
		"cpu request, asked for":                  {got.Requests[corev1.ResourceCPU], resource.MustParse("1")},
		"memory request, not above the new limit": {got.Requests[corev1.ResourceMemory], resource.MustParse("128Mi")},
		"memory limit, asked for":                 {got.Limits[corev1.ResourceMemory], resource.MustParse("128Mi")},
		"the defaults themselves are not changed": {defaults.Requests[corev1.ResourceMemory], resource.MustParse("256Mi")},
	} {
		if pair[0].Cmp(pair[1]) != 0 {
			t.Errorf("%s: %s, want %s", what, pair[0].String(), pair[1].String())
		}
	}
	if _, limited := got.Limits[corev1.ResourceCPU]; limited {
		t.Error("the CPU is limited though nobody asked")
	}
}

func TestEtcdQuorum(t *testing.T) {
	for members, want := range map[int32]int32{1: 1, 3: 2} {
		if got := EtcdQuorum(members); got != want {
			t.Errorf("quorum of %d members is %d, want %d", members, got, want)
		}
	}
}

func TestVersions(t *testing.T) {
	version := func(name string, replicas int32) clusterv1.StatusVersion {
		return clusterv1.StatusVersion{Version: name, Replicas: replicas}
	}
	const older, newer = "v1.36.9", "v1.36.10"
	tests := map[string]struct {
		was, wanted       string
		replicas, updated int32
		want              []clusterv1.StatusVersion
	}{
		"the first is not there yet":      {wanted: newer, replicas: 1, updated: 1},
		"at rest":                         {was: newer, wanted: newer, replicas: 3, updated: 3, want: []clusterv1.StatusVersion{version(newer, 3)}},
		"something else is rolled out":    {was: newer, wanted: newer, replicas: 4, updated: 1, want: []clusterv1.StatusVersion{version(newer, 4)}},
		"a version is about to roll out":  {was: older, wanted: newer, replicas: 3, want: []clusterv1.StatusVersion{version(older, 3)}},
		"a version is rolled out":         {was: older, wanted: newer, replicas: 4, updated: 2, want: []clusterv1.StatusVersion{version(older, 2), version(newer, 2)}},
		"one is rolled back":              {was: newer, wanted: older, replicas: 4, updated: 1, want: []clusterv1.StatusVersion{version(older, 1), version(newer, 3)}},
		"the last of the older ones left": {was: older, wanted: newer, replicas: 3, updated: 3, want: []clusterv1.StatusVersion{version(newer, 3)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Versions(test.was, test.wanted, test.replicas, test.updated); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestStuckPods(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	scheduled := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ago)),
			}}
		}
	}
	state := func(s corev1.ContainerState) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: s}} }
	}
	waits := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	nudged := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations = map[string]string{teapotv1.NudgedAnnotation: now.Add(-ago).Format(time.RFC3339)}
		}
	}
	tests := map[string]struct {
		is    []func(*corev1.Pod)
		stuck bool
	}{
		"no node yet":                         {is: []func(*corev1.Pod){func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }}},
		"just taken by a node":                {is: []func(*corev1.Pod){scheduled(time.Second)}},
		"taken and not begun":                 {is: []func(*corev1.Pod){scheduled(3 * time.Second)}, stuck: true},
		"taken, its containers wait":          {is: []func(*corev1.Pod){scheduled(3 * time.Second), state(waits("ContainerCreating"))}, stuck: true},
		"an image is pulled or cannot be":     {is: []func(*corev1.Pod){scheduled(3 * time.Second), state(waits("ErrImagePull"))}},
		"a container runs":                    {is: []func(*corev1.Pod){scheduled(3 * time.Second), state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})}},
		"nudged a moment ago":                 {is: []func(*corev1.Pod){scheduled(9 * time.Second), nudged(time.Second)}},
		"nudged in vain":                      {is: []func(*corev1.Pod){scheduled(9 * time.Second), nudged(3 * time.Second)}, stuck: true},
		"being deleted":                       {is: []func(*corev1.Pod){scheduled(9 * time.Second), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }}},
		"a mark of somebody else's invention": {is: []func(*corev1.Pod){scheduled(9 * time.Second), func(p *corev1.Pod) { p.Annotations = map[string]string{teapotv1.NudgedAnnotation: "soon"} }}, stuck: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := corev1.Pod{}
			for _, change := range test.is {
				change(&pod)
			}
			if got := len(StuckPods([]corev1.Pod{pod}, now)) > 0; got != test.stuck {
				t.Errorf("stuck = %v, want %v", got, test.stuck)
			}
		})
	}
}

func TestUnbegun(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pod := func(name string, ago time.Duration, statuses ...corev1.ContainerStatus) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "tcp-x", Name: name}}
		p.Spec.NodeName = "worker"
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: statuses, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ago)),
		}}}
		return p
	}
	runs := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for name, test := range map[string]struct {
		pods []corev1.Pod
		says string
	}{
		"just taken":         {pods: []corev1.Pod{pod("a", time.Second)}},
		"begun":              {pods: []corev1.Pod{pod("a", time.Minute, runs)}},
		"not begun for long": {pods: []corev1.Pod{pod("b", time.Minute), pod("a", time.Minute)}, says: "node worker has pod a since 2026-11-21T11:59:00Z and has not begun it; kubectl describe pod -n tcp-x a says why"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Unbegun(test.pods, now); got != test.says {
				t.Errorf("got %q, want %q", got, test.says)
			}
		})
	}
}
