package controlplane

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestWhenAPersonMustAct(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	condition := func(reason string) *metav1.Condition {
		return &metav1.Condition{
			Type: teapotv1.EndpointReadyCondition, Status: metav1.ConditionFalse, Reason: reason,
			Message: "something is so", LastTransitionTime: metav1.NewTime(start),
		}
	}
	tests := map[string]struct {
		condition *metav1.Condition
		after     time.Duration
		stalled   bool
		words     string
		due       time.Duration
	}{
		"all is well":                              {nil, time.Hour, false, "", 0},
		"what waiting does not mend is at once":    {condition(teapotv1.ReasonPortTaken), 0, true, "EndpointReady: something is so", 0},
		"a load balancer has time":                 {condition(teapotv1.ReasonWaitingForLoadBalancer), time.Minute, false, "", 3 * time.Minute},
		"a load balancer that never comes":         {condition(teapotv1.ReasonWaitingForLoadBalancer), 3 * time.Minute, true, "since 2026-11-21T12:00:00Z, longer than the 3m0s", 0},
		"a reason without a deadline of its own":   {condition(teapotv1.ReasonWaitingForPods), 4 * time.Minute, false, "", 5 * time.Minute},
		"and when its deadline has passed":         {condition(teapotv1.ReasonWaitingForPods), 6 * time.Minute, true, "longer than the 5m0s", 0},
		"a condition that was never reached waits": {&metav1.Condition{Type: "X", Status: metav1.ConditionUnknown, Reason: "New", LastTransitionTime: metav1.NewTime(start)}, 0, false, "", 5 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problem, due := Stalled(test.condition, start.Add(test.after))
			if (problem != nil) != test.stalled {
				t.Fatalf("stalled = %v, want %v", problem, test.stalled)
			}
			if problem != nil && !strings.Contains(problem.Message, test.words) {
				t.Errorf("message is %q, want it to contain %q", problem.Message, test.words)
			}
			if want := start.Add(test.due); test.due > 0 && !due.Equal(want) {
				t.Errorf("due at %s, want %s", due, want)
			}
		})
	}
}
