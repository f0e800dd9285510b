package orphans

import (
	"github.com/prometheus/client_golang/prometheus"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Kinds of orphans, the values of the label kind.
const (
	kindHost   = "host"
	kindSecret = "secret"
	kindClaim  = "claim"
)

var orphans = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "teapot_orphans",
	Help: "What the last sweep found that no claim, or no machine, answers for any more.",
}, []string{"kind"})

func init() {
	ctrlmetrics.Registry.MustRegister(orphans)
	observe(nil) // where there are no hosts, there are none, and no series is missing
}

func observe(found map[string]int) {
	for _, kind := range []string{kindHost, kindSecret, kindClaim} {
		orphans.WithLabelValues(kind).Set(float64(found[kind]))
	}
}
