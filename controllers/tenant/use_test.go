package tenant

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/pool/fit"
)

var workers = []fit.Shape{{Pool: "workers", Labels: map[string]string{"disk": "ssd"}}}

// job makes a Job with a condition, or none.
func (c *cluster) job(namespace, name string, condition batchv1.JobConditionType, change ...func(*batchv1.Job)) {
	c.t.Helper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "example.com/image"}},
		}}},
	}
	for _, f := range change {
		f(job)
	}
	made, err := c.BatchV1().Jobs(namespace).Create(c.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	at := metav1.Now()
	made.Status.StartTime = &at
	switch condition {
	case batchv1.JobComplete:
		made.Status.CompletionTime, made.Status.Succeeded = &at, 1
		made.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue}, {Type: condition, Status: corev1.ConditionTrue}}
	case batchv1.JobFailed:
		made.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue}, {Type: condition, Status: corev1.ConditionTrue}}
	case batchv1.JobSuspended:
		made.Status.StartTime = nil
	}
	if _, err := c.BatchV1().Jobs(namespace).UpdateStatus(c.t.Context(), made, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func ownedBy(kind, name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID("uid-of-" + name), Controller: ptr.To(true),
		}}
	}
}

func known(a Answers) bool { return a.Use.UnknownSince.IsZero() }

func because(want ...string) func(Answers) bool {
	return func(a Answers) bool { return known(a) && slices.Equal(a.Use.Because, want) }
}

func TestUse(t *testing.T) {
	c := newCluster(t, "use", "use-more")
	c.job("use", "done", batchv1.JobComplete)
	c.job("use", "failed", batchv1.JobFailed)
	c.job("use", "suspended", batchv1.JobSuspended, func(job *batchv1.Job) { job.Spec.Suspend = ptr.To(true) })
	c.job("use", "going", "", func(job *batchv1.Job) { job.Finalizers = []string{metav1.FinalizerOrphanDependents} })
	if err := c.BatchV1().Jobs("use").Delete(t.Context(), "going", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = c.BatchV1().Jobs("use").Patch(context.Background(), "going", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	})
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "use", Name: "nightly"}, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "example.com/image"}},
		}}}},
	}}
	if _, err := c.BatchV1().CronJobs("use").Create(t.Context(), cron, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.BatchV1().CronJobs("use").Delete(context.Background(), "nightly", metav1.DeleteOptions{})
	})
	c.node("machine", "")
	c.pod("use", "runs", "machine")
	c.pod("use", "of-a-daemonset", "", ownedBy("DaemonSet", "agent"))
	c.pod("use", "fits-nowhere", "", func(pod *corev1.Pod) { pod.Spec.NodeSelector = map[string]string{"disk": "tape"} })
	c.pod("use", "gated", "", func(pod *corev1.Pod) {
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated}}
	})

	session := openFast(t, access())
	wish := Chores{Use: true, Pools: workers}
	asked(t, session, wish, 20*time.Second, "nothing to be in use", because())

	c.pod("use", "waits", "", func(pod *corev1.Pod) { pod.Spec.NodeSelector = map[string]string{"disk": "ssd"} })
	asked(t, session, wish, 20*time.Second, "the pod", because("pod use/waits waits for a machine of pool workers"))
	// Other pools are asked about at once.
	asked(t, session, Chores{Use: true}, 2*time.Second, "no pool to fit", because())

	wish.Pools = []fit.Shape{workers[0], {Pool: "others", Taints: []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoExecute}}}}
	for i := range 5 {
		c.job("use-more", fmt.Sprintf("job-%d", i), "")
		c.pod("use-more", fmt.Sprintf("pod-%d", i), "", ownedBy("ReplicaSet", "web-abc"))
	}
	asked(t, session, wish, 20*time.Second, "examples and counts", func(a Answers) bool {
		b := a.Use.Because
		return len(b) == 8 && b[0] == "Job use-more/job-0 has not finished" && b[3] == "and 2 more Jobs have not finished" &&
			strings.HasSuffix(b[4], " waits for a machine of pool workers") && b[7] == "and 3 more pods wait for machines"
	})
}

