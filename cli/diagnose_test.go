package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// withKind is an object as it is stored, for kinds that the commands have no type for.
func withKind(t *testing.T, object runtime.Object, apiVersion, kind string) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	return u
}

// sickPlane is acme with everything that can be collected, and a secret in every corner.
func sickPlane(t *testing.T) *fakeAPI {
	t.Helper()
	own := controlplane.Namespace(acme)
	tcp := running()
	tcp.Status.Endpoint.URL = closedPort(t)
	tcp.Annotations = map[string]string{
		corev1.LastAppliedConfigAnnotation: "a copy",
		"note":                             "token " + aJWT,
	}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: own, Name: "control-plane", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "teapot"}}}}
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kube-apiserver", Env: []corev1.EnvVar{{Name: "PROXY_PASSWORD", Value: "wonderland"}}}}
	etcd := troubled("etcd-0", corev1.ConditionFalse, corev1.ContainerStatus{Name: "etcd", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}})
	manager := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "teapot-system", Name: "teapot-manager-1", Labels: managerLabels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "example.com/teapot-manager:v1"}}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "manager"}}},
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: corev1.NodeStatus{
		Capacity:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue, Reason: "Full"}},
	}}
	cert, _ := tenantCertificate()
	api := newFakeAPI(t, tcp, userKubeconfig("https://192.0.2.1:6443"), &etcd, manager, node,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}},
		withKind(t, deployment, "apps/v1", "Deployment"),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: own, Name: "authorities"}, Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{"ca.key": []byte(aPrivateKey()), "ca.crt": cert, "phrase": []byte("correct horse battery staple")}},
		event("acme", "NoQuorum", "asked with Bearer abcd1234efgh", 1), event("etcd-0", "BackOff", "restarting", 1),
	)
	nodes, err := json.Marshal(corev1.NodeList{Items: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "machine-1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	startAnsweringPod(t, api, "control-plane-1", map[string]string{
		"/readyz": "[+]ping ok\n[-]etcd failed\n", "/version": `{"gitVersion":"v1.36.2"}`,
		"/api/v1/nodes": string(nodes), "/api/v1/namespaces/kube-system/pods": `{"items":[{"metadata":{"name":"coredns-1"}}]}`,
	})
	served := pod("control-plane-1", corev1.ConditionTrue)
	served.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "kube-apiserver", RestartCount: 1, LastTerminationState: crashing.LastTerminationState}}
	api.put(served)
	api.logs = map[string]string{
		"control-plane-1/kube-apiserver":          "now: the horse is correct horse battery staple\n" + aPrivateKey() + "after the key\n",
		"control-plane-1/kube-apiserver/previous": "before: --token " + aBootstrapToken + "\n",
		"teapot-manager-1/manager":                "I1121 1] \"about\" controlPlane=\"tenants/acme\"\nI1121 1] \"about\" controlPlane=\"tenants/globex\"\n",
	}
	return api
}

// closedPort is the URL of a port where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

// diagnose runs the command and reads the archive. Names lack the folder.
func diagnose(t *testing.T, api *fakeAPI, args ...string) (files map[string]string, stderr string) {
	t.Helper()
	code, stdout, stderr := run(t, api, append([]string{"diagnose", "acme", "-o", "-"}, args...)...)
	wantCode(t, exitDone, code, stderr)
	unpacked, names := unpack(t, []byte(stdout))
	files = map[string]string{}
	for _, name := range names {
		top, rest, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, "teapot-diagnose-tenants-acme-20") {
			t.Errorf("%s is in another folder", name)
		}
		files[rest] = unpacked[name]
	}
	return files, stderr
}

