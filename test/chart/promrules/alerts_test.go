package promrules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	// interval lies between samples, and between evaluations.
	interval = time.Minute
	day      = 24 * time.Hour
)

// start is when the series begin.
var start = time.Unix(1_800_000_000, 0)

// TestAlerts asks of each alert whom it fires for, two hours after the start. Series are in
// promtool's notation: one value a minute, as value, value×times or start+step×times.
func TestAlerts(t *testing.T) {
	const (
		nobody    = ""
		working   = `teapot_controlplanes{namespace="teapot-system",ready="True",reason="Ready"} `
		ready     = `teapot_controlplane_ready{namespace="acme",name=`
		sleeps    = `teapot_controlplane_asleep{namespace="acme",name=`
		expiry    = `teapot_controlplane_certificate_expiry_timestamp_seconds{namespace="acme",name=`
		errors    = `controller_runtime_reconcile_errors_total{namespace="teapot-system",controller="tenantcontrolplane"} `
		succeeded = `controller_runtime_reconcile_total{namespace="teapot-system",controller="tenantcontrolplane",result="success"} `
		failed    = `controller_runtime_reconcile_total{namespace="teapot-system",controller="tenantcontrolplane",result="error"} `
		orphaned  = `teapot_orphans{namespace="teapot-system",kind="host"} `
		routes    = `teapot_gateway_routes{namespace="teapot-system",state="awake"} `
		notWoken  = `teapot_gateway_writes_total{namespace="teapot-system",what="wake",result="error"} `
		tooLong   = `teapot_gateway_rejected_total{namespace="teapot-system",reason="held_too_long"} `
		asleep    = `teapot_gateway_rejected_total{namespace="teapot-system",reason="asleep"} `
		passedOn  = `teapot_gateway_held_seconds_count{namespace="teapot-system",result="passed_on"} `
		bucket    = `teapot_controlplane_time_to_ready_seconds_bucket{namespace="teapot-system",le=`
	)
	in := func(d time.Duration) string { return fmt.Sprint(start.Add(d).Unix()) }
	rules, fired := alerts(t), map[string]bool{}
	for _, tt := range []struct {
		alert, name string
		series      []string
		want        []string // the label name, controller or kind of each that fires; nobody is none of them
	}{
		{"TeapotManagerDown", "a manager at work with nothing to do", []string{working + `0x120`}, nil},
		{"TeapotManagerDown", "a manager gone for four minutes", []string{working + `1x116 stale`}, nil},
		{"TeapotManagerDown", "a manager gone for ten minutes", []string{working + `1x110 stale`}, []string{nobody}},
		{"TeapotManagerDown", "another installation's manager alone", []string{`teapot_controlplanes{namespace="elsewhere",ready="True",reason="Ready"} 1x120`}, []string{nobody}},

		{"TeapotControlPlaneNotReady", "control planes of every kind", []string{
			ready + `"good"} 1x120`,
			ready + `"starting"} _x114 0x5`,
			ready + `"broken"} 1x60 0x60`,
			ready + `"flapping"} 0x114 1 0x4`,
			ready + `"deleted"} 0x110 stale`,
			// Another manager has become the leader meanwhile.
			ready + `"handed-over",pod="a"} 0x115 stale`,
			ready + `"handed-over",pod="b"} _x115 0x5`,
			ready + `"asleep"} 1x60 0x60`, sleeps + `"asleep"} 0x61 1x59`,
			ready + `"awake"} 1x120`, sleeps + `"awake"} 0x120`,
			ready + `"woken-and-broken"} 0x120`, sleeps + `"woken-and-broken"} 1x60 0x60`,
			ready + `"just-woken"} 0x120`, sleeps + `"just-woken"} 1x115 0x5`,
		}, []string{"broken", "handed-over", "woken-and-broken"}},

		{"TeapotCertificateExpiring", "certificates of every age", []string{
			expiry + `"fresh"} ` + in(365*day) + `x120`,
			expiry + `"due"} ` + in(100*day) + `x120`,
			expiry + `"old"} ` + in(13*day) + `x120`,
			expiry + `"renewed"} ` + in(13*day) + `x100 ` + in(365*day) + `x20`,
			expiry + `"adopted"} ` + `_x90 ` + in(13*day) + `x29`,
		}, []string{"old"}},

		{"TeapotReconcileErrors", "one failure in a thousand", []string{errors + `0+1x120`, succeeded + `0+1000x120`, failed + `0+1x120`}, nil},
		{"TeapotReconcileErrors", "every other fails", []string{errors + `0+10x120`, succeeded + `0+10x120`, failed + `0+10x120`}, []string{"tenantcontrolplane"}},
		{"TeapotReconcileErrors", "failures that are over", []string{errors + `0+10x90 900x30`, succeeded + `0+10x120`, failed + `0+10x90 900x30`}, nil},
		{"TeapotReconcileErrors", "nothing is reconciled", []string{errors + `7x120`, succeeded + `9x120`, failed + `7x120`}, nil},

		{"TeapotTimeToReadySlow", "four seconds", []string{bucket + `"5"} 0+1x120`, bucket + `"300"} 0+1x120`, bucket + `"+Inf"} 0+1x120`}, nil},
		{"TeapotTimeToReadySlow", "five minutes", []string{bucket + `"120"} 0x120`, bucket + `"300"} 0+1x120`, bucket + `"+Inf"} 0+1x120`}, []string{nobody}},
		{"TeapotTimeToReadySlow", "five minutes, an hour ago", []string{bucket + `"120"} 0x120`, bucket + `"300"} 0+1x50 50x70`, bucket + `"+Inf"} 0+1x50 50x70`}, nil},

		{"TeapotOrphans", "none", []string{orphaned + `0x120`}, nil},
		{"TeapotOrphans", "one that was put right in time", []string{orphaned + `0x60 1x20 0x40`}, nil},
		{"TeapotOrphans", "one that stays", []string{orphaned + `0x60 1x60`}, []string{"host"}},

		{"TeapotGatewayDown", "gateways with nobody to serve", []string{routes + `0x120`}, nil},
		{"TeapotGatewayDown", "there never was one", nil, nil},
		{"TeapotGatewayDown", "gone for four minutes", []string{routes + `3x116 stale`}, nil},
		{"TeapotGatewayDown", "gone for ten minutes", []string{routes + `3x110 stale`}, []string{nobody}},

		{"TeapotWakesFail", "none", []string{notWoken + `0x120`}, nil},
		{"TeapotWakesFail", "two while the API server was away", []string{notWoken + `0x115 2x5`}, nil},
		{"TeapotWakesFail", "each", []string{notWoken + `0x90 0+1x30`}, []string{nobody}},

		{"TeapotWakesSlow", "nobody waits", []string{tooLong + `0x120`, passedOn + `0x120`}, nil},
		{"TeapotWakesSlow", "all in time", []string{tooLong + `0x120`, passedOn + `0+1x120`}, nil},
		{"TeapotWakesSlow", "many that are not to be woken", []string{tooLong + `0x120`, asleep + `0+100x120`, passedOn + `0+1x120`}, nil},
		{"TeapotWakesSlow", "one in three in vain", []string{tooLong + `0+1x120`, passedOn + `0+2x120`}, nil},
		{"TeapotWakesSlow", "two in three in vain", []string{tooLong + `0+2x120`, passedOn + `0+1x120`}, []string{nobody}},
	} {
		t.Run(tt.alert+"/"+tt.name, func(t *testing.T) {
			i := slices.IndexFunc(rules, func(rule rulefmt.Rule) bool { return rule.Alert == tt.alert })
			if i < 0 {
				t.Fatal("there is no such alert")
			}
			if got := firing(t, rules[i], tt.series, start.Add(2*time.Hour)); !slices.Equal(got, tt.want) {
				t.Errorf("fires for %q, want %q", got, tt.want)
			}
		})
		fired[tt.alert] = fired[tt.alert] || len(tt.want) > 0
	}
	for _, rule := range rules {
		if !fired[rule.Alert] {
			t.Errorf("no case makes %s fire", rule.Alert)
		}
	}
}

