package pool

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

var (
	now    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	before = func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
)

// numbers are a MachineDeployment's: desired, those that exist, are up to date, are available. Others
// are of before.
func numbers(desired, exist, upToDate, available int32) *clusterv1.MachineDeployment {
	rolling := metav1.ConditionFalse
	if upToDate < exist {
		rolling = metav1.ConditionTrue
	}
	return &clusterv1.MachineDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: "workers", Generation: 4, CreationTimestamp: before(time.Hour)},
		Spec:       clusterv1.MachineDeploymentSpec{Replicas: &desired},
		Status: clusterv1.MachineDeploymentStatus{
			ObservedGeneration: 4, Replicas: &exist, UpToDateReplicas: &upToDate, AvailableReplicas: &available, ReadyReplicas: &available,
			Conditions: []metav1.Condition{{Type: clusterv1.MachineDeploymentRollingOutCondition, Status: rolling}},
		},
	}
}

func with(md *clusterv1.MachineDeployment, change func(*clusterv1.MachineDeployment)) *clusterv1.MachineDeployment {
	change(md)
	return md
}

// newMachine is a Machine that was made a while ago, with conditions "type=status reason message".
func newMachine(name string, age time.Duration, conditions ...string) clusterv1.Machine {
	m := clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: before(age)}}
	for _, condition := range conditions {
		kind, rest, _ := strings.Cut(condition, "=")
		words := strings.SplitN(rest, " ", 3)
		m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(words[0]), Reason: words[1], Message: strings.Join(words[2:], ""), LastTransitionTime: before(age),
		})
	}
	return m
}

func deleted(m clusterv1.Machine, ago time.Duration) clusterv1.Machine {
	m.DeletionTimestamp = ptr.To(before(ago))
	return m
}

func joined(m clusterv1.Machine) clusterv1.Machine {
	m.Status.NodeRef.Name = m.Name
	return m
}

func many(n int) []clusterv1.Machine {
	machines := make([]clusterv1.Machine, n)
	for i := range machines {
		machines[i] = newMachine(fmt.Sprintf("w-%d", n-1-i), time.Minute, "InfrastructureReady=Unknown NoHost no host")
	}
	return machines
}

