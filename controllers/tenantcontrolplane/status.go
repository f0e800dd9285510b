package tenantcontrolplane

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/metrics"
	"github.com/teapot-cloud/teapot/controlplane"
)

// required are the conditions that Ready stands on, in the order in which they come true:
// the first that is not true is the one to name. Available stands on two of them.
var (
	required = []string{
		teapotv1.NamespaceReadyCondition,
		teapotv1.EndpointReadyCondition,
		teapotv1.CertificatesReadyCondition,
		teapotv1.DatastoreReadyCondition,
		teapotv1.APIServerReadyCondition,
		teapotv1.AddonsReadyCondition,
	}
	requiredForAvailable = []string{teapotv1.DatastoreReadyCondition, teapotv1.APIServerReadyCondition}
)

// summarize writes Ready, Available, Stalled, Paused and the generation that was seen.
// Conditions that this reconcile did not get to keep what they said, unless there is nothing
// yet.
func (s *scope) summarize(failure error) {
	s.summarizePaused()
	for _, kind := range required {
		if meta.FindStatusCondition(s.tcp.Status.Conditions, kind) == nil {
			s.set(kind, metav1.ConditionUnknown, teapotv1.ReasonWaitingForPods, "not reached yet")
		}
	}

	awake := s.summarizeHibernation()
	first := s.firstNotTrue(required)
	switch {
	case failure != nil:
		s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonReconcileFailed, "%v", failure)
		first = meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.ReadyCondition)
	case !awake:
		first = s.summarizeSleep()
	case first != nil:
		s.setFalse(teapotv1.ReadyCondition, first.Reason, "%s: %s", first.Type, first.Message)
	default:
		s.setTrue(teapotv1.ReadyCondition, "the API at %s answers, etcd has quorum, add-ons are applied", s.tcp.Status.Endpoint.URL)
	}
	s.summarizeAvailable()
	s.summarizeStalled(first)
	if failure == nil {
		s.tcp.Status.ObservedGeneration = s.tcp.Generation
	}
	s.tcp.Status.ExternalManagedControlPlane = ptr.To(true)
	s.tellReady()
}

// summarizeSleep writes Ready of a control plane that sleeps, and returns what may become a problem.
func (s *scope) summarizeSleep() *metav1.Condition {
	hibernated := meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.HibernatedCondition)
	s.setFalse(teapotv1.ReadyCondition, hibernated.Reason, "%s", hibernated.Message)
	if hibernated.Status == metav1.ConditionTrue {
		return nil
	}
	return hibernated
}

func (s *scope) summarizeAvailable() {
	if unavailable := s.firstNotTrue(requiredForAvailable); unavailable != nil {
		s.setFalse(teapotv1.AvailableCondition, unavailable.Reason, "%s: %s", unavailable.Type, unavailable.Message)
	} else {
		s.setTrue(teapotv1.AvailableCondition, "the API at %s answers and etcd has quorum", s.tcp.Status.Endpoint.URL)
	}
}

func (s *scope) summarizePaused() {
	switch s.pausedBy {
	case teapotv1.ReasonPaused:
		s.set(teapotv1.PausedCondition, metav1.ConditionTrue, s.pausedBy, "spec.paused is true: nothing is changed, what runs goes on running")
	case teapotv1.ReasonClusterPaused:
		s.set(teapotv1.PausedCondition, metav1.ConditionTrue, s.pausedBy, "Cluster %s has spec.paused, or this object the annotation cluster.x-k8s.io/paused: nothing is changed, what runs goes on running", s.input.ClusterName)
	default:
		s.set(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
	}
}

// summarizeStalled says whether a person must act: at once where waiting does not help, and
// after a deadline where it should have.
func (s *scope) summarizeStalled(first *metav1.Condition) {
	if record := s.sleep.record; first != nil && !record.AsleepSince.IsZero() && first.LastTransitionTime.Time.Before(record.Since) {
		// It was not true while the control plane slept either, and that does not count.
		first = first.DeepCopy()
		first.LastTransitionTime = metav1.NewTime(record.Since)
	}
	switch problem, due := controlplane.Stalled(first, s.now); {
	case problem != nil:
		s.set(teapotv1.StalledCondition, metav1.ConditionTrue, problem.Reason, "%s", problem.Message)
	default:
		s.set(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, "")
		if !due.IsZero() {
			s.requeueAfter(due.Sub(s.now))
		}
	}
	before := meta.FindStatusCondition(s.before.Status.Conditions, teapotv1.StalledCondition)
	now := meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.StalledCondition)
	if now.Status == metav1.ConditionTrue && (before == nil || before.Status != now.Status || before.Reason != now.Reason) {
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeWarning, now.Reason, "Reconcile", "%s", now.Message)
	}
}

// tellReady tells of a change of Ready, and remembers its first time.
func (s *scope) tellReady() {
	was := meta.IsStatusConditionTrue(s.before.Status.Conditions, teapotv1.ReadyCondition)
	ready := meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.ReadyCondition)
	switch is := ready.Status == metav1.ConditionTrue; {
	case is && !was:
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeNormal, teapotv1.ReasonReady, "Reconcile", "%s", ready.Message)
		if !ptr.Deref(s.tcp.Status.Initialization.ControlPlaneInitialized, false) {
			s.tcp.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
			metrics.ObserveReady(s.now.Sub(s.tcp.CreationTimestamp.Time))
		}
	case was && !is && !s.asleep(): // going to sleep was told of
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeWarning, ready.Reason, "Reconcile", "%s", ready.Message)
	}
}

func (s *scope) firstNotTrue(kinds []string) *metav1.Condition {
	for _, kind := range kinds {
		if c := meta.FindStatusCondition(s.tcp.Status.Conditions, kind); c.Status != metav1.ConditionTrue {
			return c
		}
	}
	return nil
}
