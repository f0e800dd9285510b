package chart

import (
	"cmp"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/render"
)

// everything turns on all that is off by default.
const everything = `
replicas: 2
commonLabels: {team: platform}
global: {imageRegistry: "registry.example.com:5000/mirror"}
watchNamespaces: [acme, globex]
nodePortAddress: 192.0.2.1
logFormat: json
logVerbosity: 2
extraArgs: [--vmodule=tenant=4]
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: registry}]
podAnnotations: {example.org/a: b}
podLabels: {example: label}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/name: teapot}}}
topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app.kubernetes.io/name: teapot}}}
priorityClassName: system-cluster-critical
resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, memory: 2Gi}}
serviceAccount: {annotations: {example.org/a: b}}
metrics:
  tls: {secretName: metrics-certificate}
  service: {annotations: {prometheus.io/scrape: "true"}}
  serviceMonitor: {enabled: true, labels: {release: prometheus}, tokenSecret: {name: metrics-token}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  dashboard: {enabled: true, annotations: {grafana_folder: Teapot}}
`

func TestLint(t *testing.T) {
	if out, err := render.Helm(t, "", "lint", "--strict", render.Dir(t)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestRenderedIsAccepted by a server-side dry run, field by field.
func TestRenderedIsAccepted(t *testing.T) {
	config := apiserver.Config(t)
	installPrometheusOperatorCRDs(t, config)
	c := newClient(t, config)
	ensureNamespace(t, c)
	for name, values := range map[string]string{
		"defaults":   "",
		"everything": everything,
		"Prometheus' own token and an unknown certificate": "metrics: {serviceMonitor: {enabled: true}}",
	} {
		t.Run(name, func(t *testing.T) {
			for _, object := range render.Objects(t, values) {
				id := object.GetKind() + " " + object.GetName()
				applied, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.ApplyPatchType, applied), client.DryRunAll,
					client.FieldOwner("test"), client.ForceOwnership, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				if labels := object.GetLabels(); labels["app.kubernetes.io/part-of"] != "teapot" || values == everything && labels["team"] != "platform" {
					t.Errorf("%s: lacks the standard or common labels: %v", id, labels)
				}
				switch object.GetKind() {
				case "CustomResourceDefinition":
					if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
						t.Errorf("%s: uninstalling the chart would delete it and every control plane", id)
					}
				case "Deployment":
					if err := c.Create(t.Context(), podOf(t, object), client.DryRunAll); err != nil {
						t.Errorf("a pod of %s: %v", id, err)
					}
				}
			}
		})
	}
}

// podOf is a pod of a Deployment's, for the namespace that enforces Pod Security restricted.
func podOf(t *testing.T, object *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &deployment, true); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	pod.Namespace, pod.Name = namespace, "manager"
	return pod
}