func TestDiagnoseCollects(t *testing.T) {
	own := controlplane.Namespace(acme)
	files, stderr := diagnose(t, sickPlane(t))
	wantText(t, stderr, "Collecting logs", "What is wrong", "DatastoreReady is False")
	for name, wanted := range map[string][]string{
		"summary.txt":                             {"1. DatastoreReady is False (NoQuorum)", "What to do", "Pod etcd-0 is not ready", "Pod control-plane-1, container kube-apiserver has restarted 1 time", "missing.txt has"},
		"missing.txt":                             {"logs/etcd-0/etcd.log: failed: ", "waiting to start", "Secret tenants/acme-kubeconfig: not found: ", "tenant/, by its address: failed: "},
		"versions.txt":                            {"teapot: ", "management cluster: v1.36.3", "teapot-manager: example.com/teapot-manager:v1 (pod teapot-system/teapot-manager-1, not ready)", "tenant's API: v1.36.2", "asked for: v1.36.3"},
		"controlplane.yaml":                       {"kind: TenantControlPlane", "version: v1.36.3", "note: token (redacted)"},
		"conditions.txt":                          {"DatastoreReady", "NoQuorum"},
		"events.txt":                              {"2025-11-21T12:01:00Z", "NoQuorum", "asked with Bearer (redacted)"},
		"secrets.txt":                             {"authorities", "Opaque", "ca.key", "phrase", "28", "ca.crt", "acme-user-kubeconfig"},
		"nodes.txt":                               {"node-1", "True", "DiskPressure=True (Full)"},
		"namespace/namespace.yaml":                {"name: " + own},
		"namespace/deployments.yaml":              {"name: control-plane", "name: PROXY_PASSWORD", "value: (redacted)"},
		"namespace/pods.yaml":                     {"name: etcd-0", "name: control-plane-1"},
		"namespace/pods.txt":                      {"etcd-0", "ContainerCreating"},
		"namespace/events.txt":                    {"BackOff", "pod/etcd-0"},
		"namespace/networkpolicies.yaml":          {"items: []"},
		"logs/control-plane-1/kube-apiserver.log": {"now: the horse is (redacted)\n(redacted)\nafter the key\n"},
		"logs/control-plane-1/kube-apiserver.previous.log":   {"before: --token (redacted)\n"},
		"manager/teapot-system/teapot-manager-1/manager.log": {`"tenants/acme"`},
		"tenant/reached.txt":          {"Does not answer well by its address", "connection refused", "Answers by port-forward to pod control-plane-1."},
		"tenant/readyz.txt":           {"[-]etcd failed"},
		"tenant/nodes.txt":            {"machine-1"},
		"tenant/kube-system-pods.txt": {"coredns-1"},
	} {
		text, ok := files[name]
		if !ok {
			t.Errorf("%s is not in the archive", name)
		}
		wantText(t, text, wanted...)
	}
	cert, _ := tenantCertificate()
	wantText(t, files["secrets.txt"], inFiles.since(firstExpiry(cert)))
	all := stderr
	for name, text := range files {
		all += name + text
	}
	for _, secret := range []string{
		aPrivateKey()[40:90], inBase64(aPrivateKey()), aJWT, aBootstrapToken, "wonderland", "correct horse", inBase64("correct horse battery staple"),
		"abcd1234efgh", "tenant-token", "tenants/globex", "managedFields", "a copy",
	} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in the archive", secret)
		}
	}
}

func TestDiagnoseGoesOn(t *testing.T) {
	own := controlplane.Namespace(acme)
	for _, test := range []struct {
		name   string
		refuse func(*http.Request) *apierrors.StatusError
		// has and lacks are files.
		has, lacks []string
		missing    []string
	}{
		{name: "a tenant, who may read the control plane alone", refuse: forbid(own, "secrets", "nodes", "api/v1/pods", "events"),
			has: []string{"summary.txt", "controlplane.yaml", "conditions.txt", "versions.txt"}, lacks: []string{"namespace/pods.yaml", "nodes.txt", "secrets.txt"},
			missing: []string{"namespace/pods.yaml: forbidden: ", "events.txt: forbidden: ", "nodes.txt: forbidden: ", "secrets.txt, namespace " + own + ": forbidden: ", "manager's log: forbidden: ", "tenant/: "}},
		{name: "somebody who may not read the control plane", refuse: forbid("tenantcontrolplanes"),
			has: []string{"namespace/pods.yaml", "logs/control-plane-1/kube-apiserver.log"}, lacks: []string{"controlplane.yaml"},
			missing: []string{"controlplane.yaml: forbidden: "}},
		{name: "no logs", refuse: forbid("/log"), has: []string{"namespace/pods.yaml"}, missing: []string{"logs/control-plane-1/kube-apiserver.log: forbidden: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := sickPlane(t)
			api.refuse = test.refuse
			files, _ := diagnose(t, api)
			for _, name := range test.has {
				if _, ok := files[name]; !ok {
					t.Errorf("%s is not in the archive", name)
				}
			}
			for _, name := range test.lacks {
				if _, ok := files[name]; ok {
					t.Errorf("%s is in the archive", name)
				}
			}
			wantText(t, files["missing.txt"], test.missing...)
		})
	}

	t.Run("the control plane is gone and its namespace is not", func(t *testing.T) {
		api := sickPlane(t)
		api.remove("tenantcontrolplanes", acme.Namespace, acme.Name)
		files, _ := diagnose(t, api)
		wantText(t, files["missing.txt"], "controlplane.yaml: not found: ")
		wantText(t, files["namespace/namespace.yaml"], own)
	})
}

