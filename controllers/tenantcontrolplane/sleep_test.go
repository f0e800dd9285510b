package tenantcontrolplane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// sleeper is a control plane with a Cluster and a machine of a pool, which Cluster API holds until it
// is gone.
type sleeper struct {
	*hand
	tcp     *teapotv1.TenantControlPlane
	cluster *clusterv1.Cluster
	machine *clusterv1.Machine
	clock   *clocktesting.FakePassiveClock
}

func newSleeper(t *testing.T, workers teapotv1.HibernatedWorkers) *sleeper {
	t.Helper()
	if err := apiserver.InstallUpstream(config, apiserver.ClusterAPICRDs); err != nil {
		t.Fatal(err)
	}
	x := &sleeper{tcp: byHand(tenantNamespace(t)), clock: clocktesting.NewFakePassiveClock(time.Now())}
	x.cluster = &clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: x.tcp.Namespace, Name: x.tcp.Name},
		Spec: clusterv1.ClusterSpec{ControlPlaneRef: clusterv1.ContractVersionedObjectReference{
			APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: x.tcp.Name,
		}},
	}
	x.machine = &clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: x.tcp.Namespace, Name: "worker-0", Finalizers: []string{"test.teapot.dev/cluster-api"},
			Labels: map[string]string{clusterv1.ClusterNameLabel: x.tcp.Name, teapotv1.PoolLabel: "workers", clusterv1.MachineDeploymentNameLabel: "workers"},
		},
		Spec: clusterv1.MachineSpec{
			ClusterName: x.tcp.Name, ProviderID: "teapot://worker-0", Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("none")},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "HostMachine", Name: "worker-0"},
		},
	}
	for _, object := range []client.Object{x.cluster, x.machine} {
		if err := direct.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { x.machineEnds(t) })
	x.machine.Status.NodeRef = clusterv1.MachineNodeReference{Name: "worker-0"}
	if err := direct.Status().Update(t.Context(), x.machine); err != nil {
		t.Fatal(err)
	}
	ownedBy(x.cluster.Name, x.cluster.UID)(x.tcp)
	x.tcp.Spec.Hibernation = &teapotv1.HibernationSpec{Workers: workers}
	makeOne(t.Context(), t, x.tcp)
	t.Cleanup(func() { sweep(context.Background(), t, key(x.tcp)) })
	x.hand = newHand(t, key(x.tcp), x.clock, "", 0)
	x.until(t, isReady(t.Context(), key(x.tcp)))
	return x
}

func (x *sleeper) until(t *testing.T, done func() error) {
	t.Helper()
	if x.settle(t.Context(), t, done) == nil {
		t.FailNow()
	}
}

// sleep asks for sleep, or for its end.
func (x *sleeper) sleep(t *testing.T, enabled bool) {
	t.Helper()
	patch(t.Context(), t, x.tcp, func(spec *teapotv1.TenantControlPlaneSpec) { spec.Hibernation.Enabled = &enabled })
}

// machineEnds is what Cluster API does when nothing of a machine is left.
func (x *sleeper) machineEnds(t *testing.T) {
	t.Helper()
	ctx := contextOf(t)
	err := errors.Join(
		client.IgnoreNotFound(direct.Patch(ctx, x.machine.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))),
		client.IgnoreNotFound(direct.Delete(ctx, x.machine.DeepCopy())),
	)
	if err != nil {
		t.Error(err)
	}
}

// marked waits until the Cluster says what is to become of machines, and is paused, or not.
func (x *sleeper) marked(t *testing.T, workers string, paused bool) {
	t.Helper()
	x.until(t, func() error {
		cluster := &clusterv1.Cluster{}
		if err := direct.Get(t.Context(), client.ObjectKeyFromObject(x.cluster), cluster); err != nil {
			return err
		}
		if is := cluster.Annotations[teapotv1.HibernationAnnotation]; is != workers || ptr.Deref(cluster.Spec.Paused, false) != paused {
			return fmt.Errorf("the Cluster says %q, paused %t", is, ptr.Deref(cluster.Spec.Paused, false))
		}
		return nil
	})
}

