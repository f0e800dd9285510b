package workerpool_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/faults"
)

// running is a pool with a machine.
func running(t *testing.T) (*play, *clusterv1.Machine) {
	t.Helper()
	p := newPlay(t).begun(t)
	p.mdIs(t, "three machines", replicasAre(3))
	p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	p.adopt(t)
	machine := p.makeMachine(t, "workers-1")
	p.counts(t, 3, 3, 3)
	p.ready(t, "True", teapotv1.ReasonReady)
	return p, machine
}

// TestDeletingAPool: the health check goes first, then the machines, then what they are made from,
// then the pool; the Cluster stays.
func TestDeletingAPool(t *testing.T) {
	t.Parallel()
	p, machine := running(t)
	must(t, p.c.Delete(t.Context(), p.pool))
	eventually(t, "the MachineDeployment to be deleted", func() error { return deleting(t, p.c, p.md(t)) })
	gone(t, p.c, &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")})
	must(t, p.c.Delete(t.Context(), machine))
	machineSays(t, p.c, machine, metav1.Condition{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: clusterv1.MachineDeletingDrainingNodeReason, Message: "1 Pod: cannot evict"})
	p.ready(t, "False", teapotv1.ReasonDeleting, "1 machine to be given back", "workers-1 is being deleted (DrainingNode): 1 Pod: cannot evict")

	letGo(t, p.c, p.md(t))
	gone(t, p.c, &clusterv1.MachineDeployment{ObjectMeta: p.named("workers")})
	if bootstrap, infrastructure := p.templates(t); len(bootstrap) != 1 || len(infrastructure) != 1 {
		t.Errorf("templates are %q and %q while there is a machine", bootstrap, infrastructure)
	}
	letGo(t, p.c, machine)
	gone(t, p.c, p.pool)
	if bootstrap, infrastructure := p.templates(t); len(bootstrap)+len(infrastructure) != 0 {
		t.Errorf("templates %q and %q are left", bootstrap, infrastructure)
	}
	if !p.get(t, "prod", &clusterv1.Cluster{}) {
		t.Error("the Cluster went with the pool")
	}
}

func deleting(t testing.TB, c client.Client, object client.Object) error {
	t.Helper()
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	if object.GetDeletionTimestamp().IsZero() {
		return errNotDeleting
	}
	return nil
}

// TestDeletingTheControlPlaneOrTheCluster: nothing is made anew of what goes with it.
func TestDeletingTheControlPlaneOrTheCluster(t *testing.T) {
	t.Parallel()
	for name, object := range map[string]func(*play) client.Object{
		"the control plane": func(p *play) client.Object { return p.tcp },
		"the Cluster":       func(p *play) client.Object { return &clusterv1.Cluster{ObjectMeta: p.named("prod")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, machine := running(t)
			what := object(p)
			apiserver.Change(t, p.c, what, func() { what.SetFinalizers([]string{"test.teapot.dev/held"}) })
			must(t, p.c.Delete(t.Context(), what))
			p.refused(t, teapotv1.ReasonControlPlaneDeleting, "nothing is made anew")
			must(t, p.c.Delete(t.Context(), machine))
			letGo(t, p.c, machine)
			must(t, p.c.Delete(t.Context(), p.md(t)))
			letGo(t, p.c, p.md(t))
			md := &clusterv1.MachineDeployment{ObjectMeta: p.named("workers")}
			gone(t, p.c, md)
			// The change brings the pool back after the MachineDeployment has gone.
			p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Deletion.NodeDrainTimeoutSeconds = 5 })
			eventually(t, "the pool to be looked at", func() error {
				must(t, p.c.Get(t.Context(), p.key(), p.pool))
				if p.pool.Status.ObservedGeneration != p.pool.Generation {
					return errNotSeen
				}
				return nil
			})
			if p.get(t, "workers", md) {
				t.Error("there is a MachineDeployment again")
			}
			letGo(t, p.c, what)
			gone(t, p.c, what)
			must(t, p.c.Delete(t.Context(), p.pool)) // Kubernetes' garbage collector, for the control plane
			gone(t, p.c, p.pool)
		})
	}
}

// TestAClusterThatWasTornAway: Cluster API looks at nothing without it, and the pool goes.
func TestAClusterThatWasTornAway(t *testing.T) {
	t.Parallel()
	p, machine := running(t)
	must(t, p.c.Delete(t.Context(), machine))
	hm := &teapotv1.HostMachine{ObjectMeta: p.named("workers-1"), Spec: teapotv1.HostMachineSpec{HostRequest: p.pool.Spec.HostRequest}}
	hm.Labels = machine.Labels
	must(t, p.c.Create(t.Context(), hm))
	must(t, p.c.Delete(t.Context(), p.pool))
	p.ready(t, "False", teapotv1.ReasonDeleting, "workers-1")
	must(t, p.c.Delete(t.Context(), &clusterv1.Cluster{ObjectMeta: p.named("prod")}))
	gone(t, p.c, p.pool)
	gone(t, p.c, hm)
}

