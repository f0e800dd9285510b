package workerpool_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/faults"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	release  = teapotv1.HibernatedWorkersRelease
	powerOff = teapotv1.HibernatedWorkersPowerOff
	keep     = teapotv1.HibernatedWorkersKeep
)

// sleep plays the control plane's controller: the Cluster says what is to become of the machines, and
// may be paused for Cluster API.
func (p *play) sleep(t testing.TB, mode teapotv1.HibernatedWorkers, paused bool) {
	t.Helper()
	cluster := &clusterv1.Cluster{ObjectMeta: p.named("prod")}
	apiserver.Change(t, p.c, cluster, func() {
		metav1.SetMetaDataAnnotation(&cluster.ObjectMeta, teapotv1.HibernationAnnotation, string(mode))
		cluster.Spec.Paused = ptr.To(paused)
	})
}

func (p *play) wake(t testing.TB) {
	t.Helper()
	cluster := &clusterv1.Cluster{ObjectMeta: p.named("prod")}
	apiserver.Change(t, p.c, cluster, func() {
		delete(cluster.Annotations, teapotv1.HibernationAnnotation)
		cluster.Spec.Paused = nil
	})
}

// note is how many machines the pool is known to have had.
func (p *play) note(t testing.TB) string {
	t.Helper()
	must(t, p.c.Get(t.Context(), p.key(), p.pool))
	return p.pool.Annotations[teapotv1.AwakeReplicasAnnotation]
}

// drained says whether Cluster API drains the Node of a Machine.
func (p *play) drained(t testing.TB, name string) bool {
	t.Helper()
	machine := &clusterv1.Machine{}
	if !p.get(t, name, machine) {
		t.Fatalf("there is no Machine %s", name)
	}
	return !metav1.HasAnnotation(machine.ObjectMeta, clusterv1.ExcludeNodeDrainingAnnotation) &&
		!metav1.HasAnnotation(machine.ObjectMeta, clusterv1.ExcludeWaitForNodeVolumeDetachAnnotation)
}

// checkPaused is by whom the health check is paused, or "".
func (p *play) checkPaused(t testing.TB) string {
	t.Helper()
	check := &clusterv1.MachineHealthCheck{}
	if !p.get(t, "workers", check) {
		t.Fatal("there is no health check")
	}
	return check.Annotations[clusterv1.PausedAnnotation]
}

// awake is a pool with a machine that a test reconciles by hand.
func awake(t *testing.T, changes ...func(*teapotv1.WorkerPoolSpec)) (*play, *hand) {
	t.Helper()
	p := byHand(t, direct)
	for _, change := range changes {
		change(&p.pool.Spec)
	}
	p.begun(t)
	h := newHand(t, config, p, clock.RealClock{}, "", 0)
	h.settle(t)
	p.adopt(t)
	n := ptr.Deref(p.md(t).Spec.Replicas, 0)
	p.counts(t, n, n, n)
	p.makeMachine(t, "workers-1")
	h.settle(t)
	return p, h
}

// TestReleased is a pool whose machines are given back for a sleep, and made again after it.
func TestReleased(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	before := len(h.Asked)
	p.sleep(t, release, false)
	h.settle(t)
	want := []string{"patch WorkerPool workers", "patch Machine workers-1", "apply MachineDeployment workers"}
	if got := h.Asked[before:]; len(got) < 3 || !slices.Equal(got[:3], want) {
		t.Errorf("written is %q, want %q first", got, want)
	}
	if !replicasAre(0)(p.md(t)) || p.note(t) != "3" || p.drained(t, "workers-1") || p.checkPaused(t) == "" {
		t.Errorf("the MachineDeployment is %+v, the note %q", p.md(t).Spec, p.note(t))
	}
	machine := &clusterv1.Machine{ObjectMeta: p.named("workers-1")}
	must(t, p.c.Delete(t.Context(), machine))
	h.settle(t)
	p.ready(t, "False", teapotv1.ReasonHibernating, "1 machine is being given back: workers-1")
	letGo(t, p.c, machine)
	p.counts(t, 0, 0, 0)
	h.settle(t)
	p.ready(t, "False", teapotv1.ReasonAsleep, "no machines, and 3 when it wakes")
	p.condition(t, teapotv1.StalledCondition, "False", teapotv1.ReasonProgressing)
	p.condition(t, teapotv1.PausedCondition, "False", teapotv1.ReasonNotPaused)

	p.sleep(t, release, true)
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Replicas = ptr.To[int32](5) })
	h.settle(t)
	p.ready(t, "False", teapotv1.ReasonAsleep, "no machines, and 5 when it wakes")
	p.sleep(t, keep, true)
	h.settle(t)
	if !replicasAre(0)(p.md(t)) {
		t.Errorf("machines are made while nobody can use them: %d", *p.md(t).Spec.Replicas)
	}
	before = len(h.Asked)
	for range 3 {
		if result, err := h.once(t.Context()); err != nil || result.RequeueAfter != 0 {
			t.Errorf("asleep it is looked at again after %s (%v)", result.RequeueAfter, err)
		}
	}
	if written := h.Asked[before:]; len(written) > 0 {
		t.Errorf("asleep is written %q", written)
	}

	p.wake(t)
	h.settle(t)
	if !replicasAre(5)(p.md(t)) || p.note(t) != "" || p.checkPaused(t) != "" {
		t.Errorf("awake the MachineDeployment is %+v, the note %q", p.md(t).Spec, p.note(t))
	}
	if got := *p.md(t).Spec.Template.Spec.Deletion.NodeDeletionTimeoutSeconds; got != 60 {
		t.Errorf("Nodes are deleted within %d s", got)
	}
	p.ready(t, "False", teapotv1.ReasonScaling)
}

