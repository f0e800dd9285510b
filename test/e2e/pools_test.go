package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// poolMachines are the hosts of the pool's tests: two machines, and as many to replace them.
var poolMachines = []string{"machine-20", "machine-21", "machine-22", "machine-23"}

// Labels of the Nodes of these tests. A change of the first replaces machines, Cluster API writes the
// second in place.
const (
	generationLabel = "e2e.teapot.dev/generation"
	roleLabel       = "node-role.kubernetes.io/e2e"
	otherRoleLabel  = "node-role.kubernetes.io/other"
)

const (
	// drainSeconds is how long a machine of these tests is waited for, in each of three ways.
	drainSeconds = 10
	// rolledWithin is how long it may take until all machines were replaced side by side, and
	// healedWithin until one that failed was, which the operator notices when it looks.
	rolledWithin = joinedWithin + releasedWithin
	healedWithin = 8 * time.Minute
)

// testPools takes a pool through its life: its machines join, are replaced by a change and after a
// power cut, and go with the control plane. Each step stands on the ones before.
func testPools(t *testing.T) {
	f := newFleet(t, poolMachines...)
	x := f.tenantOf(t, "pool", "workerpool.yaml", 2, f.names...)
	f.allow(t, x.namespace)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"machines join", func(t *testing.T) { poolJoins(t, x, 2) }},
		{"a change replaces them", func(t *testing.T) { poolRolls(t, f, x) }},
		{"one without power is replaced", func(t *testing.T) { poolHeals(t, f, x) }},
		{"kubectl scale", func(t *testing.T) { poolScales(t, f, x) }},
		{"all goes with the control plane", func(t *testing.T) { poolGoes(t, f, x, x.controlPlane()) }},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// poolJoins waits for a pool's machines and compares what people see of them.
func poolJoins(t *testing.T, x *machinesTenant, count int) {
	found := x.machines(t, count)
	for _, j := range found {
		node := readyNode(t, x.user, j.machine.Status.NodeRef.Name)
		if node.Labels[generationLabel] != "1" {
			t.Errorf("Node %s has not the pool's label: %v", node.Name, node.Labels)
		}
		if j.machine.Labels[teapotv1.PoolLabel] != x.name {
			t.Errorf("Machine %s has labels %v", j.machine.Name, j.machine.Labels)
		}
		eventually(t, time.Minute, "Node "+node.Name+" to have its role and taint alone", func(ctx context.Context) error {
			now, err := x.user.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if _, has := now.Labels[roleLabel]; !has || len(now.Spec.Taints) != 1 || now.Spec.Taints[0].Key != "e2e.teapot.dev/taint" {
				return fmt.Errorf("labels %v, taints %v", now.Labels, now.Spec.Taints)
			}
			return nil
		})
	}
	x.poolIsReady(t, count)
	clusters := &clusterv1.ClusterList{}
	if err := management.List(t.Context(), clusters, client.InNamespace(x.namespace)); err != nil {
		t.Fatal(err)
	}
	if len(clusters.Items) != 1 || clusters.Items[0].Name != x.name {
		t.Errorf("want one Cluster %s: %+v", x.name, clusters.Items)
	}
	if out := teapot(t, "get", "pools", "--namespace", x.namespace); !strings.Contains(out, x.name) {
		t.Errorf("teapot get pools says:\n%s", out)
	}
	if out := teapot(t, "get", "machines", "--namespace", x.namespace); strings.Count(out, x.name+"-") < count {
		t.Errorf("teapot get machines says:\n%s", out)
	}
}

