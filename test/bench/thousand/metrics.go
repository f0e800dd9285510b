package thousand

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads the metrics that a process serves.
func scrape(ctx context.Context, client *http.Client, url string) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading metrics: GET %s answered %s", url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading metrics of %s: %w", url, err)
	}
	return families, nil
}

func label(metric *dto.Metric, name string) string {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// writes counts a kube-apiserver's write requests since it started, by resource.
type writes map[string]float64

// notCounted are requests that change nothing (the manager asks who reads its metrics), and
// the Leases that the API server renews for itself.
var notCounted = append([]string{"leases"}, reviews...)

func countWrites(families map[string]*dto.MetricFamily) writes {
	counts := writes{}
	// https://kubernetes.io/docs/reference/instrumentation/metrics/: apiserver_request_total
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		resource := label(metric, "resource")
		if !slices.Contains(notCounted, resource) && slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}, label(metric, "verb")) {
			counts[resource] += metric.GetCounter().GetValue()
		}
	}
	return counts
}

// reviews are requests by which the manager asks who reads its metrics, before it answers.
var reviews = []string{"tokenreviews", "subjectaccessreviews"}

// countReviews counts those that a kube-apiserver was asked since it started. In a room nobody
// else asks.
func countReviews(families map[string]*dto.MetricFamily) float64 {
	count := 0.0
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		if slices.Contains(reviews, label(metric, "resource")) {
			count += metric.GetCounter().GetValue()
		}
	}
	return count
}

// countSent counts the write requests that a manager has sent to a host, reviews included, and
// those that were refused.
// https://pkg.go.dev/k8s.io/client-go/tools/metrics: rest_client_requests_total
func countSent(families map[string]*dto.MetricFamily, host string) float64 {
	count := 0.0
	for _, metric := range families["rest_client_requests_total"].GetMetric() {
		if label(metric, "host") == host && slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, label(metric, "method")) {
			count += metric.GetCounter().GetValue()
		}
	}
	return count
}

// since returns what was written after an earlier count.
func (w writes) since(earlier writes) writes {
	difference := writes{}
	for resource, count := range w {
		if more := count - earlier[resource]; more > 0 {
			difference[resource] = more
		}
	}
	return difference
}

func (w writes) sum() float64 {
	sum := 0.0
	for _, count := range w {
		sum += count
	}
	return sum
}

// reconciles are the ones that the manager has done of control planes.
type reconciles struct {
	count   uint64
	seconds float64
}

func countReconciles(families map[string]*dto.MetricFamily) reconciles {
	for _, metric := range families["controller_runtime_reconcile_time_seconds"].GetMetric() {
		if label(metric, "controller") == "tenantcontrolplane" {
			return reconciles{metric.GetHistogram().GetSampleCount(), metric.GetHistogram().GetSampleSum()}
		}
	}
	return reconciles{}
}
