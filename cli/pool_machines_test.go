package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// machine is one of Cluster API's in the namespace in use, 90 minutes old and without a Node.
func machine(name, pool string, change ...func(*clusterv1.Machine)) *clusterv1.Machine {
	m := &clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-90*time.Minute - 10*time.Second)), Labels: map[string]string{clusterv1.ClusterNameLabel: "acme"}},
		Spec:       clusterv1.MachineSpec{ClusterName: "acme", Version: "v1.36.3", InfrastructureRef: clusterv1.ContractVersionedObjectReference{Kind: "HostMachine", Name: name}},
		Status:     clusterv1.MachineStatus{Phase: "Provisioning"},
	}
	if pool != "" {
		m.Labels[teapotv1.PoolLabel] = pool
	}
	for _, each := range change {
		each(m)
	}
	return m
}

func runningOn(node string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		m.Status.Phase, m.Status.NodeRef.Name, m.Status.FailureDomain = "Running", node, "rack-1"
		m.Status.Conditions = []metav1.Condition{ready}
	}
}

// waitingFor is not Ready for causes as Cluster API lists them.
func waitingFor(causes ...string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		m.Status.Conditions = []metav1.Condition{condition(clusterv1.ReadyCondition, metav1.ConditionFalse, "NotReady", "* "+strings.Join(causes, "\n* "))}
	}
}

// hostMachine is on a host.
func hostMachine(name, host string) *teapotv1.HostMachine {
	return &teapotv1.HostMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, Labels: map[string]string{teapotv1.PoolLabel: "web"}},
		Status:     teapotv1.HostMachineStatus{FailureDomain: "rack-2", Host: &teapotv1.HostReference{Namespace: "metal", Name: host}},
	}
}

const noHost = "InfrastructureReady: no host of this namespace's fits: 8 hosts: 7 too little memory, 1 not inspected yet"

// theMachines are of two pools and two control planes.
func theMachines() []runtime.Object {
	other := machine("brought-x", "", runningOn("x"))
	other.Spec.ClusterName, other.Labels[clusterv1.ClusterNameLabel] = "brought", "brought"
	elsewhere := machine("far-a", "far")
	elsewhere.Namespace = "others"
	owned := controlPlane("globex")
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: clusterv1.ClusterKind, Name: "brought"}}
	return []runtime.Object{
		pool("web"), pool("db"), controlPlane("acme"), owned,
		machine("web-a", "web", runningOn("node-a")), hostMachine("web-a", "h1"),
		machine("web-b", "web", waitingFor(noHost, "NodeHealthy: Waiting for \x1b[31ma Node")),
		machine("db-a", "db"), other, elsewhere,
	}
}