// waitsFor waits until the status names what is waited for, with everything still running.
func (x *sleeper) waitsFor(t *testing.T, words string) {
	t.Helper()
	x.until(t, func() error {
		if err := direct.Get(t.Context(), key(x.tcp), x.tcp); err != nil {
			return err
		}
		if h := x.tcp.Status.Hibernation; h == nil || h.Phase != teapotv1.HibernationHibernating || !strings.Contains(h.Message, words) {
			return fmt.Errorf("hibernation is %+v", h)
		}
		return nil
	})
	if replicas, members := sizes(t, x.tcp); replicas != 1 || members != 1 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted while a machine is waited for", replicas, members)
	}
}

// TestMachinesGoBeforeTheirControlPlaneSleeps: the API stays until each machine is asked to go, and
// Cluster API is left to work until they are gone.
func TestMachinesGoBeforeTheirControlPlaneSleeps(t *testing.T) {
	x := newSleeper(t, teapotv1.HibernatedWorkersRelease)
	x.sleep(t, true)
	x.marked(t, "Release", false)
	x.waitsFor(t, "worker-0")
	if err := direct.Delete(t.Context(), x.machine.DeepCopy()); err != nil { // which its pool does
		t.Fatal(err)
	}
	x.until(t, isAsleep(t.Context(), key(x.tcp)))
	x.marked(t, "Release", false) // the machine is not gone
	x.machineEnds(t)
	x.marked(t, "Release", true)

	x.sleep(t, false)
	x.until(t, isReady(t.Context(), key(x.tcp)))
	x.marked(t, "", false)
}

// TestAMachineThatDoesNotGoIsPassed: nothing keeps a control plane awake for ever.
func TestAMachineThatDoesNotGoIsPassed(t *testing.T) {
	x := newSleeper(t, teapotv1.HibernatedWorkersRelease)
	x.sleep(t, true)
	x.waitsFor(t, "worker-0")
	x.clock.SetTime(x.clock.Now().Add(4 * time.Minute))
	x.until(t, isAsleep(t.Context(), key(x.tcp)))
	if told := strings.Join(x.told(), "\n"); strings.Count(told, teapotv1.ReasonWorkersLeft) != 1 || !strings.Contains(told, "worker-0") {
		t.Errorf("want one event that names the machine, told is:\n%s", told)
	}
}

// TestMachinesThatAreKept: Cluster API leaves them alone from before the API goes until their Nodes had
// time to be back.
func TestMachinesThatAreKept(t *testing.T) {
	x := newSleeper(t, teapotv1.HibernatedWorkersKeep)
	x.sleep(t, true)
	x.until(t, isAsleep(t.Context(), key(x.tcp)))
	x.marked(t, "Keep", true)
	x.sleep(t, false)
	x.marked(t, "Waking", true)
	x.clock.SetTime(x.clock.Now().Add(11 * time.Minute))
	x.marked(t, "", false)
}

// TestWhoPausesAClusterIsHeeded: a control plane of a Cluster that a person paused does not go to sleep.
func TestWhoPausesAClusterIsHeeded(t *testing.T) {
	x := newSleeper(t, teapotv1.HibernatedWorkersRelease)
	pause(t, x.cluster, true)
	x.sleep(t, true)
	for range 3 {
		if _, err := x.once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.marked(t, "", true)
	if replicas, _ := sizes(t, x.tcp); replicas != 1 {
		t.Errorf("%d control-plane pods are wanted", replicas)
	}
	pause(t, x.cluster, false)
	x.marked(t, "Release", false)
}

// TestDeletedAsleepWithACluster: Cluster API deletes nothing that is paused, so it is no more when the
// Cluster, or the control plane, is deleted.
func TestDeletedAsleepWithACluster(t *testing.T) {
	x := newSleeper(t, teapotv1.HibernatedWorkersKeep)
	x.sleep(t, true)
	x.until(t, isAsleep(t.Context(), key(x.tcp)))
	x.marked(t, "Keep", true)
	deleteOne(t.Context(), t, x.tcp)
	x.until(t, isGone(t.Context(), key(x.tcp)))
	cluster := &clusterv1.Cluster{}
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(x.cluster), cluster); err != nil {
		t.Fatal(err)
	}
	if ptr.Deref(cluster.Spec.Paused, false) {
		t.Error("the Cluster is paused still, and nobody would unpause it")
	}
}
