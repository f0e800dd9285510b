package cli

import (
	"fmt"

	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// asleepGoal is reached when nothing of the control plane runs, as it is specified now.
func asleepGoal() goal {
	g := goal{wanted: "it to be asleep", phase: teapotv1.HibernationAsleep}
	g.reached = func(now *state) (bool, error) {
		if err := going(now); err != nil {
			return false, err
		}
		return now.isIn(g.phase), nil
	}
	return g
}

// awakeGoal is reached when the control plane is back and Ready, as it is specified now.
func awakeGoal() goal {
	g, isReady := goal{wanted: "it to be awake and Ready", phase: teapotv1.HibernationAwake}, readyGoal()
	g.reached = func(now *state) (bool, error) {
		done, err := isReady.reached(now)
		return done && now.isIn(g.phase), err
	}
	return g
}

// isIn says whether the control plane is in a phase, observed of the present spec.
func (s *state) isIn(phase teapotv1.HibernationPhase) bool {
	return s.hibernation != nil && s.hibernation.Phase == phase && s.observedGeneration >= s.GetGeneration()
}

// isSleeping says whether nothing answers, or will in a moment, since the control plane sleeps. What was
// observed of an earlier spec does not count: it may have been asked to wake since.
func isSleeping(tcp *teapotv1.TenantControlPlane) bool {
	status := tcp.Status.Hibernation
	return status != nil && tcp.Status.ObservedGeneration >= tcp.Generation &&
		(status.Phase == teapotv1.HibernationAsleep || status.Phase == teapotv1.HibernationHibernating)
}

// sleeps says whether the control plane sleeps that the object is, or is of.
func (s *state) sleeps() bool {
	switch object := s.Object.(type) {
	case *teapotv1.TenantControlPlane:
		return isSleeping(object)
	default:
		ready := s.condition(teapotv1.ReadyCondition)
		return ready != nil && (ready.Reason == teapotv1.ReasonAsleep || ready.Reason == teapotv1.ReasonHibernating)
	}
}

// sleepText says that the control plane sleeps, and how it is woken; "it" is left out.
func (s *state) sleepText(program string) string {
	how := wakeCommand(program, s.GetNamespace(), s.controlPlane)
	if s.hibernation == nil {
		return "waits for its control plane, which sleeps; wake that with: " + how
	}
	return fmt.Sprintf("%s; wake it with: %s", asleepSince(s.hibernation), how)
}

// asleepSince says that a control plane sleeps, or is about to, and since when.
func asleepSince(status *teapotv1.HibernationStatus) string {
	text := "sleeps"
	if status.Phase == teapotv1.HibernationHibernating {
		text = "is going to sleep"
	}
	if status.Since != nil {
		text += " since " + moment(*status.Since)
	}
	return text
}

func wakeCommand(program, namespace, name string) string {
	return fmt.Sprintf("%s resume %s -n %s --wait", program, name, namespace)
}

// noRequestWakes says why no user's request wakes a control plane that sleeps; empty if one does.
func noRequestWakes(tcp *teapotv1.TenantControlPlane) string {
	spec := tcp.Spec.Hibernation
	switch {
	case spec == nil || spec.IdleAfter == nil:
		return "spec.hibernation.idleAfter is not set"
	case !ptr.Deref(spec.WakeOnRequest, true):
		return "spec.hibernation.wakeOnRequest is false"
	case tcp.Spec.Endpoint.Gateway == teapotv1.GatewayDisabled:
		return "spec.endpoint.gateway is Disabled"
	case tcp.Status.Endpoint == nil || tcp.Status.Endpoint.GatewayURL == "":
		return "its users do not come through a gateway (status.endpoint.gatewayURL is empty)"
	}
	return ""
}
