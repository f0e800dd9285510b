package promrules

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

var promQL = parser.NewParser(parser.Options{})

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// alerts reads the chart's rules as Prometheus does, annotations and their templates included.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	path := filepath.Join("..", "..", "..", "charts", "teapot", "files", "alerts.yaml")
	groups, errs := rulefmt.Parse(read(t, path), false, model.LegacyValidation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var rules []rulefmt.Rule
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// dashboardExpressions finds every expr of the dashboard, with Grafana's variables filled in.
func dashboardExpressions(t *testing.T) []string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "charts", "teapot", "files", "dashboard.json")
	var dashboard any
	if err := json.Unmarshal(read(t, path), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$manager", "teapot-system", "$namespace", ".*")
	var expressions []string
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if expression, ok := node["expr"].(string); ok {
				expressions = append(expressions, variables.Replace(expression))
			}
			for _, child := range node {
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(dashboard)
	return expressions
}

// TestEveryMetricIsExported compares with two lists. Each line of exported-metrics.txt the test of
// cmd/teapot-manager finds in what the manager serves, each of exported-metrics-gateway.txt the test of
// test/chart in what the gateway does.
func TestEveryMetricIsExported(t *testing.T) {
	exported := strings.Fields(string(read(t, "exported-metrics.txt")) + string(read(t, "exported-metrics-gateway.txt")))
	expressions := dashboardExpressions(t)
	for _, rule := range alerts(t) {
		expressions = append(expressions, rule.Expr)
		for _, annotation := range []string{"summary", "description"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", rule.Alert, annotation)
			}
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s has severity %q", rule.Alert, severity)
		}
	}
	used := map[string]bool{}
	for _, expression := range expressions {
		parsed, err := promQL.ParseExpr(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				used[selector.Name] = true
				if !slices.Contains(exported, selector.Name) {
					t.Errorf("%s: no exported-metrics*.txt has %s", expression, selector.Name)
				}
			}
			return nil
		})
	}
	for _, metric := range exported {
		if !used[metric] {
			t.Errorf("an exported-metrics*.txt has %s, which neither alerts nor dashboard use", metric)
		}
	}
}