// TestOwnAddonsAreNotUse: CoreDNS waits for a machine from the first one on, since it has two replicas.
func TestOwnAddonsAreNotUse(t *testing.T) {
	c := newCluster(t, "kube-system")
	coreDNS := unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": "kube-system", "name": "coredns", "labels": map[string]any{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot}},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"k8s-app": "kube-dns"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"k8s-app": "kube-dns"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "coredns", "image": "example.com/coredns"}}},
			},
		},
	}}
	t.Cleanup(func() {
		_ = c.AppsV1().Deployments("kube-system").Delete(context.Background(), "coredns", metav1.DeleteOptions{})
	})
	hash := func(pod *corev1.Pod) { pod.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "abc"} }
	c.pod("kube-system", "coredns-abc-1", "", ownedBy("ReplicaSet", "coredns-abc"), hash)

	session := openFast(t, access())
	wish := Chores{Use: true, Pools: workers}
	// One that Teapot did not apply is somebody's.
	asked(t, session, wish, 20*time.Second, "a pod of nobody known", because("pod kube-system/coredns-abc-1 waits for a machine of pool workers"))
	wanted := content(t, []unstructured.Unstructured{coreDNS}, nil)
	session.Want(wanted)
	session.Ask(Chores{})
	asked(t, session, wish, 20*time.Second, "Teapot's own not to count", because())
	appliedWithin(t, session, 100*time.Second, wanted) // and what was let go of after it was applied
	session.Ask(Chores{})
	asked(t, session, wish, 20*time.Second, "Teapot's own not to count once applied", because())
	c.pod("kube-system", "other-abc-1", "", ownedBy("ReplicaSet", "other-abc"), hash)
	session.Ask(Chores{})
	asked(t, session, wish, 20*time.Second, "the tenant's to count", because("pod kube-system/other-abc-1 waits for a machine of pool workers"))
}

// TestATenantIsAskedSeldomAndWhatItDoesNotSayIsNotKnown for as long as it does not say.
func TestATenantIsAskedSeldomAndWhatItDoesNotSayIsNotKnown(t *testing.T) {
	var fails atomic.Bool
	const jobs = "/apis/batch/v1/jobs"
	api := interpose(t, func(r *http.Request) bool { return !fails.Load() || r.URL.Path != jobs })
	clock := newFastClock()
	session := openWith(t, clock, api.access)
	wish := Chores{Use: true, Pools: workers}
	began := clock.Now()
	first := asked(t, session, wish, 20*time.Second, "the first answer", known)
	if !first.Use.Known(clock.Now()) || first.Use.Known(first.Use.At.Add(useFresh)) {
		t.Errorf("an answer of %s counts at once: %v, after %s: %v", first.Use.At, first.Use.Known(clock.Now()), useFresh, first.Use.Known(first.Use.At.Add(useFresh)))
	}
	asked(t, session, wish, 20*time.Second, "another answer", func(a Answers) bool { return a.Use.At.After(first.Use.At) })
	if took := clock.Since(began); took < useInterval {
		t.Errorf("asked again after %s", took)
	}
	if n := api.counted("GET " + jobs); n != 2 {
		t.Errorf("asked for Jobs %d times, want 2: to repeat a wish costs nothing", n)
	}

	fails.Store(true)
	wish.Pools = nil // so that it is asked at once
	failed := asked(t, session, wish, 20*time.Second, "the failure", func(a Answers) bool { return a.Use.Error != "" })
	if since := failed.Use.UnknownSince; since.Before(began) || failed.Use.At.Before(first.Use.At) {
		t.Errorf("not known since %s, last known at %s", since, failed.Use.At)
	}
	fails.Store(false)
	wish.Pools = workers
	asked(t, session, wish, 20*time.Second, "an answer again", func(a Answers) bool { return known(a) && a.Use.Error == "" })
}

// TestATenantThatNeverAnsweredIsNotKnown, and since when it was asked.
func TestATenantThatNeverAnsweredIsNotKnown(t *testing.T) {
	api := interpose(t, func(*http.Request) bool { return false })
	clock := newFastClock()
	session := openWith(t, clock, api.access)
	got := asked(t, session, Chores{Use: true}, 20*time.Second, "the failure", func(a Answers) bool { return a.Use.Error != "" }).Use
	if got.UnknownSince.IsZero() || got.Known(clock.Now()) {
		t.Errorf("got %+v", got)
	}
}
