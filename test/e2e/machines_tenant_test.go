package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// machinesTenant is a tenant with a control plane and a MachineDeployment, both of its name, as
// in the examples.
type machinesTenant struct {
	namespace, name string
	config          *rest.Config
	user            *kubernetes.Clientset
	// kubeconfig is a file with the administrator's.
	kubeconfig string
}

// newTenant makes a tenant as the examples say, with machines on some hosts only, and waits until
// its API answers.
func (f *fleet) newTenant(t *testing.T, name string, replicas int64, hosts ...string) *machinesTenant {
	t.Helper()
	return f.tenantOf(t, name, "machines.yaml", replicas, hosts...)
}

// tenantOf is newTenant with the example that says what its machines are.
func (f *fleet) tenantOf(t *testing.T, name, example string, replicas int64, hosts ...string) *machinesTenant {
	t.Helper()
	x := &machinesTenant{namespace: f.newNamespace(t, name), name: "e2e-" + name, kubeconfig: filepath.Join(t.TempDir(), name)}
	for _, host := range hosts {
		f.label(t, host, name)
	}
	for _, file := range []string{"acme.yaml", example} {
		text, err := os.ReadFile(filepath.Join(root, "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, management, strings.ReplaceAll(string(text), "acme", x.name), func(o *unstructured.Unstructured) bool {
			return x.adapt(t, o, name, replicas)
		})
	}
	tcp := get(t, x.namespace, x.name)
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	x.config, x.user = asUser(t, x.namespace, x.name)
	if err := os.WriteFile(x.kubeconfig, []byte(teapot(t, "kubeconfig", x.name, "--namespace", x.namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	return x
}

// hostLabel is on a host, with a tenant's name after it, if that tenant shall have it.
const hostLabel = "e2e.teapot.dev/for-"

// label marks a host as one for a tenant.
func (f *fleet) label(t *testing.T, name, tenant string) {
	t.Helper()
	host, err := f.host(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(host.DeepCopy())
	metav1.SetMetaDataLabel(&host.ObjectMeta, hostLabel+tenant, "true")
	if err := management.Patch(t.Context(), host, patch); err != nil {
		t.Fatal(err)
	}
}

// adapt makes an object of the examples one of this tenant's. It says whether it is wanted.
func (x *machinesTenant) adapt(t *testing.T, o *unstructured.Unstructured, label string, replicas int64) bool {
	t.Helper()
	set := func(value any, path ...string) {
		t.Helper()
		if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
			t.Fatal(err)
		}
	}
	o.SetNamespace(x.namespace)
	switch o.GetKind() {
	case "Namespace":
		return false
	case "WorkerPool":
		o.SetName(x.name)
		set(x.name, "spec", "controlPlaneName")
		set(replicas, "spec", "replicas")
		set(map[string]any{hostLabel + label: "true"}, "spec", "hostSelector", "matchLabels")
		set(map[string]any{generationLabel: "1", roleLabel: ""}, "spec", "labels")
		set([]any{map[string]any{"key": "e2e.teapot.dev/taint", "effect": "PreferNoSchedule"}}, "spec", "taints")
		set(int64(30), "spec", "remediation", "unhealthyTimeoutSeconds")
		for _, field := range []string{"nodeDrainTimeoutSeconds", "nodeVolumeDetachTimeoutSeconds", "nodeDeletionTimeoutSeconds"} {
			set(int64(drainSeconds), "spec", "deletion", field)
		}
	case "HostMachineTemplate":
		set(map[string]any{hostLabel + label: "true"}, "spec", "template", "spec", "hostSelector", "matchLabels")
	case "MachineDeployment":
		set(replicas, "spec", "replicas")
		for _, field := range []string{"nodeDrainTimeoutSeconds", "nodeVolumeDetachTimeoutSeconds", "nodeDeletionTimeoutSeconds"} {
			set(int64(10), "spec", "template", "spec", "deletion", field)
		}
	}
	return true
}

// apply makes the objects of a manifest that are wanted; wanted may change them.
func apply(t *testing.T, to client.Client, text string, wanted func(*unstructured.Unstructured) bool) {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if !wanted(object) {
			continue
		}
		if err := to.Create(t.Context(), object); err != nil {
			t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// endpoint is the address and port by which the tenant's machines come.
func (x *machinesTenant) endpoint(t *testing.T) string {
	t.Helper()
	return strings.TrimPrefix(get(t, x.namespace, x.name).Status.Endpoint.URL, "https://")
}

// kubectl runs kubectl as the tenant's administrator and returns what it printed.
func (x *machinesTenant) kubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, os.Getenv("KUBECTL"), append([]string{"--kubeconfig", x.kubeconfig, "--request-timeout=20s"}, args...)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	// Where the tenant's users would be.
	if err := netdial.Do(node.NetNS, command.Start); err != nil {
		return "", err
	}
	if err := command.Wait(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// scale changes how many machines the tenant wants.
func (x *machinesTenant) scale(t *testing.T, replicas int32) {
	t.Helper()
	deployment := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name + "-workers"}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := management.Patch(t.Context(), deployment, patch); err != nil {
		t.Fatal(err)
	}
}

// joined is one machine of a tenant: in Cluster API, in Teapot, and the name of its host.
type joined struct {
	machine clusterv1.Machine
	host    teapotv1.HostMachine
	on      string
}

// machines waits until a tenant has so many running machines, and returns them.
func (x *machinesTenant) machines(t *testing.T, count int) []joined {
	t.Helper()
	var found []joined
	eventually(t, joinedWithin, fmt.Sprintf("%d machines of %s to run", count, x.name), func(ctx context.Context) error {
		found = nil
		list := &clusterv1.MachineList{}
		if err := management.List(ctx, list, client.InNamespace(x.namespace)); err != nil {
			return err
		}
		for _, m := range list.Items {
			if m.Status.GetTypedPhase() != clusterv1.MachinePhaseRunning || !m.Status.NodeRef.IsDefined() {
				return fmt.Errorf("%s is %s: %s", m.Name, m.Status.Phase, x.explain(ctx, m.Name))
			}
			j := joined{machine: m}
			if err := management.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: m.Spec.InfrastructureRef.Name}, &j.host); err != nil {
				return err
			}
			if j.host.Status.Host == nil {
				return fmt.Errorf("HostMachine %s has no host", j.host.Name)
			}
			j.on = j.host.Status.Host.Name
			found = append(found, j)
		}
		if len(found) != count {
			return fmt.Errorf("there are %d", len(found))
		}
		return nil
	})
	slices.SortFunc(found, func(a, b joined) int { return strings.Compare(a.on, b.on) })
	return found
}

// explain says how far the claim of a machine is.
func (x *machinesTenant) explain(ctx context.Context, name string) string {
	claim := &teapotv1.MachineClaim{}
	if err := management.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: name}, claim); err != nil {
		return err.Error()
	}
	text := "claim " + string(claim.Status.Phase)
	for _, condition := range claim.Status.Conditions {
		if condition.Type == teapotv1.ReadyCondition {
			text += fmt.Sprintf(", %s: %s", condition.Reason, condition.Message)
		}
	}
	// Why a host failed that the claim has no more.
	events := &corev1.EventList{}
	if err := management.List(ctx, events, client.InNamespace(x.namespace)); err != nil {
		return text + ": " + err.Error()
	}
	for _, event := range events.Items {
		if event.InvolvedObject.UID == claim.UID && event.Type == corev1.EventTypeWarning {
			text += "; " + event.Message
		}
	}
	return text
}

// machinesJoin waits for machines and compares all that names them.
func machinesJoin(t *testing.T, f *fleet, x *machinesTenant) {
	found := x.machines(t, len(f.names))
	for i, j := range found {
		if j.on != f.names[i] {
			t.Errorf("Machine %s is on %s, want %s", j.machine.Name, j.on, f.names[i])
		}
		node := readyNode(t, x.user, j.machine.Status.NodeRef.Name)
		id := j.host.Spec.ProviderID
		if !strings.HasPrefix(id, "teapot://") || node.Spec.ProviderID != id || j.machine.Spec.ProviderID != id {
			t.Errorf("the provider ids of HostMachine, Node and Machine are %q, %q, %q", id, node.Spec.ProviderID, j.machine.Spec.ProviderID)
		}
		if node.Name != j.machine.Name {
			t.Errorf("the Node of Machine %s is called %s", j.machine.Name, node.Name)
		}
		power := f.machine(t, j.on)
		address, _, _ := strings.Cut(power.Address, "/")
		if !slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address}) {
			t.Errorf("the Node's addresses are %v, want %s", node.Status.Addresses, address)
		}
		// Cluster API's, until it has labelled the Node.
		eventually(t, time.Minute, "the taints of Node "+node.Name+" to be removed", func(ctx context.Context) error {
			now, err := x.user.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
			if err == nil && len(now.Spec.Taints) > 0 {
				err = fmt.Errorf("they are %v", now.Spec.Taints)
			}
			return err
		})
		t.Logf("%s was a Node %.1f s after power on", j.on, node.CreationTimestamp.Sub(power.PowerSince).Seconds())
	}
	addOnsRun(t, x.user, len(found))
	eventually(t, time.Minute, "the bootstrap tokens to be removed", func(ctx context.Context) error {
		secrets, err := x.user.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(bootstrapapi.SecretTypeBootstrapToken)})
		if err == nil && len(secrets.Items) > 0 {
			err = fmt.Errorf("there are %d", len(secrets.Items))
		}
		return err
	})
}

// readyNode waits until a Node is Ready.
func readyNode(t *testing.T, user kubernetes.Interface, name string) *corev1.Node {
	t.Helper()
	var node *corev1.Node
	eventually(t, time.Minute, "Node "+name+" to be Ready", func(ctx context.Context) (err error) {
		if node, err = user.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			return fmt.Errorf("its conditions are %v", node.Status.Conditions)
		}
		return nil
	})
	return node
}

// addOnsRun waits until all that Teapot has in the cluster runs: on every machine kube-proxy and
// the konnectivity agent, and CoreDNS somewhere.
func addOnsRun(t *testing.T, user kubernetes.Interface, machines int) {
	t.Helper()
	eventually(t, 2*time.Minute, "the add-ons to run", func(ctx context.Context) error {
		pods, err := user.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := map[string]int{}
		for _, pod := range pods.Items {
			if isReady(pod) {
				running[pod.Labels["k8s-app"]]++
			}
		}
		if running["kube-proxy"] != machines || running["konnectivity-agent"] != machines || running["kube-dns"] == 0 {
			return fmt.Errorf("Ready pods: %v", running)
		}
		return nil
	})
}