func TestGetMachines(t *testing.T) {
	for _, test := range []struct {
		name, args string
		setup      func(*fakeAPI)
		code       int
		want       []string
		wantNot    []string
		stderr     string
	}{
		{name: "of the namespace", args: "machines", want: []string{
			row("NAME", "POOL", "NODE", "PHASE", "HOST", "VERSION", "AGE", "NOT READY BECAUSE\n"),
			row("web-a", "web", "node-a", "Running", "metal/h1", "v1.36.3", "90m", "-\n"),
			row("web-b", "web", "-", "Provisioning", "-", "v1.36.3", "90m", "InfrastructureReady: no host of this namespace's fits: 8 hosts: 7 too lit...\n"),
			row("db-a", "db", "-", "Provisioning", "-", "v1.36.3", "90m", "not looked at yet: check that Cluster API's controllers run\n"),
			row("brought-x", "-", "x", "Running"),
		}, wantNot: []string{"far-a", "NAMESPACE"}},
		{name: "everywhere, in full", args: "machines -A -o wide", want: []string{
			row("NAMESPACE", "NAME", "POOL"), row("AGE", "CLUSTER", "FAILURE DOMAIN", "NOT READY BECAUSE\n"), row("others", "far-a"),
			row("tenants", "web-a", "web", "node-a", "Running", "metal/h1", "v1.36.3", "90m", "acme", "rack-1", "-\n"),
			"1 not inspected yet; NodeHealthy: Waiting for ^[[31ma Node\n",
		}},
		{name: "of a pool", args: "machines --pool web", want: []string{"web-a", "web-b"}, wantNot: []string{"db-a"}},
		{name: "of a control plane", args: "ma --control-plane acme", want: []string{"web-a", "db-a"}, wantNot: []string{"brought-x"}},
		{name: "of one in somebody's own Cluster", args: "machines --control-plane globex", want: []string{"brought-x"}, wantNot: []string{"web-a"}},
		{name: "of both", args: "machines --control-plane globex --pool web", stderr: "No machines found."},
		{name: "by label", args: "machines -l teapot.dev/pool=db", want: []string{"db-a"}, wantNot: []string{"web-a"}},
		{name: "by name", args: "machine web-a db-a -o name", want: []string{"machine.cluster.x-k8s.io/db-a\nmachine.cluster.x-k8s.io/web-a\n"}},
		{name: "one, as it is stored", args: "machine web-a -o yaml", want: []string{"apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\n", "nodeRef:\n"}},
		{name: "several, as they are stored", args: "machines --pool web -o json", want: []string{`"kind": "MachineList"`, `"kind": "Machine"`, `"name": "web-b"`}},
		{name: "none, as they are stored", args: "machines -n empty -o jsonpath={.kind}", want: []string{"MachineList"}},
		{name: "by a name that is not there", args: "machines web-a nobody", code: exitFailed, want: []string{"web-a"}, stderr: `machine "nobody" not found in namespace "tenants" (context "test"); see all that there are with: teapot get machines -A`},
		{name: "of a pool that is not there", args: "machines --pool nobody", code: exitFailed, stderr: `workerpool "nobody" not found`},
		{name: "of a control plane that is not there", args: "machines --control-plane nobody", code: exitFailed, stderr: `tenantcontrolplane "nobody" not found`},
		{name: "none", args: "machines -n empty", stderr: "No machines found in empty namespace. Those of all: teapot get machines -A"},
		{name: "without the right to see hosts", args: "machines --pool web", setup: func(f *fakeAPI) { f.refuse = forbid("hostmachines") }, want: []string{row("web-a", "web", "node-a", "Running", "-", "v1.36.3")}},
		{name: "without any right", args: "machines", setup: func(f *fakeAPI) { f.refuse = forbid("/machines") }, code: exitFailed, stderr: "the right to list machines.cluster.x-k8s.io is missing"},
		{name: "another format", args: "machines -o table", code: exitUsage, stderr: `output format "table"`},
		{name: "a selector that is none", args: "machines -l a=b=c", code: exitUsage, stderr: `--selector "a=b=c"`},
		{name: "a name everywhere", args: "machines a -A", code: exitUsage, stderr: "exclude each other"},
		{name: "a name of a pool", args: "machines a --pool web", code: exitUsage, stderr: "exclude each other"},
		{name: "a pool everywhere", args: "machines -A --pool web", code: exitUsage, stderr: "exclude each other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, theMachines()...)
			if test.setup != nil {
				test.setup(api)
			}
			code, stdout, stderr := run(t, api, append([]string{"get"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			if strings.Contains(test.args, "-o yaml") || strings.Contains(test.args, "-o json") {
				wantText(t, stdout, test.want...)
			} else {
				wantText(t, squeezed(stdout), test.want...)
			}
			wantText(t, stderr, test.stderr)
			for _, not := range test.wantNot {
				if strings.Contains(stdout, not) {
					t.Errorf("has %q:\n%s", not, stdout)
				}
			}
		})
	}
}

func TestGetMachinesWatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		refuse func(*http.Request) *apierrors.StatusError
		// host is how the host of web-b is shown.
		host string
	}{{name: "an operator", host: "metal/h2"}, {name: "without the right to see hosts", refuse: forbid("hostmachines"), host: "-"}} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, theMachines()...)
			api.refuse = test.refuse
			i := start(t, api, "", "get", "machines", "--pool", "web", "--watch")
			lines := func() []string { return strings.Split(strings.TrimSuffix(squeezed(i.stdout.String()), "\n"), "\n") }
			// The last line has the words.
			last := func(words ...string) {
				t.Helper()
				eventually(t, row(words...), func() bool {
					said := lines()
					return strings.HasPrefix(said[len(said)-1], row(words...))
				})
			}
			last("web-b", "web", "-", "Provisioning", "-")
			if got := len(lines()); got != 3 {
				t.Errorf("%d lines at first:\n%s", got, i.stdout.String())
			}
			api.put(hostMachine("web-b", "h2"))
			api.put(machine("web-b", "web", runningOn("node-b")))
			last("web-b", "web", "node-b", "Running", test.host)
			// What changes nothing that is shown is no line.
			before := len(lines())
			api.put(machine("web-a", "web", runningOn("node-a"), func(m *clusterv1.Machine) { m.Annotations = map[string]string{"a": "b"} }))
			api.put(machine("db-b", "db"))
			api.remove("machines", "tenants", "web-b")
			last("web-b", "web", "node-b", "Deleted", test.host)
			if got := len(lines()); got != before+1 {
				t.Errorf("%d lines more, not 1:\n%s", got-before, i.stdout.String())
			}
		})
	}

	api := newFakeAPI(t, theMachines()...)
	i := start(t, api, "", "get", "machines", "--watch", "-o", "name")
	eventually(t, "all are named", func() bool { return strings.Count(i.stdout.String(), "machine.cluster.x-k8s.io/") == 4 })
	api.put(machine("web-c", "web"))
	eventually(t, "a new one is named", func() bool { return strings.HasSuffix(i.stdout.String(), "machine.cluster.x-k8s.io/web-c\n") })

	api.withoutClusterAPI = true
	code, _, stderr := run(t, api, "get", "machines", "--watch")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "Cluster API is not installed")
}