// TestWokenBeforeItSlept: machines that were about to be deleted go on, and are drained later.
func TestWokenBeforeItSlept(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	p.sleep(t, release, false)
	h.Fault, h.At = faults.Ends, len(h.Asked)+3
	h.settle(t)
	if !h.Ended || p.drained(t, "workers-1") || !replicasAre(3)(p.md(t)) {
		t.Fatalf("the manager did not end between the Machine and the MachineDeployment: %q", h.Done)
	}
	p.wake(t)
	newHand(t, config, p, clock.RealClock{}, "", 0).settle(t)
	if !p.drained(t, "workers-1") || p.note(t) != "" || !replicasAre(3)(p.md(t)) {
		t.Errorf("the note is %q, the MachineDeployment %+v", p.note(t), p.md(t).Spec)
	}
}

// TestACacheThatIsBehindASleep: nothing is released for a control plane that is awake again, and the size
// that is noted is the one of now.
func TestACacheThatIsBehindASleep(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	p.sleep(t, release, false)
	behind := &clusterv1.Cluster{}
	if !p.get(t, "prod", behind) {
		t.Fatal("there is no Cluster")
	}
	h.staleCluster = behind
	p.wake(t)
	if _, err := h.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.note(t) != "" || !replicasAre(3)(p.md(t)) || !p.drained(t, "workers-1") {
		t.Errorf("machines of a control plane that is awake are released: note %q, %+v", p.note(t), p.md(t).Spec)
	}
}

// TestACacheThatIsBehindARelease: the number is not forgotten before the MachineDeployment has it.
func TestACacheThatIsBehindARelease(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	behind := p.md(t)
	p.sleep(t, release, false)
	h.settle(t)
	p.wake(t)
	h.staleDeployment = behind
	if _, err := h.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.note(t) != "3" || !replicasAre(0)(p.md(t)) {
		t.Errorf("the note is %q, the MachineDeployment %+v", p.note(t), p.md(t).Spec)
	}
	h.staleDeployment = nil
	h.settle(t)
	if p.note(t) != "" || !replicasAre(3)(p.md(t)) {
		t.Errorf("the note is %q, the MachineDeployment %+v", p.note(t), p.md(t).Spec)
	}
}

