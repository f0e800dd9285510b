package tenantcontrolplane

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// patience is how long pods may take to start before it is asked what ails them.
const patience = 5 * time.Second

// nudgePatience is how often pods are looked at that may need a nudge, and nudgeUntil the age
// of a control plane after which its pods wait for something that no nudge brings.
const (
	nudgePatience = 2 * time.Second
	nudgeUntil    = time.Minute
)

// ensureWorkloads applies everything that runs, etcd and the control plane at once. What
// the pods mount goes first: a pod that finds its Secret missing waits for the kubelet's
// next try.
func (s *scope) ensureWorkloads(ctx context.Context) error {
	objects, err := controlplane.Workloads(s.input)
	if err != nil {
		s.setFalse(teapotv1.APIServerReadyCondition, teapotv1.ReasonUnsupportedVersion, "%v", err)
		return waiting{}
	}
	var mounted, running []client.Object
	for _, object := range objects {
		switch typed := object.(type) {
		case *appsv1.StatefulSet:
			s.statefulSet = typed
			running = append(running, typed)
		case *appsv1.Deployment:
			s.deployment = typed
			running = append(running, typed)
		case *policyv1.PodDisruptionBudget:
			running = append(running, typed)
		default:
			mounted = append(mounted, typed)
		}
	}
	if err := s.apply(ctx, true, mounted...); err != nil {
		return err
	}
	if err := s.apply(ctx, true, running...); err != nil {
		return err
	}
	if err := s.prune(ctx, objects); err != nil {
		return err
	}
	s.observeWorkloads(ctx)
	return nil
}

// prune deletes what an earlier plan named and this one does not.
func (s *scope) prune(ctx context.Context, planned []client.Object) error {
	if s.paused {
		return nil
	}
	wanted := map[string]bool{}
	for _, object := range planned {
		wanted[fmt.Sprintf("%T/%s", object, object.GetName())] = true
	}
	for _, candidate := range controlplane.Optional(s.input) {
		if wanted[fmt.Sprintf("%T/%s", candidate, candidate.GetName())] {
			continue
		}
		err := s.Client.Get(ctx, client.ObjectKeyFromObject(candidate), candidate)
		if err == nil {
			err = s.Client.Delete(ctx, candidate)
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %T %s, which is no longer wanted: %w", candidate, client.ObjectKeyFromObject(candidate), err)
		}
	}
	return nil
}

// observeWorkloads turns what the management cluster says of the pods into status.
func (s *scope) observeWorkloads(ctx context.Context) {
	status, deployment, etcd := &s.tcp.Status, s.deployment.Status, s.statefulSet.Status
	status.Replicas, status.ReadyReplicas = deployment.Replicas, deployment.ReadyReplicas
	updated := deployment.UpdatedReplicas
	if deployment.ObservedGeneration < s.deployment.Generation {
		updated = 0 // it speaks of the specification before this one
	}
	status.UpToDateReplicas, status.AvailableReplicas = updated, deployment.AvailableReplicas
	status.Selector = controlplane.PodSelector(s.input.Owner)
	status.EtcdReadyMembers = etcd.ReadyReplicas

	if s.rolledOut() && s.input.Rest < controlplane.RestControlPlane {
		status.Version = s.tcp.Spec.Version
	}
	status.Versions = controlplane.Versions(status.Version, s.tcp.Spec.Version, deployment.Replicas, updated)

	members := controlplane.Size(s.tcp.Spec).EtcdMembers
	switch quorum := controlplane.EtcdQuorum(members); {
	case s.input.Rest >= controlplane.RestControlPlane:
		for _, kind := range []string{teapotv1.DatastoreReadyCondition, teapotv1.APIServerReadyCondition, teapotv1.AddonsReadyCondition} {
			s.setFalse(kind, teapotv1.ReasonAsleep, "the control plane sleeps")
		}
	case etcd.ReadyReplicas >= quorum:
		s.setTrue(teapotv1.DatastoreReadyCondition, "%d of %d etcd members are ready", etcd.ReadyReplicas, members)
	default:
		reason, message := s.ailment(ctx, controlplane.EtcdName)
		s.setFalse(teapotv1.DatastoreReadyCondition, reason, "%d of %d etcd members are ready, %d are needed%s", etcd.ReadyReplicas, members, quorum, message)
	}
}

