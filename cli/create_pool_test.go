package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func TestCreatePoolManifest(t *testing.T) {
	for _, test := range []struct {
		name, args, want string
	}{
		{name: "as little as can be", args: "--replicas 0", want: `
apiVersion: teapot.dev/v1alpha1
kind: WorkerPool
metadata:
  name: web
spec:
  controlPlaneName: acme
  image:
    url: oci://registry.example.com/node
  replicas: 0
  version: v1.36.3
`},
		{
			name: "everything",
			args: "-n tenants --min 1 --max 5 --checksum 0a --format QCOW2 --cpu 16 --memory 64Gi --gpus 8 --gpu-model H100" +
				" --selector row=7,class|in|(b,a),!old,zone!=z,rack --failure-domain r1 --max-per-domain example.com/rack=2 --max-per-domain row=5" +
				" --label example.com/team=red --label a=b --taint dedicated=db:noschedule --taint gpu:NoExecute" +
				" --max-surge 1 --max-unavailable 25% --drain-timeout 10m --provisioning-timeout 45m --unhealthy-timeout 90s --no-remediation",
			want: `
apiVersion: teapot.dev/v1alpha1
kind: WorkerPool
metadata:
  name: web
  namespace: tenants
spec:
  autoscaling:
    maxReplicas: 5
    minReplicas: 1
  controlPlaneName: acme
  deletion:
    nodeDrainTimeoutSeconds: 600
  failureDomain: r1
  hardware:
    cpu:
      minCount: 16
    gpus:
      minCount: 8
      model: H100
    memory: 64Gi
  hostSelector:
    matchExpressions:
    - key: class
      operator: In
      values:
      - a
      - b
    - key: old
      operator: DoesNotExist
    - key: rack
      operator: Exists
    - key: zone
      operator: NotIn
      values:
      - z
    matchLabels:
      row: "7"
  image:
    checksum: 0a
    format: qcow2
    url: oci://registry.example.com/node
  labels:
    a: b
    example.com/team: red
  provisioningTimeout: 45m
  remediation:
    enabled: false
    unhealthyTimeoutSeconds: 90
  spread:
  - maxPerDomain: 2
    topologyKey: example.com/rack
  - maxPerDomain: 5
    topologyKey: row
  strategy:
    maxSurge: 1
    maxUnavailable: 25%
  taints:
  - effect: NoSchedule
    key: dedicated
    value: db
  - effect: NoExecute
    key: gpu
  version: v1.36.3
`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := strings.Fields("create pool web --control-plane acme --version 1.36.3 --image oci://registry.example.com/node --dry-run -o yaml " + test.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "|", " ")
			}
			code, stdout, stderr := run(t, nil, args...)
			wantCode(t, exitDone, code, stderr)
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), stdout); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCreatePoolUsage(t *testing.T) {
	const image = " --image oci://registry.example.com/node"
	for _, test := range []struct{ name, args, want string }{
		{"no name", "--replicas 1" + image, "name of one pool, not 0"},
		{"a name with dots", "web.1 --replicas 1" + image, `name "web.1": must be a DNS label`},
		{"a long name", strings.Repeat("a", 41) + " --replicas 1" + image, "of at most 40 characters"},
		{"no number", "web" + image, "the number of machines is missing: --replicas N, or --min N and --max N"},
		{"a number and bounds", "web --replicas 1 --max 2" + image, "--replicas excludes --min and --max"},
		{"one bound", "web --max 2" + image, "--min and --max go together"},
		{"no image", "web --replicas 1", "--image is missing"},
		{"no version in a dry run", "web --replicas 1 --control-plane acme --dry-run" + image, "--version is missing: with --dry-run=client the API server is not asked"},
		{"no control plane in a dry run", "web --replicas 1 --version v1.36.3 --dry-run" + image, "--control-plane is missing: with --dry-run=client"},
		{"format", "web --replicas 1 --format iso" + image, `--format "iso": must be one of raw, qcow2, vdi, vmdk`},
		{"memory", "web --replicas 1 --memory much" + image, `--memory "much": must be an amount`},
		{"selector", "web --replicas 1 --selector a=b=c" + image, `--selector "a=b=c"`},
		{"selector with two values", "web --replicas 1 --selector a=b,a=c" + image, "write 'a in (A, B)'"},
		{"selector that compares", "web --replicas 1 --selector a>5" + image, "cannot be compared"},
		{"spread", "web --replicas 1 --max-per-domain rack" + image, `--max-per-domain "rack": write LABEL=N`},
		{"taint", "web --replicas 1 --taint gpu" + image, `--taint "gpu": write KEY=VALUE:EFFECT`},
		{"effect", "web --replicas 1 --taint gpu:Never" + image, `--taint "gpu:Never": effect "Never": must be one of NoSchedule`},
		{"drain", "web --replicas 1 --drain-timeout 1500ms" + image, "--drain-timeout 1.5s: must be whole seconds"},
		{"time-out", "web --replicas 1 --wait --timeout 0" + image, "--timeout 0s: must be greater than zero"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, nil, append([]string{"create", "pool"}, strings.Fields(test.args)...)...)
			wantCode(t, exitUsage, code, stderr)
			wantText(t, stderr, "error: ", test.want, "--help' for usage.")
			if stdout != "" {
				t.Errorf("standard output: %s", stdout)
			}
		})
	}
}

