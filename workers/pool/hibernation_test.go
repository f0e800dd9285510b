package pool

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	released = teapotv1.HibernatedWorkersRelease
	off      = teapotv1.HibernatedWorkersPowerOff
	kept     = teapotv1.HibernatedWorkersKeep
)

// noted has the pool carry the note of how many machines it had.
func noted(n string) func(*teapotv1.WorkerPool) {
	return func(p *teapotv1.WorkerPool) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, teapotv1.AwakeReplicasAnnotation, n)
	}
}

func both(changes ...func(*teapotv1.WorkerPool)) func(*teapotv1.WorkerPool) {
	return func(p *teapotv1.WorkerPool) {
		for _, change := range changes {
			change(p)
		}
	}
}

// bounded has an autoscaler keep 2 to 10 machines.
func bounded(p *teapotv1.WorkerPool) {
	p.Spec.Replicas, p.Spec.Autoscaling = nil, &teapotv1.PoolAutoscaling{MinReplicas: 2, MaxReplicas: 10}
}

// TestMachinesAsleep: how many machines a pool has while its control plane sleeps and afterwards, and
// whether the autoscaler may change that. -1: the number is the autoscaler's.
func TestMachinesAsleep(t *testing.T) {
	for name, test := range map[string]struct {
		pool     func(*teapotv1.WorkerPool)
		mode     teapotv1.HibernatedWorkers
		replicas int32
		bounds   bool
	}{
		"awake":                                   {replicas: 3},
		"released":                                {mode: released, replicas: 0},
		"back: the spec has the number":           {pool: noted("7"), replicas: 3},
		"switched off":                            {mode: off, replicas: 3},
		"kept":                                    {mode: kept, replicas: 3},
		"released, and to be switched off now":    {pool: noted("3"), mode: off, replicas: 0},
		"released, and to be kept now":            {pool: noted("3"), mode: kept, replicas: 0},
		"released, and on its way back":           {pool: noted("3"), mode: clusterapi.Waking, replicas: 3},
		"a note that is none":                     {pool: noted("three"), mode: off, replicas: 3},
		"autoscaled":                              {pool: bounded, replicas: -1, bounds: true},
		"autoscaled, released":                    {pool: bounded, mode: released, replicas: 0},
		"autoscaled, switched off":                {pool: bounded, mode: off, replicas: -1, bounds: true},
		"autoscaled, on its way back":             {pool: bounded, mode: clusterapi.Waking, replicas: -1, bounds: true},
		"autoscaled, back with what it had":       {pool: both(bounded, noted("7")), replicas: 7, bounds: true},
		"autoscaled, back with fewer than it may": {pool: both(bounded, noted("0")), replicas: 2, bounds: true},
		"autoscaled, back with more than it may":  {pool: both(bounded, noted("70")), replicas: 10, bounds: true},
		"autoscaled, released, to be kept now":    {pool: both(bounded, noted("7")), mode: kept, replicas: 0},
		"a note below zero":                       {pool: both(bounded, noted("-1")), replicas: -1, bounds: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Pool: testPool(test.pool), Cluster: "prod", Hibernation: test.mode}
			templates, err := NewTemplates(in)
			if err != nil {
				t.Fatal(err)
			}
			md := NewMachineDeployment(in, templates)
			_, least := md.Annotations[clusterv1.AutoscalerMinSizeAnnotation]
			_, most := md.Annotations[clusterv1.AutoscalerMaxSizeAnnotation]
			if got := ptr.Deref(md.Spec.Replicas, -1); got != test.replicas || least != test.bounds || most != test.bounds {
				t.Errorf("replicas are %d, with bounds: %t, %t; want %d, %t", got, least, most, test.replicas, test.bounds)
			}
			awake, err := NewTemplates(Input{Pool: testPool(test.pool), Cluster: "prod"})
			if err != nil {
				t.Fatal(err)
			}
			if awake.Bootstrap.Name != templates.Bootstrap.Name || awake.Infrastructure.Name != templates.Infrastructure.Name {
				t.Error("machines are made from other templates, and replaced")
			}
		})
	}
}

