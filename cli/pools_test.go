package cli

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// pool is one of three machines in the namespace in use.
func pool(name string, change ...func(*teapotv1.WorkerPool)) *teapotv1.WorkerPool {
	p := &teapotv1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, UID: types.UID(name + "-uid"), Generation: 1, CreationTimestamp: metav1.NewTime(noon)},
		Spec: teapotv1.WorkerPoolSpec{
			ControlPlaneName: "acme", Version: "v1.36.3", Replicas: ptr.To[int32](3),
			HostRequest: teapotv1.HostRequest{Image: teapotv1.Image{URL: "oci://registry.example.com/node:v1.36.3"}},
			Deletion:    teapotv1.PoolDeletion{NodeDrainTimeoutSeconds: 600},
		},
		Status: teapotv1.WorkerPoolStatus{ObservedGeneration: 1, Replicas: ptr.To[int32](3)},
	}
	for _, each := range change {
		each(p)
	}
	return p
}

func conditioned(conditions ...metav1.Condition) func(*teapotv1.WorkerPool) {
	return func(p *teapotv1.WorkerPool) { p.Status.Conditions = conditions }
}

// autoscaled leaves the number of machines to the autoscaler, between 1 and 5.
func autoscaled(p *teapotv1.WorkerPool) {
	p.Spec.Replicas, p.Spec.Autoscaling = nil, &teapotv1.PoolAutoscaling{MinReplicas: 1, MaxReplicas: 5}
}

func TestScalePool(t *testing.T) {
	going := pool("going", func(p *teapotv1.WorkerPool) {
		p.DeletionTimestamp, p.Finalizers = ptr.To(metav1.Now()), []string{teapotv1.WorkerPoolFinalizer}
	})
	size := func(t *testing.T, api *fakeAPI, name string) []any {
		u := api.stored("workerpools", "tenants", name)
		replicas, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas")
		bounds, _, err := unstructured.NestedFieldNoCopy(u.Object, "spec", "autoscaling")
		if err != nil {
			t.Fatal(err)
		}
		return []any{asNumber(replicas), bounds}
	}
	between := func(least, most float64) map[string]any {
		return map[string]any{"minReplicas": least, "maxReplicas": most}
	}
	for _, test := range []struct {
		name, args string
		pool       string
		conflicts  int
		want       []any // replicas and bounds
		code       int
		stderr     []string
	}{
		{name: "up", args: "web --replicas 5", pool: "web", want: []any{5.0, nil}},
		{name: "to nothing, as kubectl names it", args: "wp/web --replicas=0", pool: "web", want: []any{0.0, nil}},
		{name: "changed meanwhile", args: "web --replicas 5", pool: "web", conflicts: 2, want: []any{5.0, nil}},
		{name: "bounds", args: "auto --min 2 --max 9", pool: "auto", want: []any{nil, between(2, 9)}},
		{name: "one bound", args: "auto --min 0", pool: "auto", want: []any{nil, between(0, 5)}},
		{name: "the autoscaler's", args: "auto --replicas 4", pool: "auto", want: []any{nil, between(1, 5)}, code: exitFailed, stderr: []string{
			`the Cluster Autoscaler decides the number of machines of workerpool "auto", between 1 and 5`, "teapot scale pool auto -n tenants --min N --max N",
			`kubectl patch wp auto -n tenants --type merge -p '{"spec":{"autoscaling":null,"replicas":4}}'`}},
		{name: "not the autoscaler's", args: "web --max 4", pool: "web", want: []any{3.0, nil}, code: exitFailed, stderr: []string{
			"teapot scale pool web -n tenants --replicas N", `'{"spec":{"replicas":null,"autoscaling":{"minReplicas":0,"maxReplicas":4}}}'`}},
		{name: "going", args: "going --replicas 4", pool: "going", want: []any{3.0, nil}, code: exitFailed, stderr: []string{"is being deleted"}},
		{name: "not there", args: "nobody --replicas 4", pool: "web", want: []any{3.0, nil}, code: exitFailed, stderr: []string{`workerpool "nobody" not found in namespace "tenants"`, "teapot get pools -A"}},
		{name: "no number", args: "web", pool: "web", want: []any{3.0, nil}, code: exitUsage, stderr: []string{"the number of machines is missing"}},
		{name: "both", args: "web --replicas 1 --min 1", pool: "web", want: []any{3.0, nil}, code: exitUsage, stderr: []string{"--replicas excludes"}},
		{name: "negative", args: "web --replicas -1", pool: "web", want: []any{3.0, nil}, code: exitUsage, stderr: []string{"--replicas -1: must not be negative"}},
		{name: "two", args: "web auto --replicas 1", pool: "web", want: []any{3.0, nil}, code: exitUsage, stderr: []string{"one pool at a time, not 2 (web, auto)"}},
		{name: "no name", args: "--replicas 1", pool: "web", want: []any{3.0, nil}, code: exitUsage, stderr: []string{"the name of a pool is missing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, pool("web"), pool("auto", autoscaled), going)
			api.conflicts = test.conflicts
			code, stdout, stderr := run(t, api, append([]string{"scale", "pool"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr...)
			if code == exitDone {
				wantText(t, stdout, "workerpool.teapot.dev/"+test.pool+" scaled\n")
			}
			if diff := cmp.Diff(test.want, []any{size(t, api, test.pool)[0], normal(size(t, api, test.pool)[1])}); diff != "" {
				t.Errorf("number and bounds (-want +got):\n%s", diff)
			}
		})
	}
	code, _, stderr := run(t, nil, "scale", "tcp", "acme")
	wantCode(t, exitUsage, code, stderr)
	wantText(t, stderr, `unknown kind "tcp": teapot scale pool NAME --replicas N`)
}

// asNumber is a number of a stored object, which came from Go or from JSON.
func asNumber(value any) any {
	if n, ok := value.(int64); ok {
		return float64(n)
	}
	return value
}

// normal is a map with such numbers.
func normal(value any) any {
	bounds, ok := value.(map[string]any)
	if !ok {
		return value
	}
	numbers := map[string]any{}
	for key, n := range bounds {
		numbers[key] = asNumber(n)
	}
	return numbers
}

func TestScalePoolAndWait(t *testing.T) {
	api := newFakeAPI(t, pool("web", conditioned(ready)))
	i := start(t, api, "", "scale", "pool", "web", "--replicas", "4", "--wait")
	// Ready of the spec before the change is not it.
	eventually(t, "it waits", func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.watchers) == 1
	})
	if i.stdout.String() != "workerpool.teapot.dev/web scaled\n" {
		t.Errorf("standard output %q", i.stdout.String())
	}
	api.put(pool("web", conditioned(ready), func(p *teapotv1.WorkerPool) { p.Generation, p.Status.ObservedGeneration = 2, 2 }))
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
}