// TestAPoolThatIsDeletedWhileItBegins goes, though nothing is said of it yet.
func TestAPoolThatIsDeletedWhileItBegins(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct).begun(t)
	h := newHand(t, config, p, clock.RealClock{}, faults.Ends, 2)
	h.settle(t)
	must(t, p.c.Get(t.Context(), p.key(), p.pool))
	if len(p.pool.Finalizers) != 1 || len(p.pool.Status.Conditions) != 0 {
		t.Fatalf("it has finalizers %q and conditions %+v", p.pool.Finalizers, p.pool.Status.Conditions)
	}
	p.makeMachineOf(t, "workers-1", clusterv1.MachineSpec{
		ClusterName: "prod", InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "d"},
		Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("e")},
	})
	must(t, p.c.Create(t.Context(), &clusterv1.Cluster{ObjectMeta: p.named("prod"), Spec: clusterv1.ClusterSpec{
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "d"},
	}}))
	must(t, p.c.Delete(t.Context(), p.pool))
	newHand(t, config, p, clock.RealClock{}, "", 0).settle(t)
	p.ready(t, "False", teapotv1.ReasonDeleting, "workers-1")
}

// TestADeletionThatHangs says what is in the way once the time-outs are over.
func TestADeletionThatHangs(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct).begun(t)
	newHand(t, config, p, clock.RealClock{}, "", 0).settle(t)
	p.adopt(t)
	p.makeMachine(t, "workers-1")
	must(t, p.c.Delete(t.Context(), p.pool))
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	if result := h.settle(t); result.RequeueAfter <= 0 || result.RequeueAfter > 16*time.Minute {
		t.Errorf("it is looked at again after %s", result.RequeueAfter)
	}
	p.ready(t, "False", teapotv1.ReasonDeleting, "workers-1")
	h = newHand(t, config, p, later(17*time.Minute), "", 0)
	h.settle(t)
	p.ready(t, "False", teapotv1.ReasonDeletionBlocked, "not done 16m0s after", "workers-1")
	p.condition(t, teapotv1.StalledCondition, "True", teapotv1.ReasonDeletionBlocked)
	if told := strings.Join(h.told(), "\n"); !strings.Contains(told, "Warning DeletionBlocked") {
		t.Errorf("events are %q", told)
	}
}

// TestACacheThatIsBehind: nothing is made for a control plane that goes, and no pool gets an owner that
// has gone, with which Kubernetes would delete it.
func TestACacheThatIsBehind(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct).begun(t)
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	h.stale = p.tcp.DeepCopy()
	must(t, p.c.Delete(t.Context(), p.tcp))
	p.tcp.ResourceVersion, p.tcp.UID = "", ""
	must(t, p.c.Create(t.Context(), p.tcp))
	if _, err := h.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, p.c.Get(t.Context(), p.key(), p.pool))
	if owner := p.pool.OwnerReferences[0].UID; owner != p.tcp.UID {
		t.Errorf("the pool is owned by %s, which is gone; the control plane is %s", owner, p.tcp.UID)
	}
	h.stale = p.tcp.DeepCopy()
	h.settle(t)
	apiserver.Change(t, p.c, p.tcp, func() { p.tcp.Finalizers = []string{"test.teapot.dev/held"} })
	defer letGo(t, p.c, p.tcp)
	must(t, p.c.Delete(t.Context(), p.tcp))
	must(t, p.c.Delete(t.Context(), p.md(t)))
	h.settle(t)
	p.refused(t, teapotv1.ReasonControlPlaneDeleting)
	if p.get(t, "workers", &clusterv1.MachineDeployment{}) {
		t.Error("a MachineDeployment was made for a control plane that is being deleted")
	}
}

// TestAClusterIsNotLeftWithoutItsControlPlane: neither one that was made in the moment in which the
// control plane went, nor one whose maker ended then.
func TestAClusterIsNotLeftWithoutItsControlPlane(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"the manager goes on": false, "the manager ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := byHand(t, direct).begun(t)
			h := newHand(t, config, p, clock.RealClock{}, "", 0)
			h.beforeCreate = func(object client.Object) {
				if _, ok := object.(*clusterv1.Cluster); ok {
					must(t, p.c.Delete(t.Context(), p.tcp))
					if ends {
						h.At, h.Fault = len(h.Asked)+2, faults.Ends
					}
				}
			}
			h.settle(t)
			cluster := &clusterv1.Cluster{}
			if there := p.get(t, "prod", cluster); there != ends {
				t.Fatalf("there is a Cluster: %v", there)
			}
			must(t, p.c.Delete(t.Context(), p.pool)) // Kubernetes' garbage collector
			newHand(t, config, p, clock.RealClock{}, "", 0).settle(t)
			if p.get(t, "workers", p.pool) || p.get(t, "prod", cluster) {
				t.Errorf("left are %+v and %+v", p.pool, cluster)
			}
		})
	}
}
