package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// The tests' machines are the last of the room, so that the first are left to whoever uses it by
// hand. Numbers 24 and 25 are of the classes small and medium.
var fleetMachines = []string{"machine-24", "machine-25"}

// roomSize is how many machines the room has at least.
const roomSize = 28

const (
	// joinedWithin is how long machines may take, on a busy computer, from their hosts' making
	// until they are Nodes: inspection, writing, booting. What it takes is measured by test/bench.
	joinedWithin = 4 * time.Minute
	// releasedWithin is how long a host may take to be deprovisioned, cleaned and free.
	releasedWithin = 3 * time.Minute
)

// fleetLabel is on the namespaces of these tests and says what each is for, and fleetOfLabel of which
// test it is, so that a later run finds what a killed one left, and tests run side by side.
const (
	fleetLabel   = "e2e.teapot.dev/machines"
	fleetOfLabel = "e2e.teapot.dev/machines-of"
)

// fleet is hosts for a test.
type fleet struct {
	room control.Client
	// of is the test, as a label.
	of string
	// namespace is the hosts'.
	namespace string
	names     []string
}

// TestFleets has machines boot, for tests that wait for them more than they compute: side by side,
// but for a long run, in which some want the same machines. All of it comes before the test that
// compares the manager's rights with their use.
func TestFleets(t *testing.T) {
	for name, run := range map[string]func(*testing.T){
		"Machines": testMachines, "MachinesFail": testMachinesFail, "Pools": testPools, "PoolTornAway": testPoolTornAway,
		"Hibernation": testHibernation, "Idle": testIdle,
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(longEnv) == "" {
				t.Parallel()
			}
			run(t)
		})
	}
}

// testMachines takes two machines through their life: a tenant gets them, uses them, and gives one
// back, which another tenant gets then and gives back while its API is dead. Each step stands on
// the ones before.
func testMachines(t *testing.T) {
	f := newFleet(t, fleetMachines...)
	web := f.newTenant(t, "web", 2, f.names...)
	given := f.names[0]
	shop := f.newTenant(t, "shop", 0, given)
	f.allow(t, web.namespace, shop.namespace)
	orphan := newOrphan(t, web)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"machines join", func(t *testing.T) { machinesJoin(t, f, web) }},
		{"pods are reached", func(t *testing.T) { podsAreReached(t, f, web) }},
		{"nothing of others is found on a machine", func(t *testing.T) { nothingOfOthers(t, f, web, shop) }},
		{"a host is given back", func(t *testing.T) { hostIsGivenBack(t, f, web, given) }},
		{"another tenant gets it, erased", func(t *testing.T) { nextTenantGetsIt(t, f, web, shop, given) }},
		{"a dead API stops no release", func(t *testing.T) { deadTenantReleases(t, f, shop, given) }},
		{"an orphan is told of", func(t *testing.T) { orphanIsTold(t, orphan) }},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// newFleet makes hosts of machines, and removes them, and all tenants of the test, at the end.