// TestAutoscaledAndReleased: the autoscaler has no say meanwhile, and goes on with what there was.
func TestAutoscaledAndReleased(t *testing.T) {
	t.Parallel()
	defaultReplicas(t)
	p, h := awake(t, func(s *teapotv1.WorkerPoolSpec) {
		s.Replicas, s.Autoscaling = nil, &teapotv1.PoolAutoscaling{MinReplicas: 1, MaxReplicas: 6}
	})
	bounded := func(md *clusterv1.MachineDeployment) bool {
		_, least := md.Annotations[clusterv1.AutoscalerMinSizeAnnotation]
		_, most := md.Annotations[clusterv1.AutoscalerMaxSizeAnnotation]
		return least && most
	}
	scale := func(n int32) {
		t.Helper()
		md := p.md(t)
		apiserver.Change(t, p.c, md, func() { md.Spec.Replicas = &n })
		h.settle(t)
	}
	scale(4)
	if !replicasAre(4)(p.md(t)) || !bounded(p.md(t)) {
		t.Fatalf("the MachineDeployment is %+v", p.md(t))
	}
	p.sleep(t, release, false)
	h.settle(t)
	if !replicasAre(0)(p.md(t)) || bounded(p.md(t)) || p.note(t) != "4" || *p.pool.Status.DesiredReplicas != 4 {
		t.Errorf("asleep it is %+v, the note %q, the status %+v", p.md(t), p.note(t), p.pool.Status)
	}
	scale(2)
	if !replicasAre(0)(p.md(t)) {
		t.Errorf("somebody scaled it to %d", *p.md(t).Spec.Replicas)
	}
	p.wake(t)
	h.settle(t)
	if !replicasAre(4)(p.md(t)) || !bounded(p.md(t)) || p.note(t) != "" {
		t.Errorf("awake it is %+v, the note %q", p.md(t), p.note(t))
	}
	scale(2)
	if !replicasAre(2)(p.md(t)) {
		t.Errorf("the autoscaler's number is put back: %d", *p.md(t).Spec.Replicas)
	}
}

// TestMadeAsleep: no machine is made until the control plane wakes.
func TestMadeAsleep(t *testing.T) {
	t.Parallel()
	p := newPlay(t).begun(t)
	p.md(t)
	p.sleep(t, release, true)
	other := &play{c: p.c, tcp: p.tcp, pool: newPool(p.pool.Namespace, "gpu")}
	other.asked(t)
	other.mdIs(t, "no machines", replicasAre(0))
	other.ready(t, "False", teapotv1.ReasonAsleep, "no machines, and 3 when it wakes")
	p.wake(t)
	other.mdIs(t, "three machines", replicasAre(3))
	p.mdIs(t, "three machines", replicasAre(3))
}

// TestDeletedAsleep: the machines go without their Nodes, and then the pool.
func TestDeletedAsleep(t *testing.T) {
	t.Parallel()
	for _, mode := range []teapotv1.HibernatedWorkers{release, powerOff, keep} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			p, h := awake(t)
			p.sleep(t, mode, true)
			must(t, p.c.Delete(t.Context(), p.pool))
			before := len(h.Asked)
			h.settle(t)
			order := strings.Join(h.Asked[before:], ", ")
			if machine, md := strings.Index(order, "patch Machine workers-1"), strings.Index(order, "delete MachineDeployment"); machine < 0 || md < machine {
				t.Errorf("written is %s", order)
			}
			machine := &clusterv1.Machine{ObjectMeta: p.named("workers-1")}
			must(t, p.c.Delete(t.Context(), machine))
			h.settle(t)
			must(t, p.c.Get(t.Context(), client.ObjectKeyFromObject(machine), machine))
			if got := ptr.Deref(machine.Spec.Deletion.NodeDeletionTimeoutSeconds, 0); got != 1 {
				t.Errorf("its Node is tried to be deleted for %d s, and nobody answers", got)
			}
			letGo(t, p.c, machine)
			letGo(t, p.c, p.md(t))
			h.settle(t)
			if p.get(t, "workers", p.pool) {
				t.Errorf("the pool is still there: %+v", p.pool)
			}
		})
	}
}

// TestSwitchedOffOrKept: the machines stay, and no health check replaces them until they had time to boot.
func TestSwitchedOffOrKept(t *testing.T) {
	t.Parallel()
	for _, mode := range []teapotv1.HibernatedWorkers{powerOff, keep} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			p, h := awake(t)
			for _, each := range []teapotv1.HibernatedWorkers{mode, clusterapi.Waking} {
				p.sleep(t, each, true)
				h.settle(t)
				if !replicasAre(3)(p.md(t)) || p.checkPaused(t) == "" || !p.drained(t, "workers-1") || p.note(t) != "" {
					t.Errorf("%s: the MachineDeployment is %+v, the health check paused by %q", each, p.md(t).Spec, p.checkPaused(t))
				}
			}
			p.ready(t, "False", teapotv1.ReasonWaking)
			p.wake(t)
			h.settle(t)
			if by := p.checkPaused(t); by != "" {
				t.Errorf("the health check is paused by %q", by)
			}

			check := &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}
			apiserver.Change(t, p.c, check, func() { metav1.SetMetaDataAnnotation(&check.ObjectMeta, clusterv1.PausedAnnotation, "by hand") })
			p.sleep(t, mode, true)
			h.settle(t)
			p.wake(t)
			h.settle(t)
			if by := p.checkPaused(t); by != "by hand" {
				t.Errorf("a health check that somebody paused by hand is paused by %q", by)
			}
		})
	}
}

