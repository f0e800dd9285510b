package workerpool_test

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestNothingIsWrittenAtRest, though Cluster API wrote into all that the pool applied.
func TestNothingIsWrittenAtRest(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct)
	p.pool.Spec.Labels = map[string]teapotv1.LabelValue{"tier": "gold"}
	p.pool.Spec.Taints = []teapotv1.Taint{{Key: "gpu", Effect: "NoSchedule"}}
	p.pool.Spec.Bootstrap.Files = []teapotv1.BootstrapFile{{Path: "/etc/a", Content: "b"}}
	p.begun(t)
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.adopt(t)
	p.counts(t, 3, 3, 3)
	h.settle(t)
	p.ready(t, "True", teapotv1.ReasonReady)
	before := len(h.Asked)
	for range 3 {
		result, err := h.once(t.Context())
		must(t, err)
		if result.RequeueAfter != 0 {
			t.Errorf("it is looked at again after %s, though nothing is waited for", result.RequeueAfter)
		}
	}
	if written := h.Asked[before:]; len(written) > 0 {
		t.Errorf("at rest is written %q", written)
	}
	want := []string{"KubeadmConfigTemplate workers", "HostMachineTemplate workers", "MachineDeployment workers", "MachineHealthCheck workers", "Cluster prod", "TenantCluster prod"}
	told := strings.Join(h.told(), "\n")
	for _, each := range want {
		if n := strings.Count(told, "Applied "+each); n != 1 {
			t.Errorf("events tell %d times of %s:\n%s", n, each, told)
		}
	}
}

// TestAPausedPool: neither Teapot nor, for the pool's sake, Cluster API changes anything, and an
// annotation of somebody else's stays.
func TestAPausedPool(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct).begun(t)
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.adopt(t)
	check := &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}
	apiserver.Change(t, p.c, check, func() { metav1.SetMetaDataAnnotation(&check.ObjectMeta, clusterv1.PausedAnnotation, "by hand") })
	paused := func() (md, check_ string) {
		t.Helper()
		must(t, p.c.Get(t.Context(), p.key(), check))
		return p.md(t).Annotations[clusterv1.PausedAnnotation], check.Annotations[clusterv1.PausedAnnotation]
	}

	was := p.md(t).Generation
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Paused, s.Replicas = true, ptr.To[int32](9) })
	h.settle(t)
	p.condition(t, teapotv1.PausedCondition, "True", teapotv1.ReasonPaused)
	if md, _ := paused(); md == "" || p.md(t).Generation != was {
		t.Errorf("the MachineDeployment is %+v", p.md(t))
	}
	must(t, p.c.Delete(t.Context(), p.pool))
	h.settle(t)
	if !p.md(t).DeletionTimestamp.IsZero() {
		t.Error("a paused pool's machines are deleted")
	}
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Paused = false })
	h.settle(t)
	if p.md(t).DeletionTimestamp.IsZero() {
		t.Error("the deletion does not go on")
	}

	p = byHand(t, direct).begun(t)
	h = newHand(t, config, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Paused = true })
	h.settle(t)
	check = &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}
	apiserver.Change(t, p.c, check, func() { metav1.SetMetaDataAnnotation(&check.ObjectMeta, clusterv1.PausedAnnotation, "by hand") })
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Paused, s.Replicas = false, ptr.To[int32](9) })
	h.settle(t)
	if md, check := paused(); md != "" || check != "by hand" || !replicasAre(9)(p.md(t)) {
		t.Errorf("after the pause the annotations are %q and %q, and the MachineDeployment %+v", md, check, p.md(t).Spec)
	}
}

// TestAPausedCluster: clusterctl may be moving it, so nothing but the pool's own status is written.
func TestAPausedCluster(t *testing.T) {
	t.Parallel()
	p := byHand(t, direct).begun(t)
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	h.settle(t)
	cluster := &clusterv1.Cluster{ObjectMeta: p.named("prod")}
	apiserver.Change(t, p.c, cluster, func() { cluster.Spec.Paused = ptr.To(true) })
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Replicas = ptr.To[int32](9) })
	must(t, p.c.Delete(t.Context(), &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}))
	before := len(h.Asked)
	h.settle(t)
	if written := h.Asked[before:]; !slices.Equal(written, []string{"patch status of WorkerPool workers"}) {
		t.Errorf("written is %q", written)
	}
	p.condition(t, teapotv1.PausedCondition, "True", teapotv1.ReasonClusterPaused)
	apiserver.Change(t, p.c, cluster, func() { cluster.Spec.Paused = ptr.To(false) })
	h.settle(t)
	if !replicasAre(9)(p.md(t)) || !p.get(t, "workers", &clusterv1.MachineHealthCheck{}) {
		t.Error("it did not go on")
	}
}