// installPrometheusOperatorCRDs installs upstream's own, so that what is rendered of its kinds
// is checked by their schema. Their Go module is downloaded, not compiled.
func installPrometheusOperatorCRDs(t *testing.T, config *rest.Config) {
	t.Helper()
	const module = "github.com/prometheus-operator/prometheus-operator"
	directory := filepath.Join(apiserver.Root(t), "test", "chart", "prometheus-operator")
	for _, args := range [][]string{{"mod", "download", module}, {"list", "-m", "-f", "{{.Dir}}", module}} {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir = directory
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		directory = cmp.Or(strings.TrimSpace(string(out)), directory)
	}
	crds := filepath.Join(directory, "example", "prometheus-operator-crd")
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{ErrorIfPathMissing: true, Paths: []string{
		filepath.Join(crds, "monitoring.coreos.com_servicemonitors.yaml"),
		filepath.Join(crds, "monitoring.coreos.com_prometheusrules.yaml"),
	}}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsRendered(t *testing.T) {
	const manager, deployment = "teapot-manager", "Deployment"
	for _, tt := range []struct{ name, values, kind, object, want, unwanted string }{
		{name: "image by version", kind: deployment, object: manager, want: "image: ghcr.io/teapot-cloud/teapot-manager:v0.1.0\n"},
		{name: "image by tag", values: "image: {repository: example.org/manager, tag: dev}", kind: deployment, object: manager, want: "image: example.org/manager:dev\n"},
		{name: "image by digest, from one registry for all", values: everything, kind: deployment, object: manager, want: "image: registry.example.com:5000/mirror/teapot-cloud/teapot-manager@sha256:0123456789abcdef"},
		{name: "an image without a registry, from one for all", values: "image: {repository: teapot/manager}\nglobal: {imageRegistry: localhost}", kind: deployment, object: manager, want: "image: localhost/teapot/manager:v0.1.0\n"},
		{name: "control planes' images from one registry for all", values: everything, kind: deployment, object: manager, want: "--image-repository=registry.example.com:5000/mirror\n"},
		{name: "a mirror, moved to one registry for all", values: "imageRepository: mirror.example.org/k8s\nglobal: {imageRegistry: example.com}", kind: deployment, object: manager, want: "--image-repository=example.com/k8s\n"},
		{name: "a mirror", values: "imageRepository: mirror.example.org/k8s", kind: deployment, object: manager, want: "--image-repository=mirror.example.org/k8s\n", unwanted: "--node-port-address"},
		{name: "an address", values: everything, kind: deployment, object: manager, want: "--node-port-address=192.0.2.1"},
		{name: "a pull secret", values: everything, kind: deployment, object: manager, want: "imagePullSecrets:\n      - name: registry\n"},
		{name: "namespaces", values: everything, kind: deployment, object: manager, want: "--watch-namespaces=acme,globex\n"},
		{name: "all namespaces", kind: deployment, object: manager, unwanted: "--watch-namespaces"},
		{name: "log lines", values: everything, kind: deployment, object: manager, want: "- --log-format=json\n        - -v=2\n        - --vmodule=tenant=4\n"},
		{name: "resources", values: everything, kind: deployment, object: manager, want: "limits:\n            cpu: 2\n            memory: 2Gi\n          requests:\n            cpu: 1\n            memory: 1Gi\n"},
		{name: "common labels of pods", values: everything, kind: deployment, object: manager, want: "\n        team: platform\n"},
		{name: "CRDs not kept", values: "crds: {keep: false}", kind: "CustomResourceDefinition", object: "tenantcontrolplanes.teapot.dev", unwanted: "resource-policy"},
		{name: "labels by which Cluster API knows CRDs", kind: "CustomResourceDefinition", object: "tenantcontrolplanes.teapot.dev", want: "cluster.x-k8s.io/v1beta2: v1alpha1\n"},
		{name: "a budget for two", values: "replicas: 2", kind: "PodDisruptionBudget", object: manager, want: "maxUnavailable: 1"},
		{name: "a long name", values: "fullnameOverride: " + strings.Repeat("a", 50), kind: "Role", object: strings.Repeat("a", 50) + "-manager-leader-election", want: strings.Repeat("a", 50) + "-manager\n  resources:\n  - leases"},
		{name: "a lease of its own for each installation", values: "fullnameOverride: second", kind: deployment, object: "second-manager", want: "--leader-election-id=second-manager\n"},
		{name: "a service account that exists", values: "serviceAccount: {create: false, name: mine}", kind: deployment, object: manager, want: "serviceAccountName: mine"},
		{name: "metrics with a certificate made at start", kind: deployment, object: manager, want: "--metrics-bind-address=:8443\n", unwanted: "metrics-cert"},
		{name: "metrics with a certificate of a Secret", values: everything, kind: deployment, object: manager, want: "--metrics-cert-dir=/metrics-certificate\n"},
		{name: "that Secret", values: everything, kind: deployment, object: manager, want: "secretName: metrics-certificate\n"},
		{name: "no metrics", values: "metrics: {enabled: false}", kind: deployment, object: manager, want: "--metrics-bind-address=0\n", unwanted: "containerPort: 8443"},
		{name: "no metrics, no rights for them", values: "metrics: {enabled: false}", kind: "ClusterRole", object: manager, unwanted: "tokenreviews"},
		{name: "no metrics, no way to them", values: "metrics: {enabled: false}", kind: "NetworkPolicy", object: manager, unwanted: "port: metrics"},
		{name: "a scrape that trusts the Secret's authority", values: everything, kind: "ServiceMonitor", object: manager, want: "serverName: teapot-manager-metrics.teapot-system.svc\n", unwanted: "insecureSkipVerify"},
		{name: "a scrape with a token of a Secret", values: everything, kind: "ServiceMonitor", object: manager, want: "name: metrics-token\n", unwanted: "bearerTokenFile"},
		{name: "a scrape that keeps the control plane's namespace", values: everything, kind: "ServiceMonitor", object: manager, want: "honorLabels: true\n"},
		{name: "a dashboard for Grafana's sidecar", values: everything, kind: "ConfigMap", object: "teapot-dashboard", want: "grafana_dashboard: \"1\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := find(t, render.Objects(t, tt.values), tt.kind, tt.object)
			if !strings.Contains(text, tt.want) {
				t.Errorf("lacks %q:\n%s", tt.want, text)
			}
			if tt.unwanted != "" && strings.Contains(text, tt.unwanted) {
				t.Errorf("has %q:\n%s", tt.unwanted, text)
			}
		})
	}
}