// TestReleasedLater: a control plane whose machines were kept gives them back, while it sleeps.
func TestReleasedLater(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	p.sleep(t, powerOff, true)
	h.settle(t)
	p.sleep(t, release, false)
	h.settle(t)
	if !replicasAre(0)(p.md(t)) || p.note(t) != "3" || p.drained(t, "workers-1") {
		t.Errorf("the MachineDeployment is %+v, the note %q", p.md(t).Spec, p.note(t))
	}
}

// TestARefusedSpecIsNoReasonToHoldHosts: the machines of before are released, and made again as they were.
func TestARefusedSpecIsNoReasonToHoldHosts(t *testing.T) {
	t.Parallel()
	p, h := awake(t)
	was := p.md(t).Spec.Template.Spec
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Version, s.Replicas = "v1.37.0", ptr.To[int32](9) })
	p.sleep(t, release, false)
	h.settle(t)
	p.refused(t, teapotv1.ReasonVersionSkew)
	if !replicasAre(0)(p.md(t)) || p.note(t) != "3" || p.drained(t, "workers-1") {
		t.Errorf("the MachineDeployment is %+v, the note %q", p.md(t).Spec, p.note(t))
	}
	p.wake(t)
	h.settle(t)
	if md := p.md(t); !replicasAre(3)(md) || md.Spec.Template.Spec.Version != was.Version || p.note(t) != "" || !p.drained(t, "workers-1") {
		t.Errorf("the MachineDeployment is %+v, the note %q", md.Spec, p.note(t))
	}
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Version = "v1.36.3" })
	h.settle(t)
	if !replicasAre(9)(p.md(t)) {
		t.Errorf("a spec that is right has %d machines", *p.md(t).Spec.Replicas)
	}
}

// TestACrashAtAnyWriteOfASleep fails each write from the moment in which the control plane goes to sleep to
// the one in which all is as it was.
func TestACrashAtAnyWriteOfASleep(t *testing.T) {
	faults.AtEachWrite(t, "a sleep", 8, sleepAndWake)
}

func sleepAndWake(t *testing.T, what faults.Fault, at int) bool {
	t.Helper()
	p, _ := awake(t)
	faulty := newHand(t, config, p, clock.RealClock{}, what, at)
	h := faulty
	step := func(name string, done func() error) {
		t.Helper()
		for range 20 {
			h.settle(t)
			if h.Ended {
				h = newHand(t, config, p, clock.RealClock{}, "", 0)
				continue
			}
			if err := done(); err == nil {
				return
			}
		}
		t.Fatalf("the manager %s at write %d of %q, and then %s did not come: %v", what, at, faulty.Asked, name, done())
	}
	p.sleep(t, release, false)
	step("the sleep", func() error {
		md := p.md(t)
		if replicasAre(0)(md) && p.drained(t, "workers-1") {
			t.Errorf("the manager %s at write %d: machines are deleted and wait for the tenant's API", what, at)
		}
		if !replicasAre(0)(md) || p.note(t) != "3" || p.checkPaused(t) == "" {
			return fmt.Errorf("replicas are %d, the note %q", *md.Spec.Replicas, p.note(t))
		}
		return say(p.pool.Status.Conditions, teapotv1.ReadyCondition, "False", teapotv1.ReasonHibernating)
	})
	p.wake(t)
	step("the end", func() error {
		md := p.md(t)
		if !replicasAre(3)(md) || p.note(t) != "" || p.checkPaused(t) != "" || !p.drained(t, "workers-1") {
			return fmt.Errorf("replicas are %d, the note %q", *md.Spec.Replicas, p.note(t))
		}
		if md.Status.ObservedGeneration != md.Generation {
			p.counts(t, 3, 3, 3)
			return errors.New("not seen yet")
		}
		return say(p.pool.Status.Conditions, teapotv1.ReadyCondition, "True", teapotv1.ReasonReady)
	})
	return len(faulty.Asked) >= at
}
