package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestPoolsAtLength is what takes longer than TestFleets/Pools has: three machines without a host to spare,
// two tenants and one host, a budget that holds a drain up, and every order of deletion.
func TestPoolsAtLength(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skip("takes long: make test-long")
	}
	f := newFleet(t, poolMachines[:3]...)
	x := f.tenantOf(t, "pool", "workerpool.yaml", 0, f.names...)
	rival := f.tenantOf(t, "rival", "workerpool.yaml", 0, f.names[0])
	f.allow(t, x.namespace, rival.namespace)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"from none to three", func(t *testing.T) { x.poolIsReady(t, 0); x.scalePool(t, 3); poolJoins(t, x, 3) }},
		{"replaced in place of one another", func(t *testing.T) { poolRollsInPlace(t, x) }},
		{"a kubelet newer than the API is refused", func(t *testing.T) { skewIsRefused(t, x) }},
		{"to one", func(t *testing.T) { x.scalePool(t, 1); x.machines(t, 1); x.poolIsReady(t, 1) }},
		{"a budget is honoured as long as stated", func(t *testing.T) { budgetIsHonoured(t, x) }},
		{"to none", func(t *testing.T) { x.poolIsReady(t, 0); x.untilNoMachines(t) }},
		{"two tenants and the last host", func(t *testing.T) { lastHost(t, f, x, rival) }},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// TestPoolsGoInAnyOrder deletes a pool, a Cluster and a control plane, each with machines on it.
func TestPoolsGoInAnyOrder(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skip("takes long: make test-long")
	}
	for name, what := range map[string]func(*machinesTenant) client.Object{
		"pool": func(x *machinesTenant) client.Object {
			return &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
		},
		"cluster":       func(x *machinesTenant) client.Object { return x.cluster() },
		"control-plane": func(x *machinesTenant) client.Object { return x.controlPlane() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, poolMachines[:2]...)
			x := f.tenantOf(t, "goes", "workerpool.yaml", 2, f.names...)
			f.allow(t, x.namespace)
			x.machines(t, 2)
			poolGoes(t, f, x, what(x))
		})
	}
}

// poolRollsInPlace replaces three machines where there is no fourth host: one goes before its
// successor comes.
func poolRollsInPlace(t *testing.T, x *machinesTenant) {
	before := uidsOf(x.machines(t, 3))
	x.editPool(t, func(spec *teapotv1.WorkerPoolSpec) {
		spec.Strategy.MaxSurge, spec.Strategy.MaxUnavailable = nil, ptr.To(intstr.FromInt32(1))
		spec.Labels[generationLabel] = "2"
	})
	eventually(t, 3*rolledWithin, "three other machines", func(ctx context.Context) error {
		machines := &clusterv1.MachineList{}
		if err := management.List(ctx, machines, client.InNamespace(x.namespace)); err != nil {
			return err
		}
		old, leaving := 0, 0
		for _, m := range machines.Items {
			if before.Has(m.UID) {
				old++
			}
			if !m.DeletionTimestamp.IsZero() {
				leaving++
			}
		}
		if leaving > 1 {
			t.Fatalf("%d machines leave at once", leaving)
		}
		if old > 0 || len(machines.Items) != 3 {
			return fmt.Errorf("%d machines, %d of them old", len(machines.Items), old)
		}
		return nil
	})
	x.machines(t, 3)
	x.poolIsReady(t, 3)
}

// skewIsRefused asks for machines that are newer than their API. Those that run stay.
func skewIsRefused(t *testing.T, x *machinesTenant) {
	before := uidsOf(x.machines(t, 3))
	version := x.pool(t).Spec.Version
	x.editPool(t, func(spec *teapotv1.WorkerPoolSpec) { spec.Version = "v1.99.0" })
	x.poolHas(t, time.Minute, teapotv1.AppliedCondition, metav1.ConditionFalse, teapotv1.ReasonVersionSkew, "v1.99.0", version)
	x.editPool(t, func(spec *teapotv1.WorkerPoolSpec) { spec.Version = version })
	x.poolIsReady(t, 3)
	if after := uidsOf(x.machines(t, 3)); !after.Equal(before) {
		t.Errorf("machines were replaced: %v, before %v", after, before)
	}
}

// budgetIsHonoured lets CoreDNS's pods not leave, and takes their only machine away.
func budgetIsHonoured(t *testing.T, x *machinesTenant) {
	const drain = 60
	x.editPool(t, func(spec *teapotv1.WorkerPoolSpec) { spec.Deletion.NodeDrainTimeoutSeconds = drain })
	leaving := x.machines(t, 1)[0]
	eventually(t, time.Minute, "the machine to have the time", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(&leaving.machine), &leaving.machine); err != nil {
			return err
		}
		if has := ptr.Deref(leaving.machine.Spec.Deletion.NodeDrainTimeoutSeconds, 0); has != drain {
			return fmt.Errorf("it has %d s", has)
		}
		return nil
	})
	addOnsRun(t, x.user, 1)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: ptr.To(intstr.FromInt32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
	}}
	if _, err := x.user.PolicyV1().PodDisruptionBudgets(metav1.NamespaceSystem).Create(t.Context(), budget, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.scalePool(t, 0)
	// The Node goes when its machine was drained, or was not waited for any more.
	var since time.Time
	eventually(t, drain*time.Second+releasedWithin, "the machine to leave", func(ctx context.Context) error {
		now := &clusterv1.Machine{}
		if err := management.Get(ctx, client.ObjectKeyFromObject(&leaving.machine), now); err != nil {
			return client.IgnoreNotFound(err)
		}
		if now.DeletionTimestamp != nil {
			since = now.DeletionTimestamp.Time
		}
		return fmt.Errorf("its conditions are %+v", now.Status.Conditions)
	})
	if took := time.Since(since); took < drain*time.Second {
		t.Errorf("the machine was gone after %s, though the budget may hold it up for %d s", took, drain)
	}
}

// lastHost has two tenants want the same host. One gets it, the other says why not, and gets it when
// it is free.
func lastHost(t *testing.T, f *fleet, x, rival *machinesTenant) {
	for _, name := range f.names[1:] {
		host, err := f.host(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		patch := client.MergeFrom(host.DeepCopy())
		delete(host.Labels, hostLabel+"pool")
		if err := management.Patch(t.Context(), host, patch); err != nil {
			t.Fatal(err)
		}
	}
	x.scalePool(t, 1)
	rival.scalePool(t, 1)
	var has, wants *machinesTenant
	eventually(t, joinedWithin, "one tenant to have the host", func(ctx context.Context) error {
		host, err := f.host(ctx, f.names[0])
		if err != nil || host.Spec.ConsumerRef == nil {
			return fmt.Errorf("nobody has: %w", err)
		}
		if has, wants = x, rival; host.Spec.ConsumerRef.Namespace == rival.namespace {
			has, wants = rival, x
		}
		return nil
	})
	has.machines(t, 1)
	wants.poolSays(t, time.Minute, metav1.ConditionFalse, teapotv1.ReasonMachinesNotReady, "taken")
	has.scalePool(t, 0)
	if now := wants.machines(t, 1); now[0].on != f.names[0] {
		t.Errorf("the machine is on %s", now[0].on)
	}
	wants.poolIsReady(t, 1)
}
