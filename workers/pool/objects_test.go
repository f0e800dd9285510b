package pool

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testPool is a pool as the API server's defaults make it.
func testPool(change func(*teapotv1.WorkerPool)) *teapotv1.WorkerPool {
	p := &teapotv1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "workers", UID: "8d1f2b1e-0000-4000-8000-000000000002", Generation: 1},
		Spec: teapotv1.WorkerPoolSpec{
			ControlPlaneName: "prod",
			Replicas:         ptr.To[int32](3),
			Version:          "v1.36.3",
			HostRequest: teapotv1.HostRequest{
				Image: teapotv1.Image{
					URL:      "https://images.example.com/node-v1.36.3.qcow2",
					Checksum: strings.Repeat("0", 64),
				},
				AutomatedCleaningMode: teapotv1.CleaningMetadata,
				ProvisioningTimeout:   "1h",
			},
			Strategy:    teapotv1.PoolStrategy{Type: teapotv1.RollingUpdate},
			Deletion:    teapotv1.PoolDeletion{NodeDrainTimeoutSeconds: 600, NodeVolumeDetachTimeoutSeconds: 300, NodeDeletionTimeoutSeconds: 60},
			Remediation: teapotv1.PoolRemediation{Enabled: ptr.To(true), UnhealthyTimeoutSeconds: 300, MaxUnhealthy: ptr.To(intstr.FromInt32(2))},
		},
	}
	if change != nil {
		change(p)
	}
	return p
}

func everything(p *teapotv1.WorkerPool) {
	p.Spec.HostSelector = teapotv1.HostSelector{MatchLabels: map[string]teapotv1.LabelValue{"example.com/rack": "r7"}}
	p.Spec.Hardware = teapotv1.HardwareRequirements{
		CPU:    teapotv1.CPURequirements{MinCount: 16, Architecture: "x86_64"},
		Memory: ptr.To(resource.MustParse("64Gi")),
		Disks:  teapotv1.DiskRequirements{MinSize: ptr.To(resource.MustParse("480G")), Type: "NVME"},
		GPUs:   teapotv1.GPURequirements{Model: "H100"},
	}
	p.Spec.Spread = []teapotv1.HostSpread{{TopologyKey: "example.com/rack", MaxPerDomain: 2}, {TopologyKey: "example.com/row"}}
	p.Spec.FailureDomain = "row-a"
	p.Spec.Labels = map[string]teapotv1.LabelValue{
		"example.com/tier":                      "gold",
		"disk":                                  "",
		"node-role.kubernetes.io/worker":        "",
		"node.cluster.x-k8s.io/pool":            "workers",
		"a.node-restriction.kubernetes.io/zone": "dmz",
	}
	p.Spec.Taints = []teapotv1.Taint{
		{Key: "example.com/gpu", Value: "h100", Effect: corev1.TaintEffectNoSchedule},
		{Key: "batch", Effect: corev1.TaintEffectPreferNoSchedule},
	}
	p.Spec.Bootstrap = teapotv1.PoolBootstrap{
		Files:                 []teapotv1.BootstrapFile{{Path: "/etc/sysctl.d/90-pool.conf", Content: "vm.max_map_count=262144\n", Owner: "root:root", Permissions: "0644"}},
		PreKubeadmCommands:    []string{"sysctl --system"},
		PostKubeadmCommands:   []string{"systemctl disable --now apt-daily.timer"},
		IgnorePreflightErrors: []string{"SystemVerification"},
	}
	p.Spec.Strategy.MaxSurge = ptr.To(intstr.FromString("25%"))
	p.Spec.Deletion = teapotv1.PoolDeletion{NodeDrainTimeoutSeconds: 60, NodeVolumeDetachTimeoutSeconds: 30, NodeDeletionTimeoutSeconds: 10}
	p.Spec.Remediation = teapotv1.PoolRemediation{Enabled: ptr.To(true), UnhealthyTimeoutSeconds: 120, MaxUnhealthy: ptr.To(intstr.FromString("40%"))}
	p.Spec.ProvisioningTimeout = "30m"
}

