package hibernation

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	release  = teapotv1.HibernatedWorkersRelease
	powerOff = teapotv1.HibernatedWorkersPowerOff
	keep     = teapotv1.HibernatedWorkersKeep
)

var deletion = &metav1.Time{Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}

// ofPool has a machine be one of the pool "workers".
func ofPool(m *clusterv1.Machine, _ *teapotv1.MachineClaim) {
	m.Labels = map[string]string{teapotv1.PoolLabel: "workers", clusterv1.MachineDeploymentNameLabel: "workers"}
}

// ofACopy is of a MachineDeployment that somebody copied, with its labels.
func ofACopy(m *clusterv1.Machine, _ *teapotv1.MachineClaim) {
	m.Labels = map[string]string{teapotv1.PoolLabel: "workers", clusterv1.MachineDeploymentNameLabel: "theirs"}
}

func goes(m *clusterv1.Machine, _ *teapotv1.MachineClaim) { m.DeletionTimestamp = deletion }

func claimGoes(_ *clusterv1.Machine, c *teapotv1.MachineClaim) { c.DeletionTimestamp = deletion }

func anothers(m *clusterv1.Machine, _ *teapotv1.MachineClaim) {
	m.Spec.InfrastructureRef.Kind = "DockerMachine"
}

func holds(_ *clusterv1.Machine, c *teapotv1.MachineClaim) {
	c.Status.Host, c.Status.PoweredOn = &teapotv1.HostReference{Name: "h"}, true
}

func toBeOff(m *clusterv1.Machine, c *teapotv1.MachineClaim) {
	holds(m, c)
	c.Spec.PoweredOn, c.Generation = ptr.To(false), 2
}

func off(m *clusterv1.Machine, c *teapotv1.MachineClaim) {
	toBeOff(m, c)
	c.Status.PoweredOn = false
}

func says(status metav1.ConditionStatus, message string, generation int64) change {
	return func(_ *clusterv1.Machine, c *teapotv1.MachineClaim) {
		c.Status.Conditions = []metav1.Condition{{Type: teapotv1.ReadyCondition, Status: status, Message: message, ObservedGeneration: generation}}
	}
}

type change func(*clusterv1.Machine, *teapotv1.MachineClaim)

// add adds a Machine with its HostMachine and claim.
func (w Workers) add(name string, changes ...change) Workers {
	m := clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Name: name}}
	m.Spec.InfrastructureRef.Kind = "HostMachine"
	hm := teapotv1.HostMachine{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), OwnerReferences: []metav1.OwnerReference{
		{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: name, Controller: ptr.To(true)},
	}}}
	c := teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{
		{APIVersion: teapotv1.GroupVersion.String(), Kind: "HostMachine", Name: name, UID: hm.UID, Controller: ptr.To(true)},
	}}}
	for _, change := range changes {
		change(&m, &c)
	}
	w.Machines = append(w.Machines, m)
	if m.Spec.InfrastructureRef.Kind == "HostMachine" {
		w.HostMachines, w.Claims = append(w.HostMachines, hm), append(w.Claims, c)
	}
	return w
}

