package clusterctl

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/output"
)

const (
	namespace   = "acme"
	clusterName = "acme"
	version     = "v1.36.3"
	machines    = 2
)

// TestClusterctl is the life of one Cluster by clusterctl alone: installed, generated, described,
// moved to another management cluster, and living on there.
func TestClusterctl(t *testing.T) {
	r := newRepository(t)
	source, target := newManagement(t, "source", r), newManagement(t, "target", r)
	w := &world{pods: &pods{owner: types.NamespacedName{Namespace: namespace, Name: clusterName}, data: t.TempDir()}}
	t.Cleanup(w.pods.stop)

	source.init(t)
	checkInstalled(t, source)
	source.addHosts(t, "host-0", "host-1", "host-2", "host-3")

	generate(t, source)
	w.at = source
	w.until(t, "the Cluster to be there", source.settled)
	describe(t, source, 1)
	pool, alone := source.addOthers(t, w)

	target.init(t)
	before := source.inventory(t)
	nodes := w.nodes(t)
	witnesses := []*witness{source.watchHosts(t)}
	source.pauseHosts(t)
	target.bringHosts(t, source)
	witnesses = append(witnesses, target.watchHosts(t))
	holders := source.holders(t)

	w.move(t, source, target)

	for kind, names := range target.inventory(t) {
		if !slices.Equal(names, before[kind]) {
			t.Errorf("of kind %s there are %q in the target, and there were %q in the source", kind, names, before[kind])
		}
	}
	for kind, names := range source.inventory(t) {
		if len(names) > 0 {
			t.Errorf("of kind %s there are still %q in the source", kind, names)
		}
	}
	must(t, target.client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool))
	must(t, source.client.Get(t.Context(), client.ObjectKeyFromObject(alone), alone))
	if !alone.DeletionTimestamp.IsZero() {
		t.Error("a claim that is of no Cluster is being deleted")
	}

	w.at = target
	w.bringData(t, source, target)
	target.unpauseHosts(t)
	w.until(t, "the Cluster to be in the target as it was", target.settled)
	if now := w.nodes(t); !maps.Equal(now, nodes) {
		t.Errorf("the Nodes are %v, and were %v", now, nodes)
	}
	delete(holders, hostOf(t, source, alone))
	now := target.holders(t)
	delete(now, hostOf(t, source, alone))
	if !maps.Equal(now, holders) {
		t.Errorf("hosts are held by %v, and were by %v", now, holders)
	}
	describe(t, target, 2) // the pool has one
	for _, each := range witnesses {
		each.verdict(t)
	}
	w.shrink(t, target)
}

// world is what is played beside the managers.
type world struct {
	pods *pods
	at   *management
}

// until plays until a condition holds.
func (w *world) until(t *testing.T, what string, check func(*testing.T) error) {
	t.Helper()
	eventually(t, what, func() error {
		w.play(t)
		return check(t)
	})
}

// play plays one round of pods, hosts and machines.
func (w *world) play(t *testing.T) {
	t.Helper()
	w.pods.play(t, w.at)
	w.at.playHosts(t)
	plane := &teapotv1.TenantControlPlane{}
	if missing(t, w.at, namespace, clusterName, plane) || !meta.IsStatusConditionTrue(plane.Status.Conditions, teapotv1.ReadyCondition) {
		return // nobody can join
	}
	list := &teapotv1.HostMachineList{}
	must(t, w.at.client.List(t.Context(), list, client.InNamespace(namespace)))
	for _, machine := range list.Items {
		if machine.DeletionTimestamp.IsZero() && meta.IsStatusConditionTrue(machine.Status.Conditions, teapotv1.ReadyCondition) {
			w.pods.join(t, w.at, machine.Name, machine.Spec.ProviderID)
		}
	}
}

// nodes are the tenant's Nodes, by name, with their UIDs.
func (w *world) nodes(t *testing.T) map[string]types.UID {
	t.Helper()
	list := &corev1.NodeList{}
	must(t, w.pods.tenant(t, w.at).List(t.Context(), list))
	found := map[string]types.UID{}
	for _, node := range list.Items {
		found[node.Name] = node.UID
	}
	return found
}