func TestCreatePoolFindsControlPlane(t *testing.T) {
	older := controlPlane("older")
	older.Spec.Version = "v1.35.4"
	elsewhere := controlPlane("elsewhere")
	elsewhere.Namespace = "others"
	for _, test := range []struct {
		name, args string
		tcps       []*teapotv1.TenantControlPlane
		code       int
		want       []string
		stderr     string
	}{
		{name: "the only one", tcps: []*teapotv1.TenantControlPlane{older, elsewhere}, want: []string{"controlPlaneName: older\n", "version: v1.35.4\n"}},
		{name: "its version is not asked for", args: "--version v1.34.1", tcps: []*teapotv1.TenantControlPlane{older}, want: []string{"version: v1.34.1\n"}},
		{name: "the one named", args: "--control-plane older", tcps: []*teapotv1.TenantControlPlane{older, controlPlane("acme")}, want: []string{"controlPlaneName: older\n", "version: v1.35.4\n"}},
		{name: "one of several", tcps: []*teapotv1.TenantControlPlane{older, controlPlane("acme")}, code: exitUsage, stderr: `--control-plane is missing, and there are 2 in namespace "tenants": acme, older`},
		{name: "none", tcps: []*teapotv1.TenantControlPlane{elsewhere}, code: exitUsage, stderr: "teapot create tcp NAME -n tenants"},
		{name: "none of that name", args: "--control-plane initech", tcps: []*teapotv1.TenantControlPlane{older}, code: exitFailed, stderr: `tenantcontrolplane "initech" not found`},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t)
			for _, tcp := range test.tcps {
				api.put(tcp)
			}
			args := "create pool web --replicas 3 --image oci://registry.example.com/node -o yaml " + test.args
			code, stdout, stderr := run(t, api, strings.Fields(args)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.want...)
			wantText(t, stderr, test.stderr)
			if created := api.has("workerpools", "tenants", "web"); created != (test.code == exitDone) {
				t.Errorf("created: %t", created)
			}
		})
	}
}

func TestCreatePoolAndWait(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme"))
	command := strings.Fields("create pool web --replicas 3 --image oci://registry.example.com/node --wait")
	i := start(t, api, "", command...)
	eventually(t, "it is created", func() bool { return api.has("workerpools", "tenants", "web") })
	api.put(pool("web", conditioned(condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonScaling, "2 of 3 machines are there"))))
	eventually(t, "it says how far it is", func() bool {
		return strings.Contains(i.stderr.String(), "web: Ready is False (Scaling): 2 of 3 machines are there")
	})
	api.put(pool("web", conditioned(ready)))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	wantText(t, i.stdout.String(), "workerpool.teapot.dev/web created\n")

	code, _, stderr := run(t, api, command...)
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `workerpool "web" exists already in namespace "tenants"`, "teapot get pools web -n tenants", "kubectl edit wp web -n tenants")
}