func autoscaled(p *teapotv1.WorkerPool) {
	everything(p)
	p.Spec.Replicas = nil
	p.Spec.Autoscaling = &teapotv1.PoolAutoscaling{MinReplicas: 0, MaxReplicas: 10}
}

// TestGolden shows what the API server is given, to be reviewed like code.
func TestGolden(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(*teapotv1.WorkerPool)
		offers      teapotv1.HostMachineTemplateStatus
		hibernation teapotv1.HibernatedWorkers
	}{
		"plain":                {},
		"everything-asked-for": {change: everything},
		"on-delete-without-remediation": {change: func(p *teapotv1.WorkerPool) {
			p.Spec.Strategy.Type = teapotv1.OnDelete
			p.Spec.Remediation.Enabled = ptr.To(false)
		}},
		"autoscaled-by-what-is-asked-for": {change: autoscaled},
		"autoscaled-by-what-hosts-have": {
			change: func(p *teapotv1.WorkerPool) {
				autoscaled(p)
				p.Annotations = map[string]string{
					gpuTypeAnnotation: "amd.com/gpu",
					optionsPrefix + "scaledownutilizationthreshold": "0.3",
					"example.com/note": "not the autoscaler's",
				}
			},
			offers: teapotv1.HostMachineTemplateStatus{
				Capacity: corev1.ResourceList{"cpu": resource.MustParse("32"), "memory": resource.MustParse("128Gi"), "ephemeral-storage": resource.MustParse("960G")},
				NodeInfo: teapotv1.NodeInfo{Architecture: "amd64", OperatingSystem: "linux"},
			},
		},
		"autoscaled-and-released": {change: autoscaled, hibernation: teapotv1.HibernatedWorkersRelease},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Pool: testPool(test.change), Cluster: "prod", Offers: test.offers, Hibernation: test.hibernation}
			templates, err := NewTemplates(in)
			if err != nil {
				t.Fatal(err)
			}
			objects := []any{templates.Bootstrap, templates.Infrastructure, NewMachineDeployment(in, templates)}
			if check := NewHealthCheck(in); check != nil {
				objects = append(objects, check)
			}
			golden(t, name, objects...)
		})
	}
	t.Run("cluster", func(t *testing.T) {
		cluster, infrastructure := NewCluster(&teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "prod"}})
		golden(t, "cluster", cluster, infrastructure)
	})
}

func golden(t *testing.T, name string, objects ...any) {
	t.Helper()
	var got bytes.Buffer
	for _, object := range objects {
		encoded, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n")
		got.Write(encoded)
	}
	path := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s differs (make golden rewrites it):\n%s", path, diff)
	}
}