func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	if err := openRoom(); err != nil {
		t.Fatal(err)
	}
	f := &fleet{room: control.Client{Dir: room.FromEnvironment()}, of: fleetOf(t), names: names}
	if err := f.remove(t.Context()); err != nil { // what a killed run left
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if t.Failed() {
			f.dump(ctx, t)
		}
		if err := f.remove(ctx); err != nil {
			t.Error(err)
		}
	})
	f.namespace = f.newNamespace(t, "hosts")
	for _, name := range names {
		host, secret := control.Host(f.namespace, f.machine(t, name))
		for _, object := range []client.Object{secret, host} {
			if err := management.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// openRoom starts the machine room once, by the command line that people use. It may take minutes: the
// first time it builds what machines boot.
var openRoom = sync.OnceValue(func() error {
	for _, args := range [][]string{{"image"}, {"up", "--machines", fmt.Sprint(roomSize)}} {
		command := exec.Command("go", append([]string{"run", "./test/machineroom"}, args...)...)
		command.Dir = root
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("machineroom %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
})

// fleetOf is the value of fleetOfLabel.
func fleetOf(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", ".") }

// namespaces are those of the fleet.
func (f *fleet) namespaces(ctx context.Context) (*corev1.NamespaceList, error) {
	list := &corev1.NamespaceList{}
	return list, management.List(ctx, list, client.MatchingLabels{fleetOfLabel: f.of})
}

// newNamespace makes a namespace that goes with the fleet.
func (f *fleet) newNamespace(t *testing.T, role string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-" + role + "-", Labels: map[string]string{fleetLabel: role, fleetOfLabel: f.of}}}
	if err := management.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// allow lets the claims of namespaces have the fleet's hosts.
func (f *fleet) allow(t *testing.T, namespaces ...string) {
	t.Helper()
	policy := &metal3.HostDeployPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "e2e"}}
	policy.Spec.HostClaimNamespaces = &metal3.HostClaimNamespaces{Names: namespaces}
	if err := management.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
}

// machine is a machine as the room has it now.
func (f *fleet) machine(t *testing.T, name string) control.Machine {
	t.Helper()
	m, err := f.room.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// host is a machine's host as it is now.
func (f *fleet) host(ctx context.Context, name string) (*metal3.BareMetalHost, error) {
	host := &metal3.BareMetalHost{}
	return host, management.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: name}, host)
}

// on runs a command in a machine, as if typed at its console, and returns what it printed.
func (f *fleet) on(ctx context.Context, name string, input []byte, args ...string) (string, error) {
	dir := room.MachineDir(f.room.Dir, name)
	command, err := machine.New(machine.Config{Name: name, Dir: dir}).Exec(ctx, args[0], args[1:]...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s in %s: %w: %s", args[0], name, err, tail(stderr.Bytes(), 1000))
	}
	return stdout.String(), nil
}

// remove removes the tenants of these tests, then the hosts, then the namespaces. The order is an
// operator's: a host's credentials are needed until it is given back.
func (f *fleet) remove(ctx context.Context) error {
	var problems []error
	for _, name := range f.names {
		problems = append(problems, f.room.Fail(ctx, name, "none"))
	}
	namespaces, err := f.namespaces(ctx)
	if err != nil {
		return err
	}
	// A test may have ended while it had a control plane paused.
	for _, namespace := range namespaces.Items {
		paused := &teapotv1.TenantControlPlaneList{}
		problems = append(problems, management.List(ctx, paused, client.InNamespace(namespace.Name)))
		for _, tcp := range paused.Items {
			problems = append(problems, management.Patch(ctx, &tcp, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":false}}`))))
		}
	}
	for _, list := range []client.ObjectList{&clusterv1.ClusterList{}, &teapotv1.MachineClaimList{}, &metal3.BareMetalHostList{}} {
		problems = append(problems, removeAll(ctx, list, namespaces.Items))
	}
	for _, namespace := range namespaces.Items {
		problems = append(problems, client.IgnoreNotFound(management.Delete(ctx, &namespace)))
	}
	for _, namespace := range namespaces.Items {
		problems = append(problems, untilGone(ctx, &namespace))
	}
	return errors.Join(problems...)
}

// removeLimit is how long objects of one kind have to go. A host that must be cleaned takes the
// longest.
const removeLimit = releasedWithin

// removeAll deletes all objects of one kind in some namespaces, and waits until they are gone.
func removeAll(ctx context.Context, list client.ObjectList, namespaces []corev1.Namespace) error {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	var all []runtime.Object
	for _, namespace := range namespaces {
		if err := management.List(ctx, list, client.InNamespace(namespace.Name)); err != nil {
			return err
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return err
		}
		all = append(all, items...)
	}
	for _, object := range all {
		if err := client.IgnoreNotFound(management.Delete(ctx, object.(client.Object))); err != nil {
			return err
		}
	}
	for _, object := range all {
		if err := untilGone(ctx, object.(client.Object)); err != nil {
			return err
		}
	}
	return nil
}

// untilGone waits until an object is no more.
func untilGone(ctx context.Context, object client.Object) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := management.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%T %s/%s is still there", object, object.GetNamespace(), object.GetName()), err)
		case <-ticker.C:
		}
	}
}

// dump writes what explains a failure into test/out/<test>/: all objects between a tenant and its
// machines, what those who work on them said, and the machines' consoles.
func (f *fleet) dump(ctx context.Context, t *testing.T) {
	directory := filepath.Join(root, "test/out", strings.ReplaceAll(t.Name(), "/", "_"))
	keep := func(file string, content []byte, err error) {
		if err := errors.Join(err, state.WriteFile(filepath.Join(directory, file), content, 0o644)); err != nil {
			t.Logf("dumping %s: %v", file, err)
		}
	}
	kubectl := func(file string, args ...string) {
		out, err := exec.CommandContext(ctx, os.Getenv("KUBECTL"), args...).CombinedOutput()
		keep(file, out, err)
	}
	namespaces, err := f.namespaces(ctx)
	if err != nil {
		t.Log(err)
	}
	for _, namespace := range namespaces.Items {
		if namespace.Name != f.namespace {
			dump(ctx, t, namespace.Name)
		}
		role := namespace.Labels[fleetLabel]
		kubectl(role+".yaml", "get", "-n", namespace.Name, "-o", "yaml",
			"workerpools,baremetalhosts,hostdeploypolicies,clusters,machinedeployments,machinesets,machines,machinehealthchecks,kubeadmconfigs,tenantclusters,hostmachines,hostmachinetemplates,machineclaims")
		kubectl(role+"-events.txt", "get", "events", "-n", namespace.Name, "--sort-by=.metadata.creationTimestamp")
	}
	for _, who := range [][2]string{
		{"capi-system", "capi-controller-manager"},
		{"capi-kubeadm-bootstrap-system", "capi-kubeadm-bootstrap-controller-manager"},
		{"baremetal-operator-system", "baremetal-operator-controller-manager"},
	} {
		kubectl(who[1]+".log", "logs", "-n", who[0], "deployment/"+who[1], "--tail=3000")
	}
	log, err := os.ReadFile(state.Dir(f.room.Dir).Log("server"))
	keep("machineroom.log", tail(log, 1<<20), err)
	for _, name := range f.names {
		console, err := os.ReadFile(machine.Config{Dir: room.MachineDir(f.room.Dir, name)}.Console())
		if errors.Is(err, os.ErrNotExist) {
			continue // it never booted
		}
		keep(name+"-console.log", console, err)
		if journal, err := f.on(ctx, name, nil, "journalctl", "--no-pager", "-n", "3000"); err == nil { // else it is off
			keep(name+"-journal.log", []byte(journal), nil)
		}
	}
	t.Logf("hosts, claims, Cluster API's objects, logs and consoles are in %s", directory)
}
