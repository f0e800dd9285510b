package tenantcontrolplane

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/hibernation"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	workers "github.com/teapot-cloud/teapot/workers/hibernation"
	"github.com/teapot-cloud/teapot/workers/pool/fit"
)

const (
	// unknownPatience is how long a tenant whose API does not say what it has to do is taken to be busy:
	// for ever would keep a cluster awake that nobody can use.
	unknownPatience = 10 * time.Minute
	// welcomePatience is for how long after a sleep what it left behind inside is looked for.
	welcomePatience = 10 * time.Minute
)

// known is what the tenant's session knew before this reconcile.
func (s *scope) known() tenant.Answers {
	if session := s.Tenants.Find(s.input.Owner); session != nil {
		return session.Known()
	}
	return tenant.Answers{}
}

// busy is what the tenant's cluster was found to have to do; nil if it was not asked, or has not said.
func (s *scope) busy() *hibernation.Busy {
	use := s.known().Use
	switch {
	case use.Known(s.now):
		return &hibernation.Busy{At: use.At, Because: use.Because, Last: use.BusyAt}
	case !use.UnknownSince.IsZero() && s.now.Sub(use.UnknownSince) > unknownPatience:
		return &hibernation.Busy{At: s.now}
	default:
		return nil
	}
}

// askUse has the tenant asked what it has to do, if that decides on its sleep.
func (s *scope) askUse(ctx context.Context) error {
	spec := s.tcp.Spec.Hibernation
	if spec == nil || spec.IdleAfter == nil || s.asleep() {
		return nil
	}
	if connections, _ := s.users(); connections > 0 {
		return nil
	}
	shapes, err := s.growingPools(ctx)
	if err != nil {
		return err
	}
	s.chores.Use, s.chores.Pools = true, shapes
	return nil
}

// growingPools are the shapes of those pools' machines that may come: an autoscaler makes them, or they
// are on their way.
func (s *scope) growingPools(ctx context.Context) ([]fit.Shape, error) {
	pools, err := s.pools(ctx, s.Client)
	if err != nil || len(pools) == 0 {
		return nil, err
	}
	templates := &teapotv1.HostMachineTemplateList{}
	if err := s.Client.List(ctx, templates, client.InNamespace(s.tcp.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the HostMachineTemplates of namespace %s: %w", s.tcp.Namespace, err)
	}
	offers := map[string]teapotv1.HostMachineTemplateStatus{}
	for _, template := range templates.Items {
		offers[template.Labels[teapotv1.PoolLabel]] = template.Status
	}
	var shapes []fit.Shape
	for i := range pools {
		p := &pools[i]
		complete := ptr.Deref(p.Status.AvailableReplicas, 0) >= ptr.Deref(p.Status.DesiredReplicas, 0)
		if p.Spec.Autoscaling != nil || !complete {
			shapes = append(shapes, fit.Of(p, offers[p.Name])...)
		}
	}
	return shapes, nil
}

// tidyInside has the inside of the tenant's cluster made ready for sleep, and reports whether nobody need
// wait for that. Pods of machines that are gone already are removed, too.
func (s *scope) tidyInside(machines workers.Workers, deadline time.Time) bool {
	if s.cluster == nil || s.paused || !s.now.Before(deadline) {
		return true
	}
	plan := &tenant.Shutdown{}
	for i := range machines.Machines {
		machine := &machines.Machines[i]
		switch {
		case machine.Spec.ProviderID == "":
		case machine.DeletionTimestamp.IsZero():
			plan.Resting = append(plan.Resting, machine.Spec.ProviderID)
		default:
			plan.Released = append(plan.Released, machine.Spec.ProviderID)
		}
	}
	s.chores.Shutdown = plan
	var outcome tenant.Outcome
	if session := s.Tenants.Find(s.input.Owner); session != nil {
		outcome = session.Ask(s.chores).Shutdown // of this plan, and not of one with fewer machines
	}
	if !outcome.Done {
		s.waitsFor("Waiting until the Nodes and pods of machines that go are removed inside the cluster, but not longer than until %s.", deadline.UTC().Format(time.RFC3339))
		return false
	}
	if outcome.Problems != "" {
		s.sleep.left = joinSentences(s.sleep.left, asSentence("not done inside the cluster: "+outcome.Problems))
	}
	return true
}

// welcome has removed what a sleep left behind inside, and learns which machines are back.
func (s *scope) welcome(ctx context.Context) error {
	record := s.sleep.record
	_, marked := clusterapi.Hibernating(s.cluster)
	if s.asleep() || record.AsleepSince.IsZero() || !marked && s.now.Sub(record.Since) > welcomePatience {
		return nil
	}
	pods, err := s.podsOf(ctx, controlplane.ControlPlaneName)
	if err != nil {
		return err
	}
	wake := &tenant.Wake{}
	for _, pod := range pods {
		wake.Pods = append(wake.Pods, pod.Name)
	}
	if s.cluster != nil {
		machines, _, err := s.observeWorkers(ctx)
		if err != nil {
			return err
		}
		known := sets.New[string]()
		for i := range machines.Machines {
			machine := &machines.Machines[i]
			known.Insert(machine.Spec.ProviderID)
			if marked && machine.DeletionTimestamp.IsZero() && machine.Status.NodeRef.IsDefined() {
				s.chores.Nodes = append(s.chores.Nodes, machine.Spec.ProviderID)
			}
		}
		for i := range machines.HostMachines {
			known.Insert(machines.HostMachines[i].Spec.ProviderID)
		}
		wake.Machines, wake.AsleepSince = sets.List(known.Delete("")), record.AsleepSince
	}
	s.chores.Wake = wake
	return nil
}
