// Package metrics holds what the manager says of itself to Prometheus. Everything is
// registered with controller-runtime's registry, which the manager serves beside
// controller-runtime's own metrics. docs/operations.md lists both.
//
// Labels are bounded: by the fixed lists of this package, or by the TenantControlPlanes that
// exist. What is said of one control plane is computed when it is asked for (collector.go),
// so that it ends with the object.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Steps of a TenantControlPlane's reconcile, the values of the label step.
const (
	StepNamespace     = "namespace"
	StepBase          = "base"
	StepEndpoint      = "endpoint"
	StepGateway       = "gateway"
	StepHibernation   = "hibernation"
	StepWake          = "wake"
	StepCredentials   = "credentials"
	StepWorkloads     = "workloads"
	StepTenantSecrets = "tenant-secrets"
	StepInside        = "inside"
	StepDelete        = "delete"
)

// other is the label for what no fixed list has.
const other = "Other"

var (
	timeToReady = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "teapot_controlplane_time_to_ready_seconds",
		Help: "Time from the creation of a TenantControlPlane until it was Ready for the first time.",
		// Around docs/benchmarks.md's figures (4 s alone, 24 s for ten at once), up to the ten
		// minutes after which an alert says that a control plane is not ready.
		Buckets: []float64{1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600},
	})
	stepDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "teapot_controlplane_step_duration_seconds",
		Help: "Time that one step of one reconcile of a TenantControlPlane took.",
		// From a step that finds nothing to do to one that runs into a time-out.
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"step"})

	// steps has the histogram of each step, made beforehand: a rate over a series that begins
	// with its first observation misses that one.
	steps = map[string]prometheus.Observer{}
)

func init() {
	for _, step := range []string{
		StepNamespace, StepBase, StepEndpoint, StepGateway, StepCredentials, StepHibernation, StepWake,
		StepWorkloads, StepTenantSecrets, StepInside, StepDelete,
	} {
		steps[step] = stepDuration.WithLabelValues(step)
	}
	ctrlmetrics.Registry.MustRegister(timeToReady, stepDuration)
}

// ObserveReady records how long a new control plane took until its first Ready.
func ObserveReady(sinceCreation time.Duration) { timeToReady.Observe(sinceCreation.Seconds()) }

// ObserveStep records how long a step took. A step that is none of the constants is recorded
// as Other.
func ObserveStep(step string, took time.Duration) {
	observer, known := steps[step]
	if !known {
		observer = stepDuration.WithLabelValues(other)
	}
	observer.Observe(took.Seconds())
}