// rolledOut says whether every replica that is asked for runs and is of the newest specification.
func (s *scope) rolledOut() bool {
	d := s.deployment
	want := controlplane.Size(s.tcp.Spec).Replicas
	return d.Status.ObservedGeneration >= d.Generation &&
		d.Status.UpdatedReplicas == want && d.Status.Replicas == want && d.Status.AvailableReplicas == want
}

// ailment says why a component's pods are not ready, in the words of the scheduler or the
// kubelet, of pods that had time to start. It nudges those that a kubelet has forgotten.
func (s *scope) ailment(ctx context.Context, component string) (reason, message string) {
	created := s.deployment.CreationTimestamp
	if created.IsZero() || s.now.Sub(created.Time) < nudgePatience {
		s.requeueAfter(nudgePatience)
		return teapotv1.ReasonWaitingForPods, ""
	}
	pods, err := s.podsOf(ctx, component)
	if err != nil {
		s.requeueAfter(patience)
		return teapotv1.ReasonWaitingForPods, "; " + err.Error()
	}
	if s.now.Sub(created.Time) < nudgeUntil {
		s.requeueAfter(nudgePatience)
		s.nudge(ctx, controlplane.StuckPods(pods, s.now))
	}
	s.requeueAfter(patience)
	if s.now.Sub(created.Time) < patience {
		return teapotv1.ReasonWaitingForPods, ""
	}
	problem, found := controlplane.PodProblem(pods)
	if len(pods) == 0 {
		problem, found = controlplane.Refusal(s.deployment.Status)
	}
	// What names a class that does not exist is the cause of whatever the pods say.
	if missing, err := s.missingClass(ctx); err != nil {
		return teapotv1.ReasonWaitingForPods, "; " + err.Error()
	} else if missing != "" {
		return teapotv1.ReasonClassNotFound, "; " + missing
	}
	if found {
		return problem.Reason, "; " + problem.Message
	}
	if unbegun := controlplane.Unbegun(pods, s.now); unbegun != "" {
		return teapotv1.ReasonWaitingForPods, "; " + unbegun
	}
	return teapotv1.ReasonWaitingForPods, ""
}

// podsOf reads the pods of a component from the API server: the cache holds none.
func (s *scope) podsOf(ctx context.Context, component string) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	if err := s.Live.List(ctx, pods, client.InNamespace(s.input.Namespace()), client.MatchingLabels{teapotv1.ComponentLabel: component}); err != nil {
		return nil, fmt.Errorf("listing the pods of %s in namespace %s: %w", component, s.input.Namespace(), err)
	}
	return pods.Items, nil
}

// nudge changes pods in a way that means nothing, so that their kubelet looks at them. It
// is a help and not a need: what fails is not tried again before the next look.
func (s *scope) nudge(ctx context.Context, pods []corev1.Pod) {
	if s.paused {
		return
	}
	for i := range pods {
		pod := &pods[i]
		before := pod.DeepCopy()
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[teapotv1.NudgedAnnotation] = s.now.UTC().Format(time.RFC3339)
		if err := s.Client.Patch(ctx, pod, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager)); client.IgnoreNotFound(err) != nil {
			log.FromContext(ctx).Error(err, "nudging a pod that its kubelet has not begun", "pod", client.ObjectKeyFromObject(pod))
			continue
		}
		log.FromContext(ctx).Info("nudged a pod that its kubelet has not begun", "pod", client.ObjectKeyFromObject(pod))
	}
}
