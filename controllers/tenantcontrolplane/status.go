package tenantcontrolplane

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// required are the conditions that Ready stands on, in the order in which they come true:
// the first that is not true is the one to name.
var required = []string{
	teapotv1.NamespaceReadyCondition,
	teapotv1.EndpointReadyCondition,
	teapotv1.CertificatesReadyCondition,
	teapotv1.DatastoreReadyCondition,
	teapotv1.APIServerReadyCondition,
	teapotv1.AddonsReadyCondition,
}

// summarize writes Ready, Paused and the generation that was seen. Conditions that this
// reconcile did not get to keep what they said, unless there is nothing yet.
func (s *scope) summarize(failure error) {
	conditions := s.tcp.Status.Conditions
	if s.tcp.Spec.Paused {
		s.set(teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonPaused, "spec.paused is true: nothing is changed, what runs goes on running")
	} else {
		s.set(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
	}
	for _, kind := range required {
		if meta.FindStatusCondition(conditions, kind) == nil {
			s.set(kind, metav1.ConditionUnknown, teapotv1.ReasonWaitingForPods, "not reached yet")
		}
	}

	wasReady := meta.IsStatusConditionTrue(s.before.Status.Conditions, teapotv1.ReadyCondition)
	switch first := s.firstNotTrue(); {
	case failure != nil:
		s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonReconcileFailed, "%v", failure)
	case first != nil:
		s.setFalse(teapotv1.ReadyCondition, first.Reason, "%s: %s", first.Type, first.Message)
	default:
		s.setTrue(teapotv1.ReadyCondition, "the API at %s answers, etcd has quorum, add-ons are applied", s.tcp.Status.Endpoint.URL)
	}
	if failure == nil {
		s.tcp.Status.ObservedGeneration = s.tcp.Generation
	}

	ready := meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.ReadyCondition)
	switch isReady := ready.Status == metav1.ConditionTrue; {
	case isReady && !wasReady:
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeNormal, teapotv1.ReasonReady, "Reconcile", "%s", ready.Message)
	case wasReady && !isReady:
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeWarning, ready.Reason, "Reconcile", "%s", ready.Message)
	}
}

func (s *scope) firstNotTrue() *metav1.Condition {
	for _, kind := range required {
		if c := meta.FindStatusCondition(s.tcp.Status.Conditions, kind); c.Status != metav1.ConditionTrue {
			return c
		}
	}
	return nil
}
