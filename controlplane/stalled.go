package controlplane

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// problems are the reasons that no waiting mends.
var problems = []string{
	teapotv1.ReasonNamespaceTaken, teapotv1.ReasonRetainedDataFound, teapotv1.ReasonRetainedDataMissing, teapotv1.ReasonRetainedDataMismatch,
	teapotv1.ReasonNoNodeAddress, teapotv1.ReasonLoadBalancerHasNoIP, teapotv1.ReasonPortTaken, teapotv1.ReasonAddressFamily,
	teapotv1.ReasonKeysMissing, teapotv1.ReasonKeysInvalid,
	teapotv1.ReasonPodsFailing, teapotv1.ReasonClassNotFound, teapotv1.ReasonPodsRefused,
	teapotv1.ReasonUnsupportedVersion, teapotv1.ReasonDeletionBlocked,
}

// patience is how long each other reason may hold before it is a problem, and
// defaultPatience for those that are not listed. They are several times what a busy cluster
// takes: pods start in seconds, images of a few hundred megabytes in a minute or two, and
// cloud load balancers in one or two.
var patience = map[string]time.Duration{
	teapotv1.ReasonWaitingForService:      time.Minute,
	teapotv1.ReasonWaitingForLoadBalancer: 3 * time.Minute,
	teapotv1.ReasonWaitingForStorage:      2 * time.Minute,
	teapotv1.ReasonNoQuorum:               2 * time.Minute,
	teapotv1.ReasonNotAnswering:           2 * time.Minute,
	teapotv1.ReasonRequestRefused:         time.Minute,
	teapotv1.ReasonApplying:               2 * time.Minute,
	// A connection that breaks is one, too, and the next attempt mends it.
	teapotv1.ReasonApplyFailed: 30 * time.Second,
}

const defaultPatience = 5 * time.Minute

// Stalled judges the first condition that is not true (nil if all are): it returns a problem
// that a person must act on, or else the time at which waiting becomes one.
func Stalled(condition *metav1.Condition, now time.Time) (*Problem, time.Time) {
	if condition == nil {
		return nil, time.Time{}
	}
	message := condition.Type + ": " + condition.Message
	if slices.Contains(problems, condition.Reason) {
		return &Problem{condition.Reason, message}, time.Time{}
	}
	allowed, ok := patience[condition.Reason]
	if !ok {
		allowed = defaultPatience
	}
	since := condition.LastTransitionTime.Time
	if due := since.Add(allowed); now.Before(due) {
		return nil, due
	}
	return &Problem{condition.Reason, fmt.Sprintf("this is so since %s, longer than the %s that it may take: %s",
		since.UTC().Format(time.RFC3339), allowed, message)}, time.Time{}
}