// find returns an object's YAML.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) string {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	if i < 0 {
		t.Fatalf("no %s %s is rendered", kind, name)
	}
	data, err := yaml.Marshal(objects[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWhatIsLeftOut(t *testing.T) {
	for _, tt := range []struct{ values, kind string }{
		{"", "PodDisruptionBudget"},
		{"", "ServiceMonitor"},
		{"", "PrometheusRule"},
		{"", "ConfigMap"},
		{"metrics: {service: {enabled: false}}", "Service"},
		{"metrics: {enabled: false}", "Service"},
		{"crds: {install: false}", "CustomResourceDefinition"},
		{"networkPolicy: {enabled: false}", "NetworkPolicy"},
		{"rbac: {create: false, userRoles: false}", "ClusterRole"},
		{"serviceAccount: {create: false, name: mine}", "ServiceAccount"},
		{"leaderElection: {enabled: false}", "Role"},
	} {
		for _, object := range render.Objects(t, tt.values) {
			if object.GetKind() == tt.kind {
				t.Errorf("%s: %s %s is rendered", tt.values, object.GetKind(), object.GetName())
			}
		}
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	for _, tt := range []struct{ values, want string }{
		{"replica: 2", "additional properties 'replica' not allowed"},
		{"metrics: {servicemonitor: {enabled: true}}", "/metrics': additional properties 'servicemonitor' not allowed"},
		{"replicas: two", "/replicas'"},
		{"replicas: 9", "/replicas': maximum"},
		{"nodePortAddress: node.example.org", "/nodePortAddress'"},
		{"imageRepository: https://registry.k8s.io", "/imageRepository'"},
		{"global: {imageRegistry: https://registry.example.com}", "/global/imageRegistry'"},
		{"commonLabels: {app.kubernetes.io/name: mine}", "invalid propertyName 'app.kubernetes.io/name'"},
		{"watchNamespaces: [Acme]", "/watchNamespaces/0'"},
		{"watchNamespaces: acme", "/watchNamespaces'"},
		{"logFormat: xml", "/logFormat'"},
		{"image: {tag: a/b}", "/image/tag'"},
		{"image: {digest: abc}", "/image/digest'"},
		{"image: {pullPolicy: Sometimes}", "/image/pullPolicy'"},
		{"resources: {limits: {memory: 1 GB}}", "/resources/limits/memory'"},
		{"extraArgs: [v]", "/extraArgs/0'"},
		{"maxConcurrentReconciles: 0", "/maxConcurrentReconciles': minimum"},
		{"metrics: {tls: {secretName: A_B}}", "/metrics/tls/secretName'"},
		{"metrics: {enabled: false, dashboard: {enabled: true}}", "metrics.enabled: is false"},
		{"replicas: 2\nleaderElection: {enabled: false}", "replicas: more than one needs leaderElection.enabled true"},
		{"serviceAccount: {create: false}", "serviceAccount.name: must name an existing service account"},
	} {
		out, err := render.Template(t, tt.values)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v %s, want %q", tt.values, err, out, tt.want)
		}
	}
}
