package cli

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"net/http"

	"github.com/google/go-cmp/cmp"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestCreateManifest(t *testing.T) {
	for _, test := range []struct {
		name, args, want string
	}{
		{name: "nothing asked for", want: `
apiVersion: teapot.dev/v1alpha1
kind: TenantControlPlane
metadata:
  name: acme
spec:
  version: v1.36.3
`},
		{name: "a namespace asked for, a version without v", args: "-n tenants --kubernetes-version 1.35.4", want: `
apiVersion: teapot.dev/v1alpha1
kind: TenantControlPlane
metadata:
  name: acme
  namespace: tenants
spec:
  version: v1.35.4
`},
		{
			name: "everything",
			args: "--replicas 3 --endpoint-type loadbalancer --host api.example.com --port 443 --konnectivity-port 8132" +
				" --san a.example.com --san 192.0.2.1,b.example.com --service-cidr 10.0.0.0/16 --pod-cidr 10.1.0.0/16 --dns-domain acme.local" +
				" --etcd-members 3 --etcd-storage-size 20Gi --etcd-storage-class fast --no-coredns --no-kube-proxy --no-konnectivity" +
				" --requests kube-apiserver=cpu=500m,memory=1Gi --requests etcd=cpu=1 --limits etcd=memory=2Gi" +
				" --runtime-class kata --deletion-policy retain --labels team=red",
			want: `
apiVersion: teapot.dev/v1alpha1
kind: TenantControlPlane
metadata:
  labels:
    team: red
  name: acme
spec:
  addons:
    coreDNS:
      enabled: false
    konnectivity:
      enabled: false
    kubeProxy:
      enabled: false
  components:
    apiServer:
      resources:
        requests:
          cpu: 500m
          memory: 1Gi
    etcd:
      resources:
        limits:
          memory: 2Gi
        requests:
          cpu: "1"
  datastore:
    etcd:
      members: 3
      storageClassName: fast
      storageSize: 20Gi
  deletionPolicy: Retain
  endpoint:
    host: api.example.com
    konnectivityPort: 8132
    port: 443
    subjectAltNames:
    - a.example.com
    - 192.0.2.1
    - b.example.com
    type: LoadBalancer
  network:
    dnsDomain: acme.local
    podCIDR: 10.1.0.0/16
    serviceCIDR: 10.0.0.0/16
  replicas: 3
  runtimeClassName: kata
  version: v1.36.3
`,
		},
		{name: "asleep when it is not used, and at first", args: "--idle-after 90m --hibernated", want: `
apiVersion: teapot.dev/v1alpha1
kind: TenantControlPlane
metadata:
  name: acme
spec:
  hibernation:
    enabled: true
    idleAfter: 1h30m0s
  version: v1.36.3
`},
		{name: "an add-on asked for explicitly", args: "--no-coredns=false", want: `
apiVersion: teapot.dev/v1alpha1
kind: TenantControlPlane
metadata:
  name: acme
spec:
  addons:
    coreDNS:
      enabled: true
  version: v1.36.3
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"create", "tcp", "acme", "--dry-run", "-o", "yaml"}, strings.Fields(test.args)...)
			code, stdout, stderr := run(t, nil, args...)
			wantCode(t, exitDone, code, stderr)
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), stdout); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCreateUsage(t *testing.T) {
	for _, test := range []struct{ name, args, want string }{
		{"no kind", "", "what to create is missing"},
		{"another kind", "pod acme", `unknown kind "pod"`},
		{"no name", "tcp", "name of one control plane, not 0"},
		{"bad name", "tcp Acme.1", `name "Acme.1": must be a DNS label`},
		{"unknown flag", "tcp acme --nodes 3", "unknown flag: --nodes"},
		{"no number", "tcp acme --replicas two", "--replicas"},
		{"endpoint type", "tcp acme --endpoint-type Ingress", `--endpoint-type "Ingress": must be one of NodePort, LoadBalancer, ClusterIP`},
		{"size", "tcp acme --etcd-storage-size big", `--etcd-storage-size "big": must be an amount`},
		{"requests", "tcp acme --requests etcd", "write COMPONENT=cpu=AMOUNT"},
		{"component", "tcp acme --requests kubelet=cpu=1", `unknown component "kubelet"`},
		{"resource", "tcp acme --limits etcd=gpu=1", `unknown resource "gpu"`},
		{"amount", "tcp acme --limits etcd=memory=much", `"much" is not an amount of memory`},
		{"dry run", "tcp acme --dry-run=perhaps", `--dry-run "perhaps"`},
		{"wait for nothing", "tcp acme --dry-run --wait", "--wait and --dry-run exclude each other"},
		{"time-out", "tcp acme --wait --timeout 0", "--timeout 0s: must be greater than zero"},
		{"output", "tcp acme --dry-run -o table", `output format "table"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, nil, append([]string{"create"}, strings.Fields(test.args)...)...)
			wantCode(t, exitUsage, code, stderr)
			wantText(t, stderr, "error: ", test.want, "--help' for usage.")
			if stdout != "" {
				t.Errorf("standard output: %s", stdout)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	api := newFakeAPI(t)
	code, stdout, stderr := run(t, api, "create", "tcp", "acme", "--dry-run=server")
	wantCode(t, exitDone, code, stderr)
	wantText(t, stdout, "tenantcontrolplane.teapot.dev/acme created (server dry run)\n")
	if api.has("tenantcontrolplanes", "tenants", "acme") {
		t.Error("a dry run created it")
	}

	code, stdout, stderr = run(t, api, "create", "tcp", "acme")
	wantCode(t, exitDone, code, stderr)
	if want := "tenantcontrolplane.teapot.dev/acme created\n"; stdout != want {
		t.Errorf("standard output %q, want %q", stdout, want)
	}
	code, _, stderr = run(t, api, "create", "tcp", "acme")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `tenantcontrolplane "acme" exists already in namespace "tenants"`, "kubectl edit tcp acme -n tenants")
}

func TestCreateAndWait(t *testing.T) {
	api := newFakeAPI(t)
	i := start(t, api, "", "create", "tcp", "acme", "--wait", "-o", "json")
	eventually(t, "it is created", func() bool { return api.has("tenantcontrolplanes", "tenants", "acme") })
	api.put(controlPlane("acme", ready))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	// Whoever asked for the object gets the one that is ready.
	wantText(t, i.stdout.String(), `"type": "Ready"`, `"kind": "TenantControlPlane"`)

	i = start(t, api, "", "create", "tcp", "globex", "--wait", "--timeout", "500ms")
	wantCode(t, exitFailed, i.wait(t), i.stderr.String())
	wantText(t, i.stdout.String(), "globex created\n")
	wantText(t, i.stderr.String(), `timed out after 500ms waiting for tenantcontrolplane "globex"`, "check that Teapot's manager runs")
}

func TestCreateRefused(t *testing.T) {
	invalid := apierrors.NewInvalid(controlPlaneKind.GroupKind(), "acme", field.ErrorList{
		field.Invalid(field.NewPath("spec", "endpoint"), "object", "endpoint.port: must be between 30000 and 32767"),
		field.Invalid(field.NewPath("spec", "replicas"), 9, "should be less than or equal to 7"),
	})
	noNamespace := apierrors.NewNotFound(teapotv1.GroupVersion.WithResource("namespaces").GroupResource(), "tenants")
	noNamespace.ErrStatus.Details.Group, noNamespace.ErrStatus.Details.Kind = "", "namespaces"
	for _, test := range []struct {
		name   string
		answer *apierrors.StatusError
		want   []string
	}{
		{"invalid", invalid, []string{`TenantControlPlane "acme" is not valid:`, "  spec.endpoint: Invalid value", "endpoint.port: must be between 30000 and 32767", "  spec.replicas: "}},
		{"no namespace", noNamespace, []string{`namespace "tenants" does not exist (context "test")`, "kubectl create namespace tenants"}},
		{"credentials", apierrors.NewUnauthorized("who are you"), []string{`the management cluster (context "test") does not accept these credentials`}},
		{"rights", apierrors.NewForbidden(controlPlaneResource.GroupResource(), "acme", nil), []string{"forbidden"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.refuse = func(r *http.Request) *apierrors.StatusError {
				if r.Method != http.MethodPost {
					return nil
				}
				if strict := r.URL.Query().Get("fieldValidation"); strict != metav1.FieldValidationStrict {
					t.Errorf("field validation %q", strict)
				}
				return test.answer
			}
			code, _, stderr := run(t, api, "create", "tcp", "acme")
			wantCode(t, exitFailed, code, stderr)
			wantText(t, stderr, test.want...)
		})
	}
}
