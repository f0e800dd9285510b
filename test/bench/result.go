package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/teapot-cloud/teapot/test/bench/entrance"
	"github.com/teapot-cloud/teapot/test/bench/thousand"
)

// Names of the figures.
const (
	readyReadyz  = "ready_readyz"
	readyRequest = "ready_request"
	tenAtOnce    = "ten_at_once"
	deletion     = "delete"
	tenantAnon   = "tenant_anon_mib"
	tenantPSS    = "tenant_pss_mib"
	// What a client waits for one request to a control plane that is otherwise idle. The floor
	// has no settings that save memory.
	requestMedian = "request_p50_ms"
	requestTail   = "request_p99_ms"
	// How long a start takes beside sick neighbours that do not run, the floor is one without them; and
	// beside sick ones that run, the floor is one beside as many that are well.
	neighbourRequest = "neighbour_ready_request"
	neighbourRunning = "neighbour_running_request"
	// The floor of these two is a TenantControlPlane without a sandbox.
	sandboxReadyRequest = "sandbox_ready_request"
	sandboxMemory       = "sandbox_memory_mib"
	// From a machine's power to its Node being Ready; the floor is a machine with hand-written user
	// data.
	powerOnToReady = "power_on_to_ready"
	// As many claims as hosts at once, until all are Provisioned, what Teapot's manager writes for
	// each, and what it writes once nothing happens any more.
	claimsProvisioned  = "claims_1000"
	claimsWrites       = "claims_1000_writes_per_claim"
	claimsSteadyWrites = "claims_steady_writes_per_minute"
	// One choice of a host among many.
	selectHosts = "select_10000_hosts_ms"
	// From the first of a pool's machines having power to the last one's Node being Ready; the floor
	// is as many machines with hand-written user data, switched on at the same intervals.
	sixAtOnce = "six_at_once"
	// From being asked to sleep until nothing of a control plane runs.
	hibernation = "hibernate"
	// From being asked to wake to an answered request, and until controller-manager has made a pod. The
	// floor is the pod written by hand, stopped and started again on its volume.
	resumeRequest = "resume_request"
	resumeWorking = "resume_working"
	// What a kubectl takes that wakes a control plane through the gateway, and how many of them failed.
	wakeMedian   = "wake_on_request_p50"
	wakeTail     = "wake_on_request_p95"
	wakeWorst    = "wake_on_request_max"
	wakeFailures = "wake_on_request_failures"
)

// Result is one figure as it is written to the JSON file.
type Result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Floor is the same figure of the control plane written by hand, and Ratio how many
	// times as much Teapot needs; null where there is no floor.
	Floor *float64 `json:"floor"`
	Ratio *float64 `json:"ratio"`
	// N is how many times each was measured; the figures are medians.
	N int `json:"n"`
}

// newResult takes the medians. Without samples of a floor there is no floor.
func newResult(name, unit string, teapot, floor []float64) Result {
	r := Result{Name: name, Value: median(teapot), Unit: unit, N: len(teapot)}
	if len(floor) > 0 {
		f := median(floor)
		ratio := r.Value / f
		r.Floor, r.Ratio = &f, &ratio
	}
	return r
}

// median of samples; of an even number the mean of the middle two; 0 of none.
func median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile of samples by the nearest rank: the smallest one that so many percent do not exceed; 0 of
// none.
func percentile(samples []float64, percent int) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// aim is what design.md (section 8) and the issues hold a figure to.
type aim struct {
	text string
	met  func(Result) bool
}

func upTo(limit float64) *aim {
	return &aim{fmt.Sprintf("≤ %g", limit), func(r Result) bool { return r.Value <= limit }}
}

func ratioUpTo(limit float64) aim {
	return aim{fmt.Sprintf("ratio ≤ %g", limit), func(r Result) bool { return r.Ratio != nil && *r.Ratio <= limit }}
}

func below(limit float64, unit string) *aim {
	return &aim{fmt.Sprintf("< %g %s", limit, unit), func(r Result) bool { return r.Value < limit }}
}

