package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name    string
		samples []float64
		want    float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"odd, not sorted", []float64{9, 1, 4}, 4},
		{"even: mean of the middle two", []float64{8, 1, 2, 4}, 3},
		{"an outlier does not move it", []float64{4, 4, 5, 5, 100}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := append([]float64(nil), tt.samples...)
			if got := median(tt.samples); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if diff := cmp.Diff(given, append([]float64(nil), tt.samples...)); diff != "" {
				t.Errorf("samples were changed:\n%s", diff)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	twenty := []float64{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	for _, tt := range []struct {
		name    string
		samples []float64
		percent int
		want    float64
	}{
		{"none", nil, 95, 0},
		{"one", []float64{3}, 95, 3},
		{"of twenty one is above", twenty, 95, 19},
		{"a share that is no whole number is rounded up", twenty[:3], 50, 2},
		{"all", twenty, 100, 20},
		{"none of them", twenty, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.samples, tt.percent); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A figure that is higher the better it is has an aim from below.
func TestAims(t *testing.T) {
	for _, tt := range []struct {
		aim  *aim
		r    Result
		want bool
	}{
		{ratioFrom(1), newResult("", "", []float64{5}, []float64{4}), true},
		{ratioFrom(1), newResult("", "", []float64{4}, []float64{5}), false},
		{ratioFrom(1), newResult("", "", []float64{4}, nil), false},
		{new(ratioUpTo(1)), newResult("", "", []float64{4}, []float64{5}), true},
		{below(10, "s"), newResult("", "", []float64{10}, nil), false},
	} {
		if got := tt.aim.met(tt.r); got != tt.want {
			t.Errorf("%s: %+v: met %t", tt.aim.text, tt.r, got)
		}
	}
}

var sampled = []Result{
	newResult(deletion, "s", []float64{4.04, 4.06, 4.05}, nil),
	newResult(readyRequest, "s", []float64{4.5, 4.2, 9}, []float64{3, 2.9, 3.2}),
	newResult(tenAtOnce, "s", []float64{26}, []float64{20}),
}

func TestTable(t *testing.T) {
	want := `NAME            VALUE   UNIT   FLOOR   RATIO   N   AIM
ready_request   4.50    s      3.00    1.50    3   ratio ≤ 1.3: missed
ten_at_once     26.00   s      20.00   1.30    1   ratio ≤ 1.2: missed
delete          4.05    s      -       -       3   < 10 s: met
`
	if diff := cmp.Diff(want, table(sampled)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	want := `[
  {"name":"delete","value":4.05,"unit":"s","floor":null,"ratio":null,"n":3},
  {"name":"ready_request","value":4.5,"unit":"s","floor":3,"ratio":1.5,"n":3},
  {"name":"ten_at_once","value":26,"unit":"s","floor":20,"ratio":1.3,"n":1}
]
`
	got, err := encodeJSON(sampled)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, given := range map[string][]Result{"some": sampled, "none": nil} {
		encoded, err := encodeJSON(given)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(encoded) {
			t.Errorf("%s: not JSON: %s", name, encoded)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want []string
		fail bool
	}{
		{"all", nil, names(), false},
		{"some", []string{"-only", "delete,ten_at_once"}, []string{"delete", "ten_at_once"}, false},
		{"unknown figure", []string{"-only", "speed"}, nil, true},
		{"no samples", []string{"-n", "0"}, nil, true},
		{"no wakes", []string{"-wakes", "0"}, nil, true},
		{"no connections", []string{"-connections", "0"}, nil, true},
		{"arguments", []string{"delete"}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseFlags(tt.args)
			if (err != nil) != tt.fail {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				if diff := cmp.Diff(tt.want, o.only); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}