// firing returns whom a rule fires for: those that its expression gave at every evaluation for
// as long as its `for` says.
func firing(t *testing.T, rule rulefmt.Rule, series []string, at time.Time) []string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: promQL})
	since := time.Duration(rule.For)
	query, err := engine.NewRangeQuery(t.Context(), stored(t, series), nil, rule.Expr, at.Add(-since), at, interval)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	matrix, err := query.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range matrix {
		if len(one.Floats) == int(since/interval)+1 {
			names = append(names, one.Metric.Get("name")+one.Metric.Get("controller")+one.Metric.Get("kind"))
		}
	}
	slices.Sort(names)
	return names
}

// stored makes series that begin at the start.
func stored(t *testing.T, notations []string) storage.Queryable {
	t.Helper()
	var all []storage.Series
	for _, notation := range notations {
		metric, values, err := promQL.ParseSeriesDesc(notation)
		if err != nil {
			t.Fatalf("%s: %v", notation, err)
		}
		series := promql.Series{Metric: metric}
		for i, value := range values {
			if !value.Omitted {
				at := start.Add(time.Duration(i) * interval)
				series.Floats = append(series.Floats, promql.FPoint{T: at.UnixMilli(), F: value.Value})
			}
		}
		all = append(all, promql.NewStorageSeries(series))
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			matching := &seriesSet{}
			for _, series := range all {
				if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(series.Labels().Get(m.Name)) }) {
					matching.rest = append(matching.rest, series)
				}
			}
			return matching
		},
	}}
}

// seriesSet is a storage.SeriesSet of what is in memory.
type seriesSet struct {
	current storage.Series
	rest    []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.current, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.current }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