// poolRolls changes what the machines are, and what their Nodes are called. As many hosts are to spare.
func poolRolls(t *testing.T, f *fleet, x *machinesTenant) {
	before := x.machines(t, 2)
	x.editPool(t, func(spec *teapotv1.WorkerPoolSpec) {
		spec.Strategy.MaxSurge = ptr.To(intstr.FromString("100%"))
		spec.Strategy.MaxUnavailable = ptr.To(intstr.FromInt32(0))
		delete(spec.Labels, roleLabel)
		spec.Labels[otherRoleLabel] = ""
		spec.Labels[generationLabel] = "2"
	})
	x.poolSays(t, time.Minute, metav1.ConditionFalse, teapotv1.ReasonRolling)
	eventually(t, rolledWithin, "the machines to be replaced", func(ctx context.Context) error {
		for _, j := range before {
			if err := goneAll(ctx, &j.machine); err != nil {
				return err
			}
		}
		return nil
	})
	for _, j := range x.machines(t, 2) {
		node := readyNode(t, x.user, j.machine.Status.NodeRef.Name)
		if _, has := node.Labels[otherRoleLabel]; node.Labels[generationLabel] != "2" || !has {
			t.Errorf("Node %s has labels %v", node.Name, node.Labels)
		}
	}
	x.poolIsReady(t, 2)
	for _, j := range before {
		f.becomesFree(t, j.on)
	}
}

// poolHeals takes the power of one machine away for good.
func poolHeals(t *testing.T, f *fleet, x *machinesTenant) {
	before := x.machines(t, 2)
	ill := before[0]
	if err := f.room.Fail(t.Context(), ill.on, "no-power-on,lose-power"); err != nil {
		t.Fatal(err)
	}
	x.poolSays(t, healedWithin, metav1.ConditionFalse, teapotv1.ReasonMachinesNotReady, ill.machine.Name)
	eventually(t, healedWithin, "Cluster API to remove the machine", func(ctx context.Context) error {
		now := &clusterv1.Machine{}
		err := management.Get(ctx, client.ObjectKeyFromObject(&ill.machine), now)
		if err == nil && now.DeletionTimestamp.IsZero() {
			err = fmt.Errorf("its conditions are %+v", now.Status.Conditions)
		}
		return client.IgnoreNotFound(err)
	})
	if err := f.room.Fail(t.Context(), ill.on, "none"); err != nil {
		t.Fatal(err)
	}
	eventually(t, healedWithin, "the machine to be gone", func(ctx context.Context) error { return goneAll(ctx, &ill.machine, &ill.host) })
	after := x.machines(t, 2)
	if !slices.ContainsFunc(after, func(j joined) bool { return j.machine.UID == before[1].machine.UID }) {
		t.Errorf("machine %s, which was well, was replaced too", before[1].machine.Name)
	}
	x.poolIsReady(t, 2)
}

// poolScales takes one machine away, as people do who know kubectl.
func poolScales(t *testing.T, f *fleet, x *machinesTenant) {
	before := x.machines(t, 2)
	x.scalePool(t, 1)
	after := x.machines(t, 1)
	x.poolIsReady(t, 1)
	for _, j := range before {
		if j.machine.UID != after[0].machine.UID {
			f.becomesFree(t, j.on)
		}
	}
}

// poolGoes deletes something that machines hang on, and waits until every host is free and nothing is
// left.
func poolGoes(t *testing.T, f *fleet, x *machinesTenant, what client.Object) {
	began := time.Now()
	if err := management.Delete(t.Context(), what); err != nil {
		t.Fatal(err)
	}
	pool := x.pool(t)
	eventually(t, releasedWithin, "the objects to be gone", func(ctx context.Context) error {
		machines := &clusterv1.MachineList{}
		if err := management.List(ctx, machines, client.InNamespace(x.namespace)); err != nil {
			return err
		}
		if len(machines.Items) > 0 {
			return fmt.Errorf("%d machines are left, Machine %s with %+v", len(machines.Items), machines.Items[0].Name, machines.Items[0].Status.Conditions)
		}
		gone := []client.Object{what, pool, x.deployment()}
		if _, isPool := what.(*teapotv1.WorkerPool); !isPool {
			gone = append(gone, x.cluster(), x.controlPlane())
		}
		return goneAll(ctx, gone...)
	})
	t.Logf("all was gone after %.0f s", time.Since(began).Seconds())
	for _, name := range f.names {
		f.becomesFree(t, name)
	}
}