func TestReadyAndStalled(t *testing.T) {
	const noHost = "InfrastructureReady=Unknown NoHost 12 hosts: 7 taken"
	for name, test := range map[string]struct {
		change   func(*teapotv1.WorkerPool)
		md       *clusterv1.MachineDeployment
		machines []clusterv1.Machine
		failure  error

		ready   metav1.ConditionStatus
		reason  string
		says    []string
		not     string // words that the message must not have
		stalled string // words of Stalled, if it is
	}{
		"all there":   {md: numbers(3, 3, 3, 3), ready: "True", reason: "Ready", says: []string{"3 machines are available and up to date"}},
		"one there":   {md: numbers(1, 1, 1, 1), ready: "True", reason: "Ready", says: []string{"1 machine is available"}},
		"none wanted": {md: numbers(0, 0, 0, 0), ready: "True", reason: "Ready", says: []string{"no machine is wanted"}},
		"machines are being made": {
			md: numbers(3, 1, 1, 1), machines: []clusterv1.Machine{newMachine("w-1", time.Minute, "Ready=True Ready")},
			ready: "False", reason: "Scaling", says: []string{"1 machine of 3"}, not: "w-1",
		},
		"machines are being given back": {
			md:       numbers(1, 2, 2, 1),
			machines: []clusterv1.Machine{newMachine("w-1", time.Hour, "Ready=True Ready"), deleted(newMachine("w-2", time.Hour, "Deleting=True DrainingNode 1 pod left"), time.Minute)},
			ready:    "False", reason: "Scaling", says: []string{"2 machines of 1", "w-2 is being deleted (DrainingNode): 1 pod left"},
		},
		"the last is being given back": {md: numbers(0, 1, 1, 0), machines: []clusterv1.Machine{deleted(newMachine("w-1", time.Hour), time.Minute)}, ready: "False", reason: "Scaling", says: []string{"w-1 is being deleted"}},
		"being replaced": {
			md: numbers(3, 4, 1, 3), machines: []clusterv1.Machine{newMachine("w-4", time.Minute, noHost)},
			ready: "False", reason: "Rolling", says: []string{"1 of 4 machines are up to date", "w-4 InfrastructureReady is Unknown (NoHost): 12 hosts: 7 taken"},
		},
		"new, and nothing said of whether they are up to date": {
			md: with(numbers(2, 2, 0, 0), func(md *clusterv1.MachineDeployment) { md.Status.Conditions = nil }), ready: "False", reason: "MachinesNotReady", says: []string{"0 of 2 machines are available"},
		},
		"available, and nothing said of whether it is up to date": {
			md: with(numbers(1, 1, 0, 1), func(md *clusterv1.MachineDeployment) { md.Status.Conditions = nil }), ready: "False", reason: "Scaling", says: []string{"0 of 1 machine that it is up to date"},
		},
		"to be replaced by hand": {
			change: func(p *teapotv1.WorkerPool) { p.Spec.Strategy.Type = teapotv1.OnDelete },
			md:     numbers(3, 3, 1, 3), ready: "False", reason: "Rolling", says: []string{"1 of 3", "when somebody deletes them"},
		},
		"a machine waits for its user data first": {
			md: numbers(1, 1, 1, 0), machines: []clusterv1.Machine{newMachine("w-1", time.Minute, "Ready=False NotReady", "NodeReady=Unknown NodeDoesNotExist", "InfrastructureReady=Unknown WaitingForBootstrapData", "BootstrapConfigReady=False DataSecretNotAvailable no control plane")},
			ready: "False", reason: "MachinesNotReady", says: []string{"0 of 1 machine is available", "w-1 BootstrapConfigReady is False (DataSecretNotAvailable): no control plane"},
		},
		"a Node is not ready": {
			md: numbers(2, 2, 2, 1), machines: []clusterv1.Machine{joined(newMachine("w-1", time.Minute, "Ready=False NotReady", "InfrastructureReady=True Ready", "BootstrapConfigReady=True Ready", "NodeReady=False NodeNotReady no network"))},
			ready: "False", reason: "MachinesNotReady", says: []string{"w-1 NodeReady is False (NodeNotReady): no network"},
		},
		"only a health check complains": {
			md: numbers(1, 1, 1, 0), machines: []clusterv1.Machine{joined(newMachine("w-1", time.Minute, "Ready=False NotReady unhealthy", "NodeReady=True NodeReady"))},
			ready: "False", reason: "MachinesNotReady", says: []string{"w-1 Ready is False (NotReady): unhealthy"},
		},
		"a machine of which nothing is said":       {md: numbers(1, 1, 1, 0), machines: []clusterv1.Machine{newMachine("w-1", time.Second)}, ready: "False", reason: "MachinesNotReady", says: []string{"w-1 Cluster API has said nothing"}},
		"many machines: five are named, in order":  {md: numbers(7, 7, 7, 0), machines: many(7), ready: "False", reason: "MachinesNotReady", says: []string{": w-0 ", "; w-4 ", "and 2 more"}, not: "w-5"},
		"Cluster API has not seen the newest spec": {md: with(numbers(3, 3, 3, 3), func(md *clusterv1.MachineDeployment) { md.Generation++ }), ready: "False", reason: "Scaling", says: []string{"waiting for Cluster API"}},
		"Cluster API has never looked":             {md: with(numbers(3, 0, 0, 0), func(md *clusterv1.MachineDeployment) { md.Status.ObservedGeneration = 0 }), ready: "False", reason: "Scaling", says: []string{"waiting for Cluster API"}, stalled: "do its controllers run?"},
		"no number yet":                            {md: with(numbers(0, 0, 0, 0), func(md *clusterv1.MachineDeployment) { md.Spec.Replicas = nil }), ready: "False", reason: "Scaling", says: []string{"waiting for Cluster API"}},
		"deleted by somebody": {
			md:    with(numbers(1, 1, 1, 0), func(md *clusterv1.MachineDeployment) { md.DeletionTimestamp = ptr.To(before(time.Minute)) }),
			ready: "False", reason: "Scaling", says: []string{"deleted by somebody", "made anew"},
		},
		"refused, though what runs is well": {md: numbers(3, 3, 3, 3), failure: &Refusal{Reason: teapotv1.ReasonVersionSkew, Message: "too new", Stalled: true}, ready: "False", reason: "VersionSkew", says: []string{"too new"}, stalled: "too new"},
		"refused for now":                   {failure: &Refusal{Reason: teapotv1.ReasonVersionSkew, Message: "not yet"}, ready: "False", reason: "VersionSkew", says: []string{"not yet"}},
		"refused for long": {
			change: func(p *teapotv1.WorkerPool) {
				p.Status.Conditions = []metav1.Condition{{Type: teapotv1.AppliedCondition, Status: "False", LastTransitionTime: before(patience)}}
			},
			failure: &Refusal{Reason: teapotv1.ReasonWaitingForControlPlane, Message: "no such control plane"}, ready: "False", reason: "WaitingForControlPlane", stalled: "not applied since 2026-11-21T11:50:00Z: no such control plane",
		},
		"a call failed": {md: numbers(3, 3, 3, 3), failure: errors.New("the server says no"), ready: "False", reason: "ReconcileFailed", says: []string{"the server says no"}},
		"a machine that joins too late": {
			md: numbers(2, 2, 2, 1), machines: []clusterv1.Machine{newMachine("w-1", 3*time.Hour, noHost), newMachine("w-2", 195*time.Minute, noHost)},
			ready: "False", reason: "MachinesNotReady", stalled: "1 machine takes longer than expected: w-2 ",
		},
		"a machine that does not come back": {
			md: numbers(1, 1, 1, 0), machines: []clusterv1.Machine{joined(newMachine("w-1", 15*time.Minute, "Ready=False NotReady", "NodeReady=Unknown NodeReadyUnknown"))},
			ready: "False", reason: "MachinesNotReady", stalled: "w-1 NodeReady is Unknown",
		},
		"a machine that does not go": {
			md: numbers(1, 2, 2, 1), machines: []clusterv1.Machine{deleted(joined(newMachine("w-1", 24*time.Hour, "Ready=False Deleting")), 16*time.Minute)},
			ready: "False", reason: "Scaling", stalled: "w-1 is being deleted",
		},
		"Cluster API makes no machines": {
			md: with(numbers(2, 0, 0, 0), func(md *clusterv1.MachineDeployment) {
				md.Status.Conditions = []metav1.Condition{{Type: clusterv1.MachineDeploymentScalingUpCondition, Status: "True", Reason: "ScalingUp", Message: "blocked", LastTransitionTime: before(patience)}}
			}),
			ready: "False", reason: "Scaling", stalled: "Cluster API makes no machines (ScalingUp): blocked",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := testPool(test.change)
			Observed{Pool: p, MachineDeployment: test.md, Machines: test.machines, Failure: test.failure, Now: now}.Summarize()
			ready := meta.FindStatusCondition(p.Status.Conditions, teapotv1.ReadyCondition)
			if ready.Status != test.ready || ready.Reason != test.reason || ready.ObservedGeneration != p.Generation {
				t.Errorf("Ready is %+v, want %s, %s", ready, test.ready, test.reason)
			}
			for _, words := range test.says {
				if !strings.Contains(ready.Message, words) {
					t.Errorf("Ready says %q, want %q in it", ready.Message, words)
				}
			}
			if test.not != "" && strings.Contains(ready.Message, test.not) {
				t.Errorf("Ready says %q, with %q in it", ready.Message, test.not)
			}
			stalled := meta.FindStatusCondition(p.Status.Conditions, teapotv1.StalledCondition)
			if is := stalled.Status == metav1.ConditionTrue; is != (test.stalled != "") || !strings.Contains(stalled.Message, test.stalled) {
				t.Errorf("Stalled is %+v, want %q", stalled, test.stalled)
			}
			applied := meta.FindStatusCondition(p.Status.Conditions, teapotv1.AppliedCondition)
			if (applied.Status == metav1.ConditionTrue) != (test.failure == nil) {
				t.Errorf("Applied is %+v", applied)
			}
			failed := test.reason == teapotv1.ReasonReconcileFailed
			if (p.Status.ObservedGeneration == p.Generation) == failed {
				t.Errorf("status.observedGeneration is %d of %d", p.Status.ObservedGeneration, p.Generation)
			}
		})
	}
}