func TestDiagnoseLimitsLogs(t *testing.T) {
	api := sickPlane(t)
	asked := make(chan string, 100)
	api.refuse = func(r *http.Request) *apierrors.StatusError {
		if strings.HasSuffix(r.URL.Path, "control-plane-1/log") {
			asked <- r.URL.Query().Get("tailLines") + " " + r.URL.Query().Get("sinceSeconds")
		}
		return nil
	}
	files, _ := diagnose(t, api, "--since", "1h", "--logs-tail", "3")
	close(asked)
	for got := range asked {
		if got != "3 3600" {
			t.Errorf("asked for %q", got)
		}
	}
	wantText(t, files["missing.txt"], "logs/control-plane-1/kube-apiserver.log: the newest 3 lines only (--logs-tail)")
}

func TestDiagnoseWritesAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := run(t, sickPlane(t), "diagnose", "tcp/acme")
	wantCode(t, exitDone, code, stderr)
	written, err := filepath.Glob("teapot-diagnose-tenants-acme-*Z.tar.gz")
	if err != nil || len(written) != 1 || stdout != "" {
		t.Fatalf("wrote %v, %v; stdout: %s", written, err, stdout)
	}
	wantMode(t, written[0])
	wantText(t, stderr, "Wrote "+written[0])
	archive, err := os.ReadFile(written[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, names := unpack(t, archive); !slices.IsSorted(names[2:]) || !strings.HasSuffix(names[0], "/summary.txt") {
		t.Errorf("order %v", names)
	}
}

func TestDiagnoseErrors(t *testing.T) {
	directory := t.TempDir()
	for _, test := range []struct {
		name   string
		args   []string
		setup  func(*fakeAPI)
		code   int
		stderr string
	}{
		{name: "nothing is there", code: exitFailed, stderr: `tenantcontrolplane "acme" not found in namespace "tenants"`},
		{name: "nothing may be read", setup: func(api *fakeAPI) { api.refuse = forbid("") }, code: exitFailed, stderr: "forbidden"},
		{name: "not installed", setup: func(api *fakeAPI) { api.installed = false }, code: exitFailed, stderr: "Teapot is not installed in this cluster"},
		{name: "no cluster", setup: func(api *fakeAPI) { api.server.Close() }, code: exitFailed, stderr: "does not answer"},
		{name: "two names", args: []string{"globex"}, code: exitUsage, stderr: "one control plane at a time"},
		{name: "a directory", args: []string{"-o", directory}, code: exitUsage, stderr: "is a directory; name a file in it"},
		{name: "no directory", args: []string{"-o", filepath.Join(directory, "none", "a.tar.gz")}, code: exitUsage, stderr: "there is no directory"},
		{name: "since", args: []string{"--since=-1h"}, code: exitUsage, stderr: "--since -1h0m0s: must be at least a second"},
		{name: "logs-tail", args: []string{"--logs-tail=0"}, code: exitUsage, stderr: "--logs-tail 0: must be at least 1, or -1 for all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			api := newFakeAPI(t)
			if test.setup != nil {
				test.setup(api)
			}
			code, stdout, stderr := run(t, api, append([]string{"diagnose", "acme"}, test.args...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr)
			if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 || stdout != "" {
				t.Errorf("wrote %v, %v; stdout: %s", entries, err, stdout)
			}
		})
	}
}

// Every reason of which a person could ask what to do has an answer.
func TestDiagnoseHasRemedies(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	well := []string{ // all is well, or it is a reason of events alone
		teapotv1.ReasonReady, teapotv1.ReasonProvisioned, teapotv1.ReasonNotPaused, teapotv1.ReasonProgressing, teapotv1.ReasonAwake,
		teapotv1.ReasonRepaired, teapotv1.ReasonOrphaned, teapotv1.ReasonOrphanRemoved, teapotv1.ReasonMachinesLeft,
	}
	found := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		found++
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if remedies[reason] == "" && claimRemedies[reason] == "" && poolRemedies[reason] == "" && !slices.Contains(well, reason) {
			t.Errorf("%s has no remedy", reason)
		}
		return true
	})
	if found < len(remedies) {
		t.Errorf("found %d reasons, fewer than there are remedies", found)
	}
}