// claim adds a claim that somebody made by hand.
func (w Workers) claim(name string) Workers {
	w.Claims = append(w.Claims, teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return w
}

func TestHandedOver(t *testing.T) {
	none := Workers{}
	for name, test := range map[string]struct {
		mode          teapotv1.HibernatedWorkers
		workers       Workers
		waiting, left string
	}{
		"released: no machines":                                       {mode: release},
		"released: nothing has begun":                                 {mode: release, workers: none.add("a", ofPool, holds), waiting: "waiting until machines are given back: Machine a is to be deleted; MachineClaim a is to be deleted"},
		"released: the Machine goes, the claim not":                   {mode: release, workers: none.add("a", ofPool, goes, holds), waiting: "waiting until machines are given back: MachineClaim a is to be deleted"},
		"released: both go, whatever the host does":                   {mode: release, workers: none.add("a", ofPool, goes, claimGoes, holds)},
		"released: the Machine is gone, the claim cleans its host":    {mode: release, workers: Workers{Claims: none.add("a", claimGoes, holds).Claims}},
		"released: the Machine was torn away, and the claim was not":  {mode: release, workers: Workers{HostMachines: none.add("a").HostMachines, Claims: none.add("a", holds).Claims}, waiting: "waiting until machines are given back: MachineClaim a is to be deleted"},
		"released: a Machine of the user's stays, with its claim":     {mode: release, workers: none.add("a", holds), left: "not given back, since no WorkerPool made them: Machine a"},
		"released: a copy of a pool's is the user's":                  {mode: release, workers: none.add("a", ofACopy), left: "not given back, since no WorkerPool made them: Machine a"},
		"released: a Machine of another provider's":                   {mode: release, workers: none.add("a", anothers), left: "not given back, since no WorkerPool made them: Machine a"},
		"released: a claim without a machine":                         {mode: release, workers: none.claim("c"), left: "not given back, since no WorkerPool made them: MachineClaim c"},
		"released: others are waited for":                             {mode: release, workers: none.add("a").add("b", ofPool, claimGoes), waiting: "waiting until machines are given back: Machine b is to be deleted", left: "not given back, since no WorkerPool made them: Machine a"},
		"released: many":                                              {mode: release, workers: none.add("g", ofPool, claimGoes).add("f", ofPool, claimGoes).add("e", ofPool, claimGoes).add("d", ofPool, claimGoes).add("c", ofPool, claimGoes).add("b", ofPool, claimGoes).add("a", ofPool, claimGoes), waiting: "waiting until machines are given back: Machine a is to be deleted; Machine b is to be deleted; Machine c is to be deleted; Machine d is to be deleted; Machine e is to be deleted; and 2 more"},
		"switched off: nothing has begun":                             {mode: powerOff, workers: none.add("a", holds), waiting: "waiting until machines are switched off: MachineClaim a is to be switched off"},
		"switched off: not looked at yet":                             {mode: powerOff, workers: none.add("a", toBeOff, says("True", "runs", 1)), waiting: "waiting until machines are switched off: MachineClaim a has not been looked at yet"},
		"switched off: under way":                                     {mode: powerOff, workers: none.add("a", toBeOff, says("False", "host h is being switched off", 2)), waiting: "waiting until machines are switched off: MachineClaim a: host h is being switched off"},
		"switched off: nobody knows":                                  {mode: powerOff, workers: none.add("a", toBeOff, says("Unknown", "host h is detached", 2)), waiting: "waiting until machines are switched off: MachineClaim a: host h is detached"},
		"switched off: done":                                          {mode: powerOff, workers: none.add("a", off).add("b", ofPool, off)},
		"switched off: done, though the status of the claim says not": {mode: powerOff, workers: none.add("a", off, says("False", "what was before", 1))},
		"switched off: the host may not be":                           {mode: powerOff, workers: none.add("a", toBeOff, says("True", "host h stays on", 2)), left: "not switched off, since that is not Teapot's to do: MachineClaim a (host h stays on)"},
		"switched off: one that never joined is given back":           {mode: powerOff, workers: none.add("a", claimGoes)},
		"switched off: not before it is":                              {mode: powerOff, workers: none.add("a"), waiting: "waiting until machines are switched off: MachineClaim a is to be switched off"},
		"switched off: another provider's machine, a claim by hand":   {mode: powerOff, workers: none.add("a", anothers).claim("c"), left: "not switched off, since that is not Teapot's to do: Machine a; MachineClaim c"},
		"kept":                                  {mode: keep, workers: none.add("a", ofPool, holds)},
		"nothing is to become of them any more": {mode: clusterapi.Waking, workers: none.add("a", ofPool, holds)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := HandedOver(test.mode, test.workers); got.Waiting != test.waiting || got.Left != test.left {
				t.Errorf("it waits for %q\n want %q\nand leaves %q\n want %q", got.Waiting, test.waiting, got.Left, test.left)
			}
		})
	}
}