func ratioFrom(limit float64) *aim {
	return &aim{fmt.Sprintf("ratio ≥ %g", limit), func(r Result) bool { return r.Ratio != nil && *r.Ratio >= limit }}
}

// figures are all figures in the order of the table, with their aims.
var figures = []struct {
	name string
	aim  *aim
}{
	{readyReadyz, nil},
	{readyRequest, new(ratioUpTo(1.3))},
	{tenAtOnce, new(ratioUpTo(1.2))},
	{deletion, below(10, "s")},
	{tenantAnon, &aim{"≤ 200 MiB", func(r Result) bool { return r.Value <= 200 }}},
	{tenantPSS, nil},
	{requestMedian, nil},
	{requestTail, nil},
	{neighbourRequest, new(ratioUpTo(1.2))},
	{neighbourRunning, new(ratioUpTo(1.2))},
	{thousand.Converge, nil},
	{thousand.Memory, upTo(0.3)},
	{thousand.BaseMemory, nil},
	{thousand.CPU, upTo(0.1)},
	{thousand.SteadyWrites, upTo(0)},
	{thousand.Reconcile, nil},
	{thousand.ReconcileGrowth, upTo(1.1)},
	{thousand.Restart, nil},
	{thousand.RestartWrites, upTo(0)},
	{thousand.RestartCPU, nil},
	{thousand.RestartRequests, nil},
	{sandboxReadyRequest, nil},
	{sandboxMemory, nil},
	{powerOnToReady, new(ratioUpTo(1.1))},
	{claimsProvisioned, nil},
	{claimsWrites, nil},
	{claimsSteadyWrites, upTo(0)},
	{selectHosts, below(10, "ms")},
	{sixAtOnce, new(ratioUpTo(1.1))},
	{thousand.PoolsConverge, nil},
	{thousand.PoolsWrites, nil},
	{thousand.PoolsSteadyWrites, upTo(0)},
	{hibernation, nil},
	{resumeRequest, &aim{"ratio ≤ 1.2 and < 10 s", func(r Result) bool { return r.Ratio != nil && *r.Ratio <= 1.2 && r.Value < 10 }}},
	{resumeWorking, nil},
	{wakeMedian, nil},
	{wakeTail, below(10, "s")},
	{wakeWorst, nil},
	{wakeFailures, upTo(0)},
	{entrance.Throughput, ratioFrom(1)},
	{entrance.ThroughputOfOne, ratioFrom(1)},
	{entrance.Latency, new(ratioUpTo(1))},
	{entrance.LatencyTail, new(ratioUpTo(1))},
	{entrance.Handshakes, ratioFrom(1)},
	{entrance.IdleConnection, nil},
	{thousand.RestWrites, upTo(0)},
	{thousand.RestMemory, nil},
	{thousand.RestCPU, nil},
}

func names() []string {
	all := make([]string, len(figures))
	for i, figure := range figures {
		all[i] = figure.name
	}
	return all
}

// table prints results for people, in the order of figures.
func table(results []Result) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tVALUE\tUNIT\tFLOOR\tRATIO\tN\tAIM")
	for _, figure := range figures {
		i := slices.IndexFunc(results, func(r Result) bool { return r.Name == figure.name })
		if i < 0 {
			continue
		}
		r := results[i]
		verdict := "-"
		if figure.aim != nil {
			verdict = figure.aim.text + ": missed"
			if figure.aim.met(r) {
				verdict = figure.aim.text + ": met"
			}
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%s\t%s\t%d\t%s\n", r.Name, r.Value, r.Unit, optional(r.Floor), optional(r.Ratio), r.N, verdict)
	}
	_ = w.Flush() // into memory
	return text.String()
}

func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}

// encodeJSON is the content of the results' file: a list, one figure a line.
func encodeJSON(results []Result) ([]byte, error) {
	lines := make([]string, len(results))
	for i, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encoding figure %s: %w", r.Name, err)
		}
		lines[i] = "  " + string(line)
	}
	if len(lines) == 0 {
		return []byte("[]\n"), nil
	}
	return []byte("[\n" + strings.Join(lines, ",\n") + "\n]\n"), nil
}

func writeJSON(path string, results []Result) error {
	data, err := encodeJSON(results)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}