func TestWaitForPool(t *testing.T) {
	notReady := condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonMachinesNotReady, "web-1: no host fits")
	for _, test := range []struct {
		name, args     string
		code           int
		stdout, stderr []string
	}{
		{name: "ready", args: "pool web", stdout: []string{"workerpool.teapot.dev/web condition met\n"}},
		{name: "with the kind twice", args: "wp wp/web", stdout: []string{"web condition met"}},
		{name: "gone already", args: "pool other --for=deleted", stdout: []string{"other condition met"}},
		{name: "timed out", args: "pool ill --timeout=500ms", code: exitFailed, stderr: []string{`timed out after 500ms waiting for workerpool "ill" in namespace "tenants"`, "web-1: no host fits"}},
		{name: "paused", args: "pool still --timeout=500ms", code: exitFailed, stderr: []string{"kubectl patch wp still -n tenants"}},
		{name: "not there", args: "pool nobody", code: exitFailed, stderr: []string{`workerpool "nobody" not found`, "teapot get pools -A"}},
		{name: "no name", args: "pool", code: exitUsage, stderr: []string{"the name of a pool is missing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, pool("web", conditioned(ready)), pool("ill", conditioned(notReady)),
				pool("still", conditioned(notReady), func(p *teapotv1.WorkerPool) { p.Spec.Paused = true }))
			code, stdout, stderr := run(t, api, append([]string{"wait"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stdout, test.stdout...)
			wantText(t, stderr, test.stderr...)
		})
	}
}