func TestMayPause(t *testing.T) {
	going := metav1.ObjectMeta{Name: "workers", DeletionTimestamp: deletion}
	md := func(replicas, exist int32, change func(*clusterv1.MachineDeployment)) []clusterv1.MachineDeployment {
		one := clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Name: "workers", Generation: 4, Labels: map[string]string{teapotv1.PoolLabel: "workers"}}}
		one.Spec.Replicas, one.Status.Replicas, one.Status.ObservedGeneration = &replicas, &exist, 4
		if change != nil {
			change(&one)
		}
		return []clusterv1.MachineDeployment{one}
	}
	for name, test := range map[string]struct {
		mode teapotv1.HibernatedWorkers
		in   Pause
		why  string
	}{
		"nothing there":             {mode: release},
		"machines that are kept":    {mode: keep, in: Pause{Machines: Workers{}.add("a", ofPool).Machines, MachineDeployments: md(1, 1, nil)}},
		"machines that are off":     {mode: powerOff, in: Pause{Machines: Workers{}.add("a", ofPool).Machines, MachineDeployments: md(1, 1, nil)}},
		"released":                  {mode: release, in: Pause{MachineDeployments: md(0, 0, nil)}},
		"released but for a user's": {mode: release, in: Pause{Machines: Workers{}.add("a").Machines, MachineDeployments: md(7, 7, func(md *clusterv1.MachineDeployment) { md.Labels = nil })}},
		"a pool that somebody paused": {mode: release, in: Pause{
			Machines: Workers{}.add("a", ofPool).Machines,
			MachineDeployments: md(1, 1, func(md *clusterv1.MachineDeployment) {
				metav1.SetMetaDataAnnotation(&md.ObjectMeta, clusterv1.PausedAnnotation, "")
			}),
		}},
		"not scaled yet":                       {mode: release, in: Pause{MachineDeployments: md(2, 0, nil)}, why: "MachineDeployment workers is being scaled to 0"},
		"not seen by Cluster API yet":          {mode: release, in: Pause{MachineDeployments: md(0, 0, func(md *clusterv1.MachineDeployment) { md.Generation++ })}, why: "MachineDeployment workers is being scaled to 0"},
		"machines counted still":               {mode: release, in: Pause{MachineDeployments: md(0, 1, nil)}, why: "MachineDeployment workers is being scaled to 0"},
		"a machine that is to go":              {mode: release, in: Pause{Machines: Workers{}.add("a", ofPool).Machines}, why: "Machine a is to be deleted"},
		"a machine that goes, whatever mode":   {mode: keep, in: Pause{Machines: Workers{}.add("a", goes).Machines}, why: "Machine a is being deleted"},
		"a pool that goes":                     {mode: powerOff, in: Pause{Pools: []teapotv1.WorkerPool{{ObjectMeta: going}}}, why: "WorkerPool workers is being deleted"},
		"a MachineDeployment that goes":        {mode: powerOff, in: Pause{MachineDeployments: []clusterv1.MachineDeployment{{ObjectMeta: going}}}, why: "MachineDeployment workers is being deleted"},
		"the Cluster that goes":                {mode: release, in: Pause{Cluster: &clusterv1.Cluster{ObjectMeta: going}}, why: "Cluster workers is being deleted"},
		"a pool that is there, and not asleep": {mode: powerOff, in: Pause{Pools: []teapotv1.WorkerPool{{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.in.Cluster == nil {
				test.in.Cluster = &clusterv1.Cluster{}
			}
			if why := test.in.MayPause(test.mode); (why == "") != (test.why == "") || !strings.Contains(why, test.why) {
				t.Errorf("why not is %q, want %q", why, test.why)
			}
		})
	}
}