// TestDeadlinesBringThePoolBack: what turns into a problem without a change is looked at in time.
func TestDeadlinesBringThePoolBack(t *testing.T) {
	for name, test := range map[string]struct {
		md       *clusterv1.MachineDeployment
		machines []clusterv1.Machine
		failure  error
		want     time.Duration
	}{
		"nothing to wait for": {md: numbers(1, 1, 1, 1), machines: []clusterv1.Machine{newMachine("w-1", time.Hour, "Ready=True Ready")}},
		"the next of two machines": {md: numbers(2, 2, 2, 0), want: 2 * time.Hour, machines: []clusterv1.Machine{
			newMachine("w-1", 15*time.Minute), newMachine("w-2", 75*time.Minute),
		}},
		"a control plane": {failure: &Refusal{Reason: teapotv1.ReasonWaitingForControlPlane}, want: patience},
		"Cluster API": {md: with(numbers(1, 0, 0, 0), func(md *clusterv1.MachineDeployment) {
			md.Status.ObservedGeneration, md.CreationTimestamp = 0, before(time.Minute)
		}), want: 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			got := Observed{Pool: testPool(nil), MachineDeployment: test.md, Machines: test.machines, Failure: test.failure, Now: now}.Summarize()
			if got != test.want {
				t.Errorf("it is looked at again after %s, want %s", got, test.want)
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	p := testPool(nil)
	Observed{Pool: p, Now: now}.Count()
	if s := p.Status; *s.DesiredReplicas != 3 || *s.Replicas != 0 || *s.UpToDateReplicas != 0 || s.Selector != "teapot.dev/pool=workers" {
		t.Errorf("before there is a MachineDeployment: %+v", s)
	}
	Observed{Pool: p, Machines: many(2), Now: now}.Count()
	if n := *p.Status.Replicas; n != 2 {
		t.Errorf("when it is gone, and two machines are not: %d", n)
	}
	p = testPool(autoscaled)
	Observed{Pool: p, MachineDeployment: numbers(7, 6, 5, 4), Now: now}.Count()
	if s := p.Status; *s.DesiredReplicas != 7 || *s.Replicas != 6 || *s.UpToDateReplicas != 5 || *s.AvailableReplicas != 4 || *s.ReadyReplicas != 4 {
		t.Errorf("with an autoscaler that chose 7: %+v", s)
	}
}

func TestDeletionSaysWhatItWaitsFor(t *testing.T) {
	for name, test := range map[string]struct {
		since    time.Duration
		machines []clusterv1.Machine
		failure  error
		reason   string
		says     []string
	}{
		"machines":            {since: time.Minute, machines: []clusterv1.Machine{deleted(newMachine("w-1", time.Hour, "Deleting=True DrainingNode pdb"), 0)}, reason: "Deleting", says: []string{"1 machine to be given back", "w-1 is being deleted (DrainingNode): pdb"}},
		"a MachineDeployment": {since: time.Minute, reason: "Deleting", says: []string{"MachineDeployment workers"}},
		"longer than allowed": {since: 960 * time.Second, machines: []clusterv1.Machine{newMachine("w-1", time.Hour)}, reason: "DeletionBlocked", says: []string{"not done 16m0s after", "w-1"}},
		"a call that fails":   {since: time.Hour, failure: errors.New("no"), reason: "DeletionBlocked", says: []string{"no"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := testPool(func(p *teapotv1.WorkerPool) { p.DeletionTimestamp = ptr.To(before(test.since)) })
			due := Observed{Pool: p, Machines: test.machines, Failure: test.failure, Now: now}.SummarizeDeletion()
			ready := meta.FindStatusCondition(p.Status.Conditions, teapotv1.ReadyCondition)
			blocked := test.reason == teapotv1.ReasonDeletionBlocked
			if ready.Reason != test.reason || ready.Status != metav1.ConditionFalse || meta.IsStatusConditionTrue(p.Status.Conditions, teapotv1.StalledCondition) != blocked || (due == 0) != blocked {
				t.Errorf("conditions are %+v, looked at again after %s", p.Status.Conditions, due)
			}
			for _, words := range test.says {
				if !strings.Contains(ready.Message, words) {
					t.Errorf("Ready says %q, want %q in it", ready.Message, words)
				}
			}
		})
	}
}

func TestChooseCluster(t *testing.T) {
	named := func(names ...string) []clusterv1.Cluster {
		clusters := make([]clusterv1.Cluster, len(names))
		for i := range names {
			clusters[i].Name = names[i]
		}
		return clusters
	}
	for name, test := range map[string]struct {
		owner  string
		naming []clusterv1.Cluster
		want   string
		says   string
	}{
		"none": {},
		"one that names the control plane, before Cluster API made it the owner": {naming: named("theirs"), want: "theirs"},
		"the owner":             {owner: "theirs", naming: named("theirs"), want: "theirs"},
		"the owner of two":      {owner: "b", naming: named("a", "b"), want: "b"},
		"two without an owner":  {naming: named("b", "a"), says: "a, b; delete all but one"},
		"an owner that is gone": {owner: "theirs", says: "waiting for Cluster theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			got, refusal := ChooseCluster("prod", test.owner, test.naming)
			if (got == nil) != (test.want == "") || got != nil && got.Name != test.want {
				t.Errorf("chose %v, want %q", got, test.want)
			}
			if (refusal == nil) != (test.says == "") || refusal != nil && !strings.Contains(refusal.Message, test.says) {
				t.Errorf("refused with %+v, want %q", refusal, test.says)
			}
		})
	}
}