// generate makes a Cluster by `clusterctl generate cluster`, with a port that is the same in any
// management cluster.
func generate(t *testing.T, m *management) {
	t.Helper()
	must(t, m.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	manifest := m.clusterctl(t, []string{
		"TEAPOT_IMAGE_URL=https://images.example.com/node.qcow2", "TEAPOT_IMAGE_CHECKSUM=" + strings.Repeat("0", 64), "TEAPOT_ENDPOINT_TYPE=NodePort",
	}, "generate", "cluster", clusterName, "--target-namespace", namespace, "--kubernetes-version", version, "--worker-machine-count", fmt.Sprint(machines))
	manifest = strings.Replace(manifest, "type: NodePort", fmt.Sprintf("{type: NodePort, port: %d}", 30000+rand.IntN(2768)), 1)
	m.apply(t, manifest)
}

// settled says what of the Cluster is not as it should be in the end.
func (m *management) settled(t *testing.T) error {
	cluster := &clusterv1.Cluster{}
	if err := m.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: clusterName}, cluster); err != nil {
		return err
	}
	plane := &teapotv1.TenantControlPlane{}
	if err := m.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: clusterName}, plane); err != nil {
		return err
	}
	failures := []error{
		is("TenantControlPlane", plane.Status.Conditions, teapotv1.ReadyCondition),
		is("Cluster", cluster.Status.Conditions, clusterv1.ClusterAvailableCondition),
	}
	all := &clusterv1.MachineList{}
	must(t, m.client.List(t.Context(), all, client.InNamespace(namespace)))
	if len(all.Items) != machines {
		failures = append(failures, fmt.Errorf("there are %d Machines", len(all.Items)))
	}
	for _, machine := range all.Items {
		if !machine.Status.NodeRef.IsDefined() {
			failures = append(failures, fmt.Errorf("Machine %s has no Node", machine.Name))
		}
		failures = append(failures, is("Machine "+machine.Name, machine.Status.Conditions, clusterv1.MachineAvailableCondition))
		host, claim := &teapotv1.HostMachine{}, &teapotv1.MachineClaim{}
		key := types.NamespacedName{Namespace: namespace, Name: machine.Spec.InfrastructureRef.Name}
		if err := errors.Join(m.client.Get(t.Context(), key, host), m.client.Get(t.Context(), key, claim)); err != nil {
			failures = append(failures, err)
			continue
		}
		failures = append(failures,
			is("HostMachine "+host.Name, host.Status.Conditions, teapotv1.ReadyCondition),
			is("MachineClaim "+claim.Name, claim.Status.Conditions, teapotv1.ReadyCondition))
		if host.Status.Host == nil || claim.Status.Host == nil {
			failures = append(failures, fmt.Errorf("HostMachine %s does not say which host it has", host.Name))
		}
	}
	return errors.Join(failures...)
}

func is(what string, conditions []metav1.Condition, kind string) error {
	condition := meta.FindStatusCondition(conditions, kind)
	switch {
	case condition == nil:
		return fmt.Errorf("%s has no condition %s", what, kind)
	case condition.Status != metav1.ConditionTrue:
		return fmt.Errorf("%s is not %s: %s: %s", what, kind, condition.Reason, condition.Message)
	}
	return nil
}

// describe looks at what `clusterctl describe cluster` shows.
func describe(t *testing.T, m *management, deployments int) {
	t.Helper()
	shown := m.clusterctl(t, nil, "describe", "cluster", clusterName, "-n", namespace, "--echo", "--grouping=false")
	ready := map[string]int{}
	for line := range strings.Lines(shown) {
		fields := strings.Fields(strings.TrimLeft(line, "│├─└ "))
		if len(fields) > 1 && slices.Contains(fields, "True") {
			ready[fields[0]]++
		}
	}
	want := map[string]int{
		"Cluster": 1, "TenantCluster": 1, "TenantControlPlane": 1, "MachineDeployment": deployments,
		"Machine": machines, "HostMachine": machines, "KubeadmConfig": machines,
	}
	if !maps.Equal(ready, want) {
		t.Errorf("shown to be ready are %v, want %v:\n%s", ready, want, shown)
	}
}

// addOthers makes what else may be in the namespace: a pool, which is the control plane's and has no
// machines, and a claim that is of no Cluster.
func (m *management) addOthers(t *testing.T, w *world) (*teapotv1.WorkerPool, *teapotv1.MachineClaim) {
	t.Helper()
	plane := &teapotv1.TenantControlPlane{}
	must(t, m.client.Get(t.Context(), w.pods.owner, plane))
	image := teapotv1.Image{URL: "oci://images.example.com/node"}
	pool := &teapotv1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pool", OwnerReferences: []metav1.OwnerReference{{
			APIVersion: teapotv1.GroupVersion.String(), Kind: "TenantControlPlane", Name: plane.Name, UID: plane.UID,
		}}},
		Spec: teapotv1.WorkerPoolSpec{ControlPlaneName: plane.Name, Version: version, Replicas: new(int32), HostRequest: teapotv1.HostRequest{Image: image}},
	}
	must(t, m.client.Create(t.Context(), pool))
	alone := &teapotv1.MachineClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alone"},
		Spec:       teapotv1.MachineClaimSpec{HostRequest: teapotv1.HostRequest{Image: image}},
	}
	must(t, m.client.Create(t.Context(), alone))
	w.until(t, "the pool and the claim that is of no Cluster", func(t *testing.T) error {
		must(t, m.client.Get(t.Context(), client.ObjectKeyFromObject(alone), alone))
		must(t, m.client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool))
		return errors.Join(
			is("the claim", alone.Status.Conditions, teapotv1.ReadyCondition),
			is("the pool", pool.Status.Conditions, teapotv1.ReadyCondition))
	})
	return pool, alone
}

