package metrics

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// readTimeout is how long a scrape waits for the cache. A cache that is filled answers at
// once; Prometheus gives up after 10 s by default.
const readTimeout = 5 * time.Second

var (
	controlPlanes = prometheus.NewDesc("teapot_controlplanes",
		"Number of TenantControlPlanes by the status and reason of their condition Ready.",
		[]string{"ready", "reason"}, nil)
	controlPlaneReady = prometheus.NewDesc("teapot_controlplane_ready",
		"Whether the TenantControlPlane is Ready (1) or not (0).",
		[]string{"namespace", "name"}, nil)
	controlPlaneAsleep = prometheus.NewDesc("teapot_controlplane_asleep",
		"Whether the TenantControlPlane sleeps (1) or not (0). One that sleeps is not Ready, and should not be.",
		[]string{"namespace", "name"}, nil)
	certificateExpiry = prometheus.NewDesc("teapot_controlplane_certificate_expiry_timestamp_seconds",
		"When the first of the TenantControlPlane's certificates ends if none is renewed, in seconds since 1970.",
		[]string{"namespace", "name"}, nil)
)

// Add serves what the TenantControlPlanes in the manager's cache are like, for as long as the
// manager leads. Of several replicas only the leader does, so that nothing is counted twice,
// and the absence of teapot_controlplanes means that nobody is at work.
func Add(mgr ctrl.Manager) error {
	c := collector{reader: mgr.GetCache()}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if err := ctrlmetrics.Registry.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of control planes: %w", err)
		}
		defer ctrlmetrics.Registry.Unregister(c)
		<-ctx.Done()
		return nil
	}))
}

// collector computes the metrics of control planes from a cache when they are asked for.
type collector struct{ reader client.Reader }

func (collector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- controlPlanes
	descriptions <- controlPlaneReady
	descriptions <- controlPlaneAsleep
	descriptions <- certificateExpiry
}

// Collect sends nothing when the cache does not answer: the other metrics are served all the
// same, and the absence of these is what the alert TeapotManagerDown looks for.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	list := &teapotv1.TenantControlPlaneList{}
	if err := c.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // only read
		return
	}

	type state struct{ ready, reason string }
	// Zero Ready ones are said, too: without any control plane there is still a series.
	counts := map[state]int{{string(metav1.ConditionTrue), teapotv1.ReasonReady}: 0}
	for i := range list.Items {
		tcp := &list.Items[i]
		now, ready, asleep := state{ready: string(metav1.ConditionUnknown), reason: other}, 0.0, 0.0
		if condition := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition); condition != nil {
			now = state{ready: string(condition.Status), reason: bounded(condition.Reason)}
			if condition.Status == metav1.ConditionTrue {
				ready = 1
			}
		}
		counts[now]++
		metrics <- prometheus.MustNewConstMetric(controlPlaneReady, prometheus.GaugeValue, ready, tcp.Namespace, tcp.Name)
		if hibernation := tcp.Status.Hibernation; hibernation != nil && hibernation.Phase == teapotv1.HibernationAsleep {
			asleep = 1
		}
		metrics <- prometheus.MustNewConstMetric(controlPlaneAsleep, prometheus.GaugeValue, asleep, tcp.Namespace, tcp.Name)
		if expire := tcp.Status.CertificatesExpire; expire != nil {
			metrics <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, float64(expire.Unix()), tcp.Namespace, tcp.Name)
		}
	}
	for at, count := range counts {
		metrics <- prometheus.MustNewConstMetric(controlPlanes, prometheus.GaugeValue, float64(count), at.ready, at.reason)
	}
}

// bounded keeps a reason that is one of Teapot's.
func bounded(reason string) string {
	if reasons.Has(reason) {
		return reason
	}
	return other
}
