package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/gateway/proxy"
	"github.com/teapot-cloud/teapot/gateway/routes"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
)

// TestAlertsAndDashboard are checked by Prometheus' own code, in the module promrules.
func TestAlertsAndDashboard(t *testing.T) {
	render.Dir(t) // so that a change of the files is noticed
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	command.Dir = filepath.Join(apiserver.Root(t), "test", "chart", "promrules")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheGatewaysMetrics: those that the alerts ask for are there from the start, so that a rate of one
// misses nothing.
func TestTheGatewaysMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	proxy.NewMetrics(registry).Routes(registry, routes.NewTable())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, family := range families {
		exported[family.GetName()] = true
		if family.GetType() == dto.MetricType_HISTOGRAM {
			exported[family.GetName()+"_count"], exported[family.GetName()+"_bucket"] = true, true
		}
	}
	wanted, err := os.ReadFile(filepath.Join(apiserver.Root(t), "test", "chart", "promrules", "exported-metrics-gateway.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(wanted)) {
		if !exported[name] {
			t.Errorf("the gateway exports no %s", name)
		}
	}
}

// TestTheFilesAreRendered whole, and the alerts for the release's own namespace.
func TestTheFilesAreRendered(t *testing.T) {
	objects := render.Objects(t, everything, "--namespace", "elsewhere")
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(render.Dir(t), "files", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	var rule struct {
		Spec any `json:"spec"`
	}
	var alerts any
	if err := yaml.Unmarshal([]byte(find(t, objects, "PrometheusRule", "teapot-manager")), &rule); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(read("alerts.yaml"), "teapot-system", "elsewhere")), &alerts); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alerts, rule.Spec); diff != "" {
		t.Errorf("alerts (-file +rendered):\n%s", diff)
	}

	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal([]byte(find(t, objects, "ConfigMap", "teapot-dashboard")), &configMap); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(read("dashboard.json")), strings.TrimSpace(configMap.Data["teapot.json"])); diff != "" {
		t.Errorf("dashboard (-file +rendered):\n%s", diff)
	}
}