func hostOf(t *testing.T, m *management, claim *teapotv1.MachineClaim) string {
	t.Helper()
	must(t, m.client.Get(t.Context(), client.ObjectKeyFromObject(claim), claim))
	_, name, _ := strings.Cut(claim.Annotations[teapotv1.HostAnnotation], "/")
	return name
}

// move moves the Cluster. The control plane's data does not go with it, so it is not moved until
// somebody says that it will be brought.
func (w *world) move(t *testing.T, source, target *management) {
	t.Helper()
	command := source.repository.command(t, nil, "move", "-v", "5", "-n", namespace, "--kubeconfig", source.kubeconfig, "--to-kubeconfig", target.kubeconfig)
	said := &output.Buffer{}
	command.Stdout, command.Stderr = said, said
	must(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	w.until(t, "clusterctl to wait", func(*testing.T) error {
		if !strings.Contains(said.String(), "Move blocked") {
			return errors.New(said.String())
		}
		return nil
	})
	for kind, names := range target.inventory(t) {
		if len(names) > 0 {
			t.Errorf("of kind %s there are %q in the target before anybody said what becomes of the data", kind, names)
		}
	}
	plane := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clusterName}}
	apiserver.Change(t, source.client, plane, func() { plane.Spec.Datastore.AdoptFrom = w.pods.namespace() })
	w.until(t, "clusterctl to be done", func(*testing.T) error {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("clusterctl move: %v\n%s", err, said)
			}
			return nil
		default:
			return errors.New(tail(said.String(), 500))
		}
	})
}

// bringData brings the keys and the volume of the control plane from one management cluster to the
// other, as docs/clusterapi.md says, once it is seen that nothing was made in their place.
func (w *world) bringData(t *testing.T, source, target *management) {
	t.Helper()
	plane := &teapotv1.TenantControlPlane{}
	w.until(t, "the control plane to wait for its data", func(t *testing.T) error {
		must(t, target.client.Get(t.Context(), w.pods.owner, plane))
		ready := meta.FindStatusCondition(plane.Status.Conditions, teapotv1.NamespaceReadyCondition)
		if ready == nil || ready.Reason != teapotv1.ReasonRetainedDataMissing {
			return fmt.Errorf("it says %+v", plane.Status.Conditions)
		}
		return nil
	})
	if err := target.client.Get(t.Context(), types.NamespacedName{Name: w.pods.namespace()}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a namespace for a control plane whose data is elsewhere (%v)", err)
	}

	w.pods.stop()
	own := &corev1.Namespace{}
	must(t, source.client.Get(t.Context(), types.NamespacedName{Name: w.pods.namespace()}, own))
	retained, err := controlplane.EncodeRetained(controlplane.Input{Owner: w.pods.owner, Spec: plane.Spec})
	must(t, err)
	moved := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own.Name, Labels: own.Labels}}
	must(t, target.client.Create(t.Context(), moved))
	keys := &corev1.Secret{}
	must(t, source.client.Get(t.Context(), types.NamespacedName{Namespace: own.Name, Name: controlplane.AuthoritiesName}, keys))
	volumes := &corev1.PersistentVolumeClaimList{}
	must(t, source.client.List(t.Context(), volumes, client.InNamespace(own.Name)))
	objects := []client.Object{keys}
	for i := range volumes.Items {
		objects = append(objects, &volumes.Items[i])
	}
	for _, object := range objects {
		object.SetLabels(labels.Merge(object.GetLabels(), labels.Set{teapotv1.RetainedLabel: plane.Name}))
		object.SetResourceVersion("")
		object.SetUID("")
		must(t, target.client.Create(t.Context(), object))
	}
	apiserver.Change(t, target.client, moved, func() {
		metav1.SetMetaDataLabel(&moved.ObjectMeta, teapotv1.RetainedLabel, plane.Name)
		metav1.SetMetaDataAnnotation(&moved.ObjectMeta, teapotv1.RetainedSpecAnnotation, retained)
	})
}

// shrink asks for a machine less where the Cluster came to: it is drained and its host given back.
func (w *world) shrink(t *testing.T, m *management) {
	t.Helper()
	held := len(m.holders(t))
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clusterName}}
	apiserver.Change(t, m.client, cluster, func() {
		*cluster.Spec.Topology.Workers.MachineDeployments[0].Replicas = machines - 1
	})
	w.until(t, "a host to be given back", func(t *testing.T) error {
		if now := len(m.holders(t)); now != held-1 {
			return fmt.Errorf("%d hosts are held, and were %d", now, held)
		}
		return nil
	})
}