func TestAsleep(t *testing.T) {
	goes := deleted(newMachine("w-1", time.Hour, "Deleting=True WaitingForInfrastructureDeletion host-7 is cleaned"), time.Minute)
	lost := joined(newMachine("w-1", 24*time.Hour, "Ready=False NotReady", "NodeReady=Unknown NodeConnectionDown"))
	for name, test := range map[string]struct {
		pool     func(*teapotv1.WorkerPool)
		mode     teapotv1.HibernatedWorkers
		md       *clusterv1.MachineDeployment
		machines []clusterv1.Machine

		reason  string
		says    string
		desired int32
		stalled bool
	}{
		"released": {mode: released, md: numbers(0, 0, 0, 0), pool: noted("3"), reason: "Asleep", desired: 3,
			says: "TenantControlPlane prod sleeps: the pool has no machines, and 3 when it wakes"},
		"released, autoscaled": {mode: released, md: numbers(0, 0, 0, 0), pool: both(bounded, noted("70")), reason: "Asleep", desired: 10,
			says: "no machines, and 10 when it wakes"},
		"made meanwhile": {mode: released, md: numbers(0, 0, 0, 0), pool: bounded, reason: "Asleep", desired: 2, says: "no machines, and 2 when it wakes"},
		"scaled meanwhile": {mode: released, md: numbers(0, 0, 0, 0), reason: "Asleep", desired: 9, says: "no machines, and 9 when it wakes",
			pool: both(noted("3"), func(p *teapotv1.WorkerPool) { p.Spec.Replicas = ptr.To[int32](9) })},
		"while Cluster API is paused nobody looks at the MachineDeployment": {mode: released, reason: "Asleep", desired: 3,
			md: with(numbers(0, 0, 0, 0), func(md *clusterv1.MachineDeployment) { md.Status.ObservedGeneration = 0 })},
		"on its way": {mode: released, md: numbers(0, 1, 1, 0), machines: []clusterv1.Machine{goes}, reason: "Hibernating", desired: 3,
			says: "1 machine is being given back: w-1 is being deleted (WaitingForInfrastructureDeletion): host-7 is cleaned"},
		"on its way for too long": {mode: released, md: numbers(0, 1, 1, 0), machines: []clusterv1.Machine{deleted(goes, 16*time.Minute)}, reason: "Hibernating", desired: 3, stalled: true},
		"switched off: that nobody hears of the Node is as it should be": {mode: off, md: numbers(3, 3, 3, 0), machines: []clusterv1.Machine{lost}, reason: "Asleep", desired: 3,
			says: "1 machine is switched off until it wakes"},
		"kept":                             {mode: kept, md: numbers(3, 3, 3, 3), machines: many(2), reason: "Asleep", desired: 3, says: "2 machines are kept running until it wakes"},
		"released, and to be kept now":     {mode: kept, md: numbers(0, 0, 0, 0), pool: noted("3"), reason: "Asleep", desired: 3, says: "no machines, and 3 when it wakes"},
		"on its way back, which may take":  {mode: clusterapi.Waking, md: numbers(3, 3, 3, 0), machines: []clusterv1.Machine{lost}, reason: "Waking", desired: 3, says: "waiting until Nodes of 3 machines are ready"},
		"on its way back, and one machine": {mode: clusterapi.Waking, pool: func(p *teapotv1.WorkerPool) { p.Spec.Replicas = ptr.To[int32](1) }, md: numbers(1, 1, 1, 0), reason: "Waking", desired: 1, says: "Nodes of 1 machine are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			p := testPool(test.pool)
			Observed{Pool: p, MachineDeployment: test.md, Machines: test.machines, Hibernation: test.mode, Now: now}.Summarize()
			ready := meta.FindStatusCondition(p.Status.Conditions, teapotv1.ReadyCondition)
			if ready.Status != metav1.ConditionFalse || ready.Reason != test.reason || !strings.Contains(ready.Message, test.says) {
				t.Errorf("Ready is %+v, want %s, %q", ready, test.reason, test.says)
			}
			if got := *p.Status.DesiredReplicas; got != test.desired {
				t.Errorf("desired are %d, want %d", got, test.desired)
			}
			if got := meta.IsStatusConditionTrue(p.Status.Conditions, teapotv1.StalledCondition); got != test.stalled {
				t.Errorf("Stalled is %+v", meta.FindStatusCondition(p.Status.Conditions, teapotv1.StalledCondition))
			}
			if !meta.IsStatusConditionTrue(p.Status.Conditions, teapotv1.AppliedCondition) {
				t.Errorf("Applied is %+v", p.Status.Conditions)
			}
		})
	}
}