// TestWhatMakesNewMachines: Cluster API replaces machines when a template's name or the version
// changes, and only what is on the machine's disk or about its host may do so.
func TestWhatMakesNewMachines(t *testing.T) {
	for name, test := range map[string]struct {
		change                    func(*teapotv1.WorkerPoolSpec)
		bootstrap, infrastructure bool
	}{
		"the image":          {change: func(s *teapotv1.WorkerPoolSpec) { s.Image.URL = "https://images.example.com/other" }, infrastructure: true},
		"the hardware":       {change: func(s *teapotv1.WorkerPoolSpec) { s.Hardware.CPU.MinCount = 4 }, infrastructure: true},
		"the spread":         {change: func(s *teapotv1.WorkerPoolSpec) { s.Spread = []teapotv1.HostSpread{{TopologyKey: "rack"}} }, infrastructure: true},
		"a label of its own": {change: func(s *teapotv1.WorkerPoolSpec) { s.Labels = map[string]teapotv1.LabelValue{"tier": "gold"} }, bootstrap: true},
		"a taint":            {change: func(s *teapotv1.WorkerPoolSpec) { s.Taints = []teapotv1.Taint{{Key: "a", Effect: "NoSchedule"}} }, bootstrap: true},
		"a command":          {change: func(s *teapotv1.WorkerPoolSpec) { s.Bootstrap.PreKubeadmCommands = []string{"true"} }, bootstrap: true},
		"a role": {change: func(s *teapotv1.WorkerPoolSpec) {
			s.Labels = map[string]teapotv1.LabelValue{"node-role.kubernetes.io/a": ""}
		}},
		"the number":           {change: func(s *teapotv1.WorkerPoolSpec) { s.Replicas = ptr.To[int32](5) }},
		"the version alone":    {change: func(s *teapotv1.WorkerPoolSpec) { s.Version = "v1.35.4" }},
		"time-outs":            {change: func(s *teapotv1.WorkerPoolSpec) { s.Deletion.NodeDrainTimeoutSeconds = 1 }},
		"how they are changed": {change: func(s *teapotv1.WorkerPoolSpec) { s.Strategy.Type = teapotv1.OnDelete }},
	} {
		t.Run(name, func(t *testing.T) {
			templatesOf := func(p *teapotv1.WorkerPool) Templates {
				templates, err := NewTemplates(Input{Pool: p, Cluster: "prod"})
				if err != nil {
					t.Fatal(err)
				}
				return templates
			}
			before := templatesOf(testPool(nil))
			after := templatesOf(testPool(func(p *teapotv1.WorkerPool) { test.change(&p.Spec) }))
			if got := before.Bootstrap.Name != after.Bootstrap.Name; got != test.bootstrap {
				t.Errorf("another KubeadmConfigTemplate: %v, want %v", got, test.bootstrap)
			}
			if got := before.Infrastructure.Name != after.Infrastructure.Name; got != test.infrastructure {
				t.Errorf("another HostMachineTemplate: %v, want %v", got, test.infrastructure)
			}
		})
	}
}

func TestStrategy(t *testing.T) {
	number, percent := func(n int32) *intstr.IntOrString { return ptr.To(intstr.FromInt32(n)) }, func(p string) *intstr.IntOrString { return ptr.To(intstr.FromString(p)) }
	for name, test := range map[string]struct {
		surge, unavailable         *intstr.IntOrString
		wantSurge, wantUnavailable string
	}{
		"nothing said: one goes before its successor comes": {nil, nil, "0", "1"},
		"no surge":                                 {number(0), nil, "0", "1"},
		"no surge, in percent":                     {percent("0%"), nil, "0%", "1"},
		"a host to spare: none goes missing":       {number(1), nil, "1", "0"},
		"a share of hosts to spare":                {percent("100%"), nil, "100%", "0"},
		"several may be missing":                   {nil, percent("25%"), "0", "25%"},
		"both":                                     {number(2), number(3), "2", "3"},
		"none may be missing, with hosts to spare": {number(1), number(0), "1", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strategy(teapotv1.PoolStrategy{Type: teapotv1.RollingUpdate, MaxSurge: test.surge, MaxUnavailable: test.unavailable}).RollingUpdate
			if got.MaxSurge.String() != test.wantSurge || got.MaxUnavailable.String() != test.wantUnavailable {
				t.Errorf("surge %s, unavailable %s; want %s, %s", got.MaxSurge, got.MaxUnavailable, test.wantSurge, test.wantUnavailable)
			}
		})
	}
}

// TestHealthCheckOutlastsProvisioning: a machine whose hosts take as long as they may is not
// replaced while it waits for the third.
func TestHealthCheckOutlastsProvisioning(t *testing.T) {
	for _, timeout := range []string{"5m", "1h", "24h"} {
		check := NewHealthCheck(Input{Pool: testPool(func(p *teapotv1.WorkerPool) { p.Spec.ProvisioningTimeout = timeout })})
		if got, least := *check.Spec.Checks.NodeStartupTimeoutSeconds, map[string]int32{"5m": 900, "1h": 10800, "24h": 259200}[timeout]; got <= least {
			t.Errorf("with %s for a host a machine is given %d s, want more than %d", timeout, got, least)
		}
	}
	if check := NewHealthCheck(Input{Pool: testPool(func(p *teapotv1.WorkerPool) { p.Spec.Remediation.Enabled = ptr.To(false) })}); check != nil {
		t.Errorf("with remediation off there is %+v", check)
	}
}
