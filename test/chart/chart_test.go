// Package chart tests charts/teapot: what Helm renders, what it refuses, that a real API
// server accepts it and that its roles give what they say.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

const (
	namespace   = "teapot-system"
	kubeVersion = "v1.36.3"
	// everything turns on all that is off by default.
	everything = `
replicas: 2
commonLabels: {team: platform}
nodePortAddress: 192.0.2.1
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
metrics: {service: {annotations: {prometheus.io/scrape: "true"}}, serviceMonitor: {enabled: true, labels: {release: prometheus}}}
`
)

func TestLint(t *testing.T) {
	if out, err := helm(t, "", "lint", "--strict", chartDir(t)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestRenderedIsAccepted by the API server, field by field.
func TestRenderedIsAccepted(t *testing.T) {
	c := newClient(t, apiserver.Config(t))
	ensureNamespace(t, c)
	for name, values := range map[string]string{"defaults": "", "everything": everything} {
		t.Run(name, func(t *testing.T) {
			for _, object := range render(t, values) {
				if object.GetKind() == "ServiceMonitor" {
					continue // the Prometheus operator's kind is not installed here
				}
				id := object.GetKind() + " " + object.GetName()
				if object.GetKind() != "CustomResourceDefinition" { // installed already, from the same file
					if err := c.Create(t.Context(), object.DeepCopy(), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				} else if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
					t.Errorf("%s: uninstalling the chart would delete it and every control plane", id)
				}
				if object.GetLabels()["app.kubernetes.io/part-of"] != "teapot" {
					t.Errorf("%s: lacks the standard labels: %v", id, object.GetLabels())
				}
				if object.GetKind() == "Deployment" {
					var deployment appsv1.Deployment
					if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &deployment, true); err != nil {
						t.Fatal(err)
					}
					// The namespace enforces Pod Security restricted.
					pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
					pod.Namespace, pod.Name = namespace, "manager"
					if err := c.Create(t.Context(), pod, client.DryRunAll); err != nil {
						t.Errorf("a pod of %s: %v", id, err)
					}
				}
			}
		})
	}
}

func TestWhatIsRendered(t *testing.T) {
	for _, tt := range []struct{ name, values, kind, object, want, unwanted string }{
		{name: "image by version", kind: "Deployment", object: "teapot-manager", want: "image: ghcr.io/teapot-cloud/teapot-manager:v0.1.0\n"},
		{name: "image by tag", values: "image: {repository: example.org/manager, tag: dev}", kind: "Deployment", object: "teapot-manager", want: "image: example.org/manager:dev\n"},
		{name: "image by digest", values: everything, kind: "Deployment", object: "teapot-manager", want: "image: ghcr.io/teapot-cloud/teapot-manager@sha256:0123456789abcdef"},
		{name: "a mirror", values: "imageRepository: mirror.example.org/k8s", kind: "Deployment", object: "teapot-manager", want: "--image-repository=mirror.example.org/k8s", unwanted: "--node-port-address"},
		{name: "an address", values: everything, kind: "Deployment", object: "teapot-manager", want: "--node-port-address=192.0.2.1"},
		{name: "CRDs not kept", values: "crds: {keep: false}", kind: "CustomResourceDefinition", object: "tenantcontrolplanes.teapot.dev", unwanted: "resource-policy"},
		{name: "a budget for two", values: "replicas: 2", kind: "PodDisruptionBudget", object: "teapot-manager", want: "maxUnavailable: 1"},
		{name: "a long name", values: "fullnameOverride: " + strings.Repeat("a", 50), kind: "Role", object: strings.Repeat("a", 50) + "-manager-leader-election", want: "leases"},
		{name: "a service account that exists", values: "serviceAccount: {create: false, name: mine}", kind: "Deployment", object: "teapot-manager", want: "serviceAccountName: mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, found := "", false
			for _, object := range render(t, tt.values) {
				if object.GetKind() == tt.kind && object.GetName() == tt.object {
					data, err := yaml.Marshal(object)
					if err != nil {
						t.Fatal(err)
					}
					text, found = string(data), true
				}
			}
			switch {
			case !found:
				t.Fatalf("no %s %s is rendered", tt.kind, tt.object)
			case !strings.Contains(text, tt.want):
				t.Errorf("lacks %q:\n%s", tt.want, text)
			case tt.unwanted != "" && strings.Contains(text, tt.unwanted):
				t.Errorf("has %q:\n%s", tt.unwanted, text)
			}
		})
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	for _, tt := range []struct{ values, kind string }{
		{"", "PodDisruptionBudget"},
		{"", "Service"},
		{"", "ServiceMonitor"},
		{"crds: {install: false}", "CustomResourceDefinition"},
		{"networkPolicy: {enabled: false}", "NetworkPolicy"},
		{"rbac: {create: false, userRoles: false}", "ClusterRole"},
		{"serviceAccount: {create: false, name: mine}", "ServiceAccount"},
		{"leaderElection: {enabled: false}", "Role"},
	} {
		for _, object := range render(t, tt.values) {
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
		{"image: {tag: a/b}", "/image/tag'"},
		{"image: {digest: abc}", "/image/digest'"},
		{"image: {pullPolicy: Sometimes}", "/image/pullPolicy'"},
		{"resources: {limits: {memory: 1 GB}}", "/resources/limits/memory'"},
		{"extraArgs: [v]", "/extraArgs/0'"},
		{"maxConcurrentReconciles: 0", "/maxConcurrentReconciles': minimum"},
		{"replicas: 2\nleaderElection: {enabled: false}", "replicas: more than one needs leaderElection.enabled true"},
		{"serviceAccount: {create: false}", "serviceAccount.name: must name an existing service account"},
	} {
		out, err := template(t, tt.values)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v %s, want %q", tt.values, err, out, tt.want)
		}
	}
}

// TestRoles asks the API server what each role allows.
func TestRoles(t *testing.T) {
	admin := newClient(t, apiserver.Config(t))
	ensureNamespace(t, admin)
	for _, object := range render(t, "") {
		if object.GetKind() != "ClusterRole" {
			continue
		}
		create(t, admin, object)
		create(t, admin, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "test-" + object.GetName()},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: object.GetName()},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: object.GetName()}},
		})
	}
	const viewer, editor, operator, manager = "teapot-tenant-view", "teapot-tenant-edit", "teapot-operator", "teapot-manager"
	for _, tt := range []struct {
		verb, group, resource, subresource string
		allowed                            []string
	}{
		{"list", "teapot.dev", "tenantcontrolplanes", "", []string{viewer, editor, operator, manager}},
		{"create", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"delete", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"update", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator}},
		{"patch", "teapot.dev", "tenantcontrolplanes", "", []string{editor, operator, manager}},
		{"update", "teapot.dev", "tenantcontrolplanes", "scale", []string{editor, operator}},
		{"patch", "teapot.dev", "tenantcontrolplanes", "status", []string{manager}},
		{"update", "teapot.dev", "tenantcontrolplanes", "status", nil},
		{"update", "teapot.dev", "tenantcontrolplanes", "finalizers", []string{manager}},
		{"override", "teapot.dev", "tenantcontrolplanes", "", []string{operator}},
		{"get", "", "secrets", "", []string{manager}},
		{"create", "", "pods", "", nil},
		{"create", "", "pods", "exec", nil},
		{"create", "", "pods", "portforward", []string{operator}},
		{"get", "", "pods", "log", []string{operator}},
		{"create", "", "serviceaccounts", "token", nil},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", nil},
		{"create", "rbac.authorization.k8s.io", "rolebindings", "", nil},
		{"impersonate", "", "users", "", nil},
		{"delete", "", "nodes", "", nil},
	} {
		for _, user := range []string{viewer, editor, operator, manager} {
			want := false
			for _, name := range tt.allowed {
				want = want || name == user
			}
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: tt.verb, Group: tt.group, Resource: tt.resource, Subresource: tt.subresource,
				},
			}}
			// The authorizer hears of new roles by a watch.
			deadline := time.Now().Add(5 * time.Second)
			for {
				if err := admin.Create(t.Context(), review); err != nil {
					t.Fatal(err)
				}
				if review.Status.Allowed == want || time.Now().After(deadline) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if review.Status.Allowed != want {
				t.Errorf("%s may %s %s.%s/%s: %v, want %v", user, tt.verb, tt.resource, tt.group, tt.subresource, review.Status.Allowed, want)
			}
		}
	}

	t.Run("a tenant", func(t *testing.T) {
		config := apiserver.Config(t)
		config.Impersonate = rest.ImpersonationConfig{UserName: editor}
		tenant := newClient(t, config)
		plane := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}}
		plane.Spec.Version = "v1.36.3"
		if err := tenant.Create(t.Context(), plane); err != nil {
			t.Fatal(err)
		}
		plane.Status.Version = "v1.36.3"
		if err := tenant.Status().Update(t.Context(), plane); !apierrors.IsForbidden(err) {
			t.Errorf("writing the status: got %v, want it forbidden", err)
		}
		if err := tenant.Delete(t.Context(), plane); err != nil {
			t.Error(err)
		}
	})
}