func (x *machinesTenant) controlPlane() *teapotv1.TenantControlPlane {
	return &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
}

func (x *machinesTenant) cluster() *clusterv1.Cluster {
	return &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
}

func (x *machinesTenant) deployment() *clusterv1.MachineDeployment {
	return &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
}

// pool is the tenant's pool as it is now.
func (x *machinesTenant) pool(t *testing.T) *teapotv1.WorkerPool {
	t.Helper()
	pool := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
	if err := management.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return pool
}

// editPool changes the tenant's pool.
func (x *machinesTenant) editPool(t *testing.T, change func(*teapotv1.WorkerPoolSpec)) {
	t.Helper()
	pool := x.pool(t)
	before := pool.DeepCopy()
	change(&pool.Spec)
	if err := management.Patch(t.Context(), pool, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// scalePool changes the number of the pool's machines by the scale subresource.
func (x *machinesTenant) scalePool(t *testing.T, replicas int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Getenv("KUBECTL"), "scale", "wp/"+x.name, "-n", x.namespace, fmt.Sprintf("--replicas=%d", replicas))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("kubectl scale: %v\n%s", err, out)
	}
}

// poolIsReady waits until the pool has so many machines, all as the spec has them.
func (x *machinesTenant) poolIsReady(t *testing.T, count int) {
	t.Helper()
	pool := x.poolSays(t, joinedWithin, metav1.ConditionTrue, teapotv1.ReasonReady)
	status := pool.Status
	for name, value := range map[string]*int32{
		"desiredReplicas": status.DesiredReplicas, "replicas": status.Replicas, "readyReplicas": status.ReadyReplicas,
		"availableReplicas": status.AvailableReplicas, "upToDateReplicas": status.UpToDateReplicas,
	} {
		if value == nil || int(*value) != count {
			t.Errorf("status.%s is %v, want %d", name, ptr.Deref(value, -1), count)
		}
	}
}

// poolSays waits until Ready of the pool, for its newest generation, has a status and reason, and a
// message with some words.
func (x *machinesTenant) poolSays(t *testing.T, within time.Duration, status metav1.ConditionStatus, reason string, words ...string) *teapotv1.WorkerPool {
	t.Helper()
	return x.poolHas(t, within, teapotv1.ReadyCondition, status, reason, words...)
}

func (x *machinesTenant) poolHas(t *testing.T, within time.Duration, kind string, status metav1.ConditionStatus, reason string, words ...string) *teapotv1.WorkerPool {
	t.Helper()
	pool := &teapotv1.WorkerPool{}
	eventually(t, within, fmt.Sprintf("%s of pool %s to be %s for %s", kind, x.name, status, reason), func(ctx context.Context) error {
		if err := management.Get(ctx, types.NamespacedName{Namespace: x.namespace, Name: x.name}, pool); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(pool.Status.Conditions, kind)
		if condition == nil || condition.Status != status || condition.Reason != reason || condition.ObservedGeneration != pool.Generation {
			return fmt.Errorf("generation %d, conditions are %+v", pool.Generation, pool.Status.Conditions)
		}
		return contains(condition.Message, words)
	})
	return pool
}

// names of the machines, to compare.
func uidsOf(machines []joined) sets.Set[types.UID] {
	all := sets.New[types.UID]()
	for _, j := range machines {
		all.Insert(j.machine.UID)
	}
	return all
}

// untilNoMachines waits until a tenant has none, nor claims.
func (x *machinesTenant) untilNoMachines(t *testing.T) {
	t.Helper()
	eventually(t, releasedWithin, "the machines to be gone", func(ctx context.Context) error {
		machines, claims := &clusterv1.MachineList{}, &teapotv1.MachineClaimList{}
		err := errors.Join(management.List(ctx, machines, client.InNamespace(x.namespace)), management.List(ctx, claims, client.InNamespace(x.namespace)))
		if err == nil && len(machines.Items)+len(claims.Items) > 0 {
			err = fmt.Errorf("%d Machines and %d claims are left", len(machines.Items), len(claims.Items))
		}
		return err
	})
}