func TestGetPools(t *testing.T) {
	api := newFakeAPI(t, pool("web"), pool("db"), controlPlane("acme"))
	for _, args := range []string{"get pools -o name", "get wp -o name", "get pool wp/db web -o name"} {
		code, stdout, stderr := run(t, api, strings.Fields(args)...)
		wantCode(t, exitDone, code, stderr)
		wantText(t, stdout, "workerpool.teapot.dev/db\n", "workerpool.teapot.dev/web\n")
	}
	code, _, stderr := run(t, api, "get", "pools", "nobody")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `workerpool "nobody" not found in namespace "tenants" (context "test"); see all that there are with: teapot get pools -A`)
}

func TestDescribePool(t *testing.T) {
	ill := pool("web", func(p *teapotv1.WorkerPool) {
		p.Spec.Labels = map[string]teapotv1.LabelValue{"example.com/team": "red"}
		p.Status.ClusterName, p.Status.ReadyReplicas = "acme", ptr.To[int32](1)
	}, conditioned(condition(teapotv1.AppliedCondition, metav1.ConditionTrue, teapotv1.ReasonApplied, ""),
		condition(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonMachinesNotReady, "web-b: \x1b[31mno host fits")))
	for _, test := range []struct {
		name, args string
		pool       *teapotv1.WorkerPool
		refuse     func(*http.Request) *apierrors.StatusError
		code       int
		// want are texts in their order.
		want    []string
		wantNot []string
		stderr  string
	}{
		{name: "ill", args: "pool web", pool: ill, want: []string{
			row("Name:", "web\n"), row("Control plane:", "acme\n"), row("Cluster:", "acme\n"), row("Version:", "v1.36.3\n"), row("Image:", "oci://registry.example.com/node:v1.36.3\n"),
			row("Wanted:", "3\n"), row("Machines:", "3: 1 ready, 0 available, 0 up to date\n"),
			"What to do:\n", "teapot get claims -n tenants -l teapot.dev/pool=web -o wide",
			"Machines:\n", row("web-a", "web", "node-a", "Running", "metal/h1"), row("web-b", "web", "-", "Provisioning"),
			"Asked for (spec):\n", "example.com/team: red\n", "Conditions:\n", "Applied True", "Ready False MachinesNotReady", "^[[31mno host fits\n",
			"Events of web:\n", "Applied workerpool/web",
		}, wantNot: []string{"db-a"}},
		{name: "autoscaled", args: "wp wp/web --show-events=false", pool: pool("web", autoscaled, conditioned(ready), func(p *teapotv1.WorkerPool) { p.Status.DesiredReplicas = ptr.To[int32](2) }), want: []string{
			row("Wanted:", "2, between 1 and 5 as the Cluster Autoscaler decides\n"), "Machines:\n",
		}, wantNot: []string{"What to do", "Events"}},
		{name: "without the right to see machines", args: "pool web", pool: pool("web", conditioned(ready)), refuse: forbid("/machines"), want: []string{
			"not shown: the right to list machines.cluster.x-k8s.io is missing",
		}},
		{name: "no name", args: "pool", pool: ill, code: exitUsage, stderr: "the name of a pool is missing: teapot describe pool NAME..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			applied := event("web", teapotv1.ReasonApplied, "wrote MachineDeployment web", 1)
			applied.InvolvedObject.Kind, applied.Namespace = "WorkerPool", "tenants"
			api := newFakeAPI(t, append(theMachines(), test.pool, applied)...)
			api.refuse = test.refuse
			code, stdout, stderr := run(t, api, append([]string{"describe"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr)
			rest := squeezed(stdout)
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("lacks %q, or has it earlier, in:\n%s", want, stdout)
				}
				rest = after
			}
			for _, not := range test.wantNot {
				if strings.Contains(stdout, not) {
					t.Errorf("has %q:\n%s", not, stdout)
				}
			}
		})
	}
}

func TestCompletePools(t *testing.T) {
	api := newFakeAPI(t, theMachines()...)
	for _, test := range []struct{ name, args, want string }{
		{"pools", "scale|pool|", "db\nweb\n:4"},
		{"one is taken", "scale|pool|web|", ":4"},
		{"flags that name a pool", "get|machines|--pool|", "db\nweb\n:4"},
		{"flags that name a control plane", "create|pool|--control-plane|ac", "acme\n:4"},
		{"machines", "get|machines|web", "web-a\nweb-b\n:4"},
		{"kinds", "create|", "pool\ntcp\n:4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{cobra.ShellCompNoDescRequestCmd, "--kubeconfig", api.kubeconfig}, strings.Split(test.args, "|")...)
			code, stdout, stderr := run(t, nil, args...)
			wantCode(t, exitDone, code, stderr)
			if strings.TrimSpace(stdout) != test.want {
				t.Errorf("got %q, want %q", stdout, test.want)
			}
		})
	}
}