// TestLifeOfARelease: control planes outlive the chart, and a new installation finds them.
func TestLifeOfARelease(t *testing.T) {
	c := newClient(t, apiserver.Config(t))
	ensureNamespace(t, c)
	t.Setenv("KUBECONFIG", apiserver.Kubeconfig(t))
	run := func(args ...string) {
		t.Helper()
		if out, err := helm(t, "", append(args, "--namespace", namespace)...); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	plane := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "survivor"}}
	plane.Spec.Version = "v1.36.3"
	exists := func(object client.Object, want bool) {
		t.Helper()
		err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) == want || client.IgnoreNotFound(err) != nil {
			t.Fatalf("%T %s exists: %v, want %v", object, object.GetName(), err, want)
		}
	}
	manager := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "teapot-manager"}}

	// The test's API server has the CRDs already, as another tool may have put them there.
	run("install", "teapot", chartDir(t), "--take-ownership")
	create(t, c, plane)
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), plane); err != nil {
			t.Error(err)
		}
	})
	exists(manager, true)

	run("upgrade", "teapot", chartDir(t), "--set", "replicas=2,image.tag=v0.1.1")
	exists(manager, true)
	if image := manager.Spec.Template.Spec.Containers[0].Image; image != "ghcr.io/teapot-cloud/teapot-manager:v0.1.1" {
		t.Errorf("after the upgrade the image is %s", image)
	}
	exists(plane, true)

	run("uninstall", "teapot")
	exists(manager, false)
	exists(plane, true)

	run("install", "teapot", chartDir(t))
	exists(manager, true)
	exists(plane, true)
	run("uninstall", "teapot")
}

// chartDir returns the chart's folder. Helm reads it in a process of its own; it is walked
// here too, so that `go test` knows not to answer from its cache when a file has changed.
func chartDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(apiserver.Root(t), "charts", "teapot")
	if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// helm runs the Helm that the environment variable HELM names.
func helm(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	binary := os.Getenv("HELM")
	if binary == "" {
		t.Fatal("HELM is not set, and Helm v3 is needed: run the tests with `make test`, which builds it, or set HELM to a helm")
	}
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	if pathError := (*exec.Error)(nil); errors.As(err, &pathError) || errors.Is(err, os.ErrNotExist) {
		t.Fatalf("HELM=%s: %v", binary, err)
	}
	return string(out), err
}

func template(t *testing.T, values string) (string, error) {
	t.Helper()
	return helm(t, values, "template", "teapot", chartDir(t), "--namespace", namespace, "--kube-version", kubeVersion, "--values", "-")
}

func render(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	out, err := template(t, values)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(out)), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, teapotv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ensureNamespace(t *testing.T, c client.Client) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := c.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(fmt.Errorf("creating %s: %w", object.GetName(), err))
	}
}