func TestPoolLosses(t *testing.T) {
	drained := pool("web", func(p *teapotv1.WorkerPool) { p.Spec.Paused = true })
	empty := pool("web", func(p *teapotv1.WorkerPool) { p.Status.Replicas = nil })
	machines := []clusterv1.Machine{*machine("web-a", "web", runningOn("node-a")), *machine("web-b", "web", runningOn("web-b")), *machine("web-c", "web")}
	var many []clusterv1.Machine
	for range shownLosses + 2 {
		many = append(many, *machine("web-x", "web", runningOn("web-x")))
	}
	for _, test := range []struct {
		name     string
		pool     *teapotv1.WorkerPool
		machines []clusterv1.Machine
		want     string
	}{
		{"some", drained, machines, `WorkerPool tenants/web (Kubernetes v1.36.3, of control plane acme) is deleted, and with it:
  - 3 machines, their Nodes and all that is on their disks
      web-a (Node node-a)
      web-b
      web-c (no Node yet)
Pods have 10m to leave each machine, as far as PodDisruptionBudgets let them.
It is paused (spec.paused), so its deletion begins when it is resumed.`},
		{"none", empty, nil, `WorkerPool tenants/web (Kubernetes v1.36.3, of control plane acme) is deleted, and with it:
  - no machine: there is none`},
		{"without the right to see them", pool("web"), nil, `WorkerPool tenants/web (Kubernetes v1.36.3, of control plane acme) is deleted, and with it:
  - 3 machines, their Nodes and all that is on their disks
Pods have 10m to leave each machine, as far as PodDisruptionBudgets let them.`},
		{"many", empty, many, `WorkerPool tenants/web (Kubernetes v1.36.3, of control plane acme) is deleted, and with it:
  - 22 machines, their Nodes and all that is on their disks
` + strings.Repeat("      web-x\n", shownLosses) + `      and 2 more
Pods have 10m to leave each machine, as far as PodDisruptionBudgets let them.`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, poolLosses(test.pool, test.machines)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeletePool(t *testing.T) {
	api := newFakeAPI(t, pool("web", conditioned(ready)), machine("web-a", "web"), machine("db-a", "db"))
	code, _, stderr := run(t, api, "delete", "pool", "web")
	wantCode(t, exitUsage, code, stderr)
	wantText(t, stderr, "confirm with --yes")

	i := start(t, api, "n\n", "delete", "pool", "web")
	wantCode(t, exitFailed, i.wait(t), i.stderr.String())
	wantText(t, i.stderr.String(), "      web-a (no Node yet)\n", "Delete it? [y/N] ", "not confirmed, nothing was deleted")
	if strings.Contains(i.stderr.String(), "db-a") {
		t.Errorf("names a machine of another pool:\n%s", i.stderr.String())
	}

	api.finalizing = true
	i = start(t, api, "y\n", "delete", "pool", "web")
	eventually(t, "it says that it is being deleted", func() bool { return strings.Contains(i.stderr.String(), "web: is being deleted") })
	left := condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, "1 machine is left: web-a, whose Node is being drained")
	api.put(pool("web", conditioned(left)))
	eventually(t, "it says what is left", func() bool { return strings.Contains(i.stderr.String(), "1 machine is left: web-a") })
	api.remove("workerpools", "tenants", "web")
	wantCode(t, exitDone, i.wait(t), i.stderr.String())
	wantText(t, i.stdout.String(), `workerpool.teapot.dev "web" deleted`)
}

// What needs pools says so where they are not known, and so does what needs machines.
func TestPoolsNotInstalled(t *testing.T) {
	api := newFakeAPI(t)
	api.installed, api.withoutClusterAPI = false, true
	for _, args := range []string{"get pools", "get machines --pool web", "wait pool web", "scale pool web --replicas 1", "delete pool web --yes", "describe pool web"} {
		code, _, stderr := run(t, api, strings.Fields(args)...)
		wantCode(t, exitFailed, code, stderr)
		wantText(t, stderr, `Teapot is not installed in this cluster (context "test"): the kind WorkerPool is not known`)
	}
	code, _, stderr := run(t, api, "get", "machines")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `Cluster API is not installed in this cluster (context "test")`)
}

func TestScalePoolRefused(t *testing.T) {
	api := newFakeAPI(t, pool("web"))
	api.refuse = func(r *http.Request) *apierrors.StatusError {
		if r.Method != http.MethodPatch {
			return nil
		}
		return apierrors.NewForbidden(workerPools.resource.GroupResource(), "web", nil)
	}
	code, stdout, stderr := run(t, api, "scale", "pool", "web", "--replicas", "1")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "forbidden")
	if stdout != "" {
		t.Errorf("standard output: %s", stdout)
	}
}
