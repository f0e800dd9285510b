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
gateway:
  domain: clusters.example.com
  externalAddress: "gateway.example.com:443"
  service:
    type: LoadBalancer
    port: 8443
    nodePort: 30443
    annotations: {example.org/a: b}
    loadBalancerIP: 192.0.2.2
    loadBalancerClass: example.org/lb
    loadBalancerSourceRanges: [192.0.2.0/24]
    externalTrafficPolicy: Local
    sessionAffinity: None
  proxyProtocolFrom: [192.0.2.0/24, "2001:db8::/32"]
  maxConnections: 100
  maxConnectionsPerTenant: 20
  extraArgs: [--vmodule=relay=4]
  replicas: 3
  image: {digest: "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"}
  podAnnotations: {example.org/a: b}
  podLabels: {example: label}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/component: gateway}}}]}}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]
  priorityClassName: system-cluster-critical
  podDisruptionBudget: {maxUnavailable: 34%}
  serviceAccount: {annotations: {example.org/a: b}}
  terminationGracePeriodSeconds: 3600
  networkPolicy: {apiServerCIDRs: [192.0.2.10/32], apiServerPorts: [16443]}
`

// longest is the longest prefix of names.
var longest = strings.Repeat("a", 47)

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
		"the longest names": "fullnameOverride: " + longest,
		"no gateway":        "gateway: {enabled: false}",
		"a gateway that something else is in front of": "gateway: {service: {type: ClusterIP, nodePort: 30443}}",
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
	const manager, gateway, deployment = "teapot-manager", "teapot-gateway", "Deployment"
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
		{name: "a long name", values: "fullnameOverride: " + longest, kind: "Role", object: longest + "-manager-leader-election", want: longest + "-manager\n  resources:\n  - leases"},
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
		{name: "what the manager tells users of the gateway", kind: deployment, object: manager, want: "--gateway-domain=teapot.internal\n        - --gateway-service=teapot-system/teapot-gateway\n", unwanted: "--gateway-address"},
		{name: "a gateway by another address", values: everything, kind: deployment, object: manager, want: "--gateway-domain=clusters.example.com\n        - --gateway-service=teapot-system/teapot-gateway\n        - --gateway-address=gateway.example.com:443\n"},
		{name: "a gateway by the names of control planes", values: "gateway: {externalAddress: '*.teapot.internal:8443'}", kind: deployment, object: manager, want: "--gateway-address=*.teapot.internal:8443\n"},
		{name: "a gateway by an IPv6 address", values: "gateway: {externalAddress: '[2001:db8::1]:8443'}", kind: deployment, object: manager, want: "--gateway-address=[2001:db8::1]:8443"},
		{name: "no gateway to tell of", values: "gateway: {enabled: false}", kind: deployment, object: manager, unwanted: "--gateway"},
		{name: "the right to read that Service", kind: "Role", object: manager + "-gateway", want: "resourceNames:\n  - teapot-gateway\n  resources:\n  - services\n  verbs:\n  - get\n"},
		{name: "the gateway's image by version", kind: deployment, object: gateway, want: "image: ghcr.io/teapot-cloud/teapot-gateway:v0.1.0\n"},
		{name: "the gateway's image by the manager's tag", values: "image: {tag: dev}", kind: deployment, object: gateway, want: "image: ghcr.io/teapot-cloud/teapot-gateway:dev\n"},
		{name: "the gateway's image by its own tag", values: "image: {tag: dev}\ngateway: {image: {tag: other, repository: example.org/gateway}}", kind: deployment, object: gateway, want: "image: example.org/gateway:other\n"},
		{name: "the gateway's image by digest, from one registry for all", values: everything, kind: deployment, object: gateway, want: "image: registry.example.com:5000/mirror/teapot-cloud/teapot-gateway@sha256:fedcba9876543210"},
		{name: "a pull secret of the gateway's", values: everything, kind: deployment, object: gateway, want: "imagePullSecrets:\n      - name: registry\n"},
		{name: "whose headers the gateway believes", values: everything, kind: deployment, object: gateway, want: "--proxy-protocol-from=192.0.2.0/24,2001:db8::/32\n"},
		{name: "nobody's headers", kind: deployment, object: gateway, want: "--listen=:6443\n        - --max-connections=20000\n        - --max-connections-per-tenant=1000\n", unwanted: "--proxy-protocol"},
		{name: "time to drain within the time to end", values: everything, kind: deployment, object: gateway, want: "--drain-timeout=3580s\n"},
		{name: "time to end", values: everything, kind: deployment, object: gateway, want: "terminationGracePeriodSeconds: 3600\n"},
		{name: "no metrics of the gateway's", values: "metrics: {enabled: false}", kind: deployment, object: gateway, want: "--metrics-bind-address=0\n", unwanted: "containerPort: 8080"},
		{name: "gateways spread over nodes", kind: deployment, object: gateway, want: "topologyKey: kubernetes.io/hostname\n        whenUnsatisfiable: ScheduleAnyway\n"},
		{name: "gateways spread otherwise", values: everything, kind: deployment, object: gateway, want: "topologyKey: topology.kubernetes.io/zone\n", unwanted: "ScheduleAnyway"},
		{name: "one gateway serves before another ends", kind: deployment, object: gateway, want: "maxSurge: 1\n      maxUnavailable: 0\n"},
		{name: "users' way in by a node port", kind: "Service", object: gateway, want: "- name: tls\n    port: 443\n    protocol: TCP\n    targetPort: tls\n", unwanted: "nodePort:"},
		{name: "users' way in by a node port that stays", values: "gateway: {service: {nodePort: 30443}}", kind: "Service", object: gateway, want: "nodePort: 30443\n    port: 443\n"},
		{name: "users' way in by a load balancer", values: everything, kind: "Service", object: gateway, want: "externalTrafficPolicy: Local\n  ipFamilyPolicy: PreferDualStack\n  loadBalancerClass: example.org/lb\n  loadBalancerIP: 192.0.2.2\n  loadBalancerSourceRanges:\n  - 192.0.2.0/24\n"},
		{name: "fields of load balancers for load balancers", values: strings.ReplaceAll(everything, "type: LoadBalancer", "type: NodePort"), kind: "Service", object: gateway, want: "sessionAffinity: None\n", unwanted: "loadBalancer"},
		{name: "users' way in by something else", values: "gateway: {service: {type: ClusterIP, nodePort: 30443}}", kind: "Service", object: gateway, want: "type: ClusterIP\n", unwanted: "nodePort"},
		{name: "a budget for gateways", values: everything, kind: "PodDisruptionBudget", object: gateway, want: "maxUnavailable: 34%\n"},
		{name: "an API server where it is", values: everything, kind: "NetworkPolicy", object: gateway, want: "- ports:\n    - port: 16443\n      protocol: TCP\n    to:\n    - ipBlock:\n        cidr: 192.0.2.10/32\n", unwanted: "port: 443"},
		{name: "a scrape of the gateway", values: everything, kind: "ServiceMonitor", object: gateway, want: "endpoints:\n  - interval: 30s\n    port: metrics\n    scrapeTimeout: 10s\n", unwanted: "token"},
		{name: "where that scrape finds it", values: everything, kind: "Service", object: gateway + "-metrics", want: "app.kubernetes.io/component: gateway\n"},
		{name: "a gateway with a service account that exists", values: "gateway: {serviceAccount: {create: false, name: mine}}", kind: "ValidatingAdmissionPolicy", object: gateway + "-leases", want: "'system:serviceaccount:teapot-system:mine'"},
		{name: "rights of that service account", values: "gateway: {serviceAccount: {create: false, name: mine}}", kind: "ClusterRoleBinding", object: gateway, want: "name: mine\n"},
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
	const manager, gateway = "teapot-manager", "teapot-gateway"
	for _, tt := range []struct {
		values, kind string
		objects      []string // none: any of the kind
	}{
		{"", "PodDisruptionBudget", []string{manager}},
		{"", "ServiceMonitor", nil},
		{"", "PrometheusRule", nil},
		{"", "ConfigMap", nil},
		{"metrics: {service: {enabled: false}}", "Service", []string{manager + "-metrics", gateway + "-metrics"}},
		{"metrics: {enabled: false}", "Service", []string{manager + "-metrics", gateway + "-metrics"}},
		{"crds: {install: false}", "CustomResourceDefinition", nil},
		{"networkPolicy: {enabled: false}", "NetworkPolicy", nil},
		{"rbac: {create: false, userRoles: false}", "ClusterRole", nil},
		{"rbac: {create: false, userRoles: false}", "Role", nil},
		{"serviceAccount: {create: false, name: mine}", "ServiceAccount", []string{manager}},
		{"leaderElection: {enabled: false}", "Role", []string{manager + "-leader-election"}},
		{"admissionPolicy: {enabled: false}", "ValidatingAdmissionPolicy", nil},
		{"gateway: {replicas: 1}", "PodDisruptionBudget", nil},
		{"gateway: {podDisruptionBudget: {enabled: false}}", "PodDisruptionBudget", nil},
		{"gateway: {serviceAccount: {create: false, name: mine}}", "ServiceAccount", []string{gateway}},
		{"metrics: {serviceMonitor: {enabled: true}}\ngateway: {enabled: false}", "ServiceMonitor", []string{gateway}},
	} {
		for _, object := range render.Objects(t, tt.values) {
			if object.GetKind() == tt.kind && (len(tt.objects) == 0 || slices.Contains(tt.objects, object.GetName())) {
				t.Errorf("%s: %s %s is rendered", tt.values, object.GetKind(), object.GetName())
			}
		}
	}
	for _, object := range render.Objects(t, "gateway: {enabled: false}") {
		if object.GetKind() != "CustomResourceDefinition" && strings.Contains(object.GetName(), "gateway") {
			t.Errorf("without a gateway %s %s is rendered", object.GetKind(), object.GetName())
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
		{"fullnameOverride: " + longest + "a", "/fullnameOverride': maxLength"},
		{"gateway: {domain: Teapot}", "/gateway/domain'"},
		{"gateway: {domain: teapot.internal.}", "/gateway/domain'"},
		{"gateway: {externalAddress: https://gateway.example.com}", "/gateway/externalAddress'"},
		{"gateway: {externalAddress: 'a.*.example.com'}", "/gateway/externalAddress'"},
		{"gateway: {service: {type: ExternalName}}", "/gateway/service/type'"},
		{"gateway: {service: {port: 0}}", "/gateway/service/port': minimum"},
		{"gateway: {service: {nodePort: 65536}}", "/gateway/service/nodePort': maximum"},
		{"gateway: {service: {loadBalancerIP: gateway.example.com}}", "/gateway/service/loadBalancerIP'"},
		{"gateway: {service: {externalTrafficPolicy: Any}}", "/gateway/service/externalTrafficPolicy'"},
		{"gateway: {service: {sessionAffinity: Cookie}}", "/gateway/service/sessionAffinity'"},
		{"gateway: {proxyProtocolFrom: [192.0.2.1]}", "/gateway/proxyProtocolFrom/0'"},
		{"gateway: {maxConnectionsPerTenant: 0}", "/gateway/maxConnectionsPerTenant': minimum"},
		{"gateway: {terminationGracePeriodSeconds: 20}", "/gateway/terminationGracePeriodSeconds': minimum"},
		{"gateway: {networkPolicy: {apiServerPorts: []}}", "/gateway/networkPolicy/apiServerPorts': minItems"},
		{"gateway: {resources: {limits: {memory: 1 GB}}}", "/gateway/resources/limits/memory'"},
		{"gateway: {affinity: {podAffinities: {}}}", "/gateway/affinity': additional properties"},
		{"gateway: {serviceAccount: {create: false}}", "gateway.serviceAccount.name: must name an existing service account"},
	} {
		out, err := render.Template(t, tt.values)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v %s, want %q", tt.values, err, out, tt.want)
		}
	}
}
