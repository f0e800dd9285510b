package tenant

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	"github.com/teapot-cloud/teapot/workers/pool/fit"
)

const (
	// useInterval is how often a tenant is asked whether it is in use. It has to read all Jobs for
	// that, and idleness is measured in minutes.
	useInterval = 30 * time.Second
	// useFresh is how long an answer counts: two may be missed.
	useFresh = 3 * useInterval
	// useExamples is how many Jobs, and how many pods, are named.
	useExamples = 3
)

// Use says whether a cluster is in use, apart from users' connections.
type Use struct {
	// At is when the tenant last said so; zero: never.
	At time.Time
	// Because are the reasons, as sentences; none: nothing is under way. They name the oldest
	// Jobs and pods, so that they change as seldom as possible.
	Because []string
	// BusyAt is when something was last found to be under way; zero: never since it is asked.
	BusyAt time.Time
	// UnknownSince is since when the tenant has not said, and Error why. Zero: it did when it was
	// last asked.
	UnknownSince time.Time
	Error        string
}

// Known says whether the answer is recent enough to decide on.
func (u Use) Known(now time.Time) bool { return !u.At.IsZero() && now.Sub(u.At) < useFresh }

func (u *Use) fail(now time.Time, why string) {
	u.Error = why
	if u.UnknownSince.IsZero() {
		u.UnknownSince = now
	}
}

// askForUse asks the tenant, within callTimeout.
func (s *Session) askForUse(ctx context.Context, chore *useChore) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	because, err := s.use(callCtx, chore.pools)
	s.answer(ctx, func(now time.Time) bool {
		chore.due = now.Add(useInterval)
		before := chore.answer
		if err != nil {
			chore.answer.fail(now, err.Error())
			return before.UnknownSince.IsZero()
		}
		chore.answer = Use{At: now, Because: because, BusyAt: before.BusyAt}
		if len(because) > 0 {
			chore.answer.BusyAt = now
		}
		return !before.UnknownSince.IsZero() || !slices.Equal(before.Because, because)
	})
}

// use returns what is under way.
func (s *Session) use(ctx context.Context, pools []fit.Shape) ([]string, error) {
	clients, err := s.typed()
	if err != nil {
		return nil, err
	}
	jobs, err := clients.unfinishedJobs(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := clients.waitingPods(ctx, s.ownWorkloads(), pools)
	if err != nil {
		return nil, err
	}
	return append(
		jobs.sentences(func(o oldest) string { return fmt.Sprintf("Job %s has not finished", o.name) }, "Jobs have not finished"),
		pods.sentences(func(o oldest) string { return fmt.Sprintf("pod %s waits for a machine of pool %s", o.name, o.pool) }, "pods wait for machines")...,
	), nil
}

// unfinishedJobs finds the Jobs that are to run to their end. There is no field to select them by.
func (c *typed) unfinishedJobs(ctx context.Context) (*found, error) {
	jobs := &found{}
	err := each(ctx, metav1.ListOptions{}, c.batch.Jobs(metav1.NamespaceAll).List, func(job *batchv1.Job) {
		if unfinished(job) {
			jobs.add(job, "")
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing Jobs: %w", err)
	}
	return jobs, nil
}

func unfinished(job *batchv1.Job) bool {
	return job.DeletionTimestamp.IsZero() && !ptr.Deref(job.Spec.Suspend, false) &&
		!slices.ContainsFunc(job.Status.Conditions, func(condition batchv1.JobCondition) bool {
			ends := condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed
			return ends && condition.Status == corev1.ConditionTrue
		})
}

// waitingPods finds the pods that the scheduler has no Node for and one of the pools has a machine
// for. Teapot's own and those of DaemonSets, which come with a machine, do not count.
func (c *typed) waitingPods(ctx context.Context, own sets.Set[workload], pools []fit.Shape) (*found, error) {
	pods := &found{}
	err := c.eachPod(ctx, "spec.nodeName=,status.phase="+string(corev1.PodPending), func(pod *corev1.Pod) {
		by := workloadOf(pod)
		if !unschedulable(pod) || by.kind == "DaemonSet" || own.Has(by) {
			return
		}
		if pool, could := fit.CouldServe(pod, pools); could {
			pods.add(pod, pool)
		}
	})
	return pods, err
}

func unschedulable(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable
	})
}

// workload is a Deployment or DaemonSet, or whatever else a pod belongs to.
type workload struct {
	kind string
	name types.NamespacedName
}

// workloadOf finds what a pod belongs to. A Deployment names its ReplicaSets after itself and the
// hash of their template, which is a label of their pods
// (getReplicaSetName in k8s.io/kubernetes/pkg/controller/deployment, v1.36.3).
func workloadOf(pod *corev1.Pod) workload {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return workload{}
	}
	kind, name := owner.Kind, owner.Name
	hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if deployment, cut := strings.CutSuffix(name, "-"+hash); cut && hash != "" && kind == "ReplicaSet" {
		kind, name = "Deployment", deployment
	}
	return workload{kind: kind, name: types.NamespacedName{Namespace: pod.Namespace, Name: name}}
}

// ownWorkloads are the Deployments that Teapot applied inside the tenant's cluster, or is about to.
func (s *Session) ownWorkloads() sets.Set[workload] {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := sets.New[workload]()
	for name := range s.drift.applied[appsv1.SchemeGroupVersion.WithResource("deployments")] {
		own.Insert(workload{kind: "Deployment", name: name})
	}
	if s.content != nil {
		for i := range s.content.Objects {
			object := &s.content.Objects[i]
			own.Insert(workload{kind: object.GetKind(), name: types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}})
		}
	}
	return own
}

// found counts objects and keeps the oldest of them.
type found struct {
	count  int
	oldest []oldest
}

type oldest struct {
	created time.Time
	name    string // with the namespace
	pool    string
}

func (f *found) add(object metav1.Object, pool string) {
	f.count++
	f.oldest = append(f.oldest, oldest{
		created: object.GetCreationTimestamp().Time, name: object.GetNamespace() + "/" + object.GetName(), pool: pool,
	})
	slices.SortFunc(f.oldest, func(a, b oldest) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.name, b.name))
	})
	f.oldest = f.oldest[:min(len(f.oldest), useExamples)]
}

// sentences are one for each example, and one for the number of the others.
func (f *found) sentences(of func(oldest) string, others string) []string {
	var all []string
	for _, example := range f.oldest {
		all = append(all, of(example))
	}
	if more := f.count - len(f.oldest); more > 0 {
		all = append(all, fmt.Sprintf("and %d more %s", more, others))
	}
	return all
}
