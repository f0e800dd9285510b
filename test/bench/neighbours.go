package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// sickOfEach is how many sick neighbours there are of each of the three kinds.
const sickOfEach = 4

// neighbourRounds is how often each kind of neighbours is made; its starts are spread over them.
const neighbourRounds = 2

// restsWithin is how long it may take until nothing of a control plane without a volume runs. A
// neighbour that is sick for good is meant, not one that has just begun to be.
const restsWithin = 5 * time.Minute

// blackHole is an address that swallows what is sent to it: of RFC 5737's documentation
// ranges, which nobody routes.
const blackHole = "192.0.2.1"

// measureNeighbours takes two figures of starts beside neighbours whose load balancer, API server or
// etcd cannot be reached. For neighbour_ready_request none of these runs, and the floor is a start
// alone. A control plane that runs takes its part of the node's processors, sick or well: so, for
// neighbour_running_request, those whose address cannot be reached run, and the floor is a start beside
// as many that run and are well.
//
// What is compared takes turns, in neighbourRounds rounds: computers become faster and slower within
// minutes, and one group after the other said that of the computer.
func (b *bench) measureNeighbours(ctx context.Context, o options) ([]Result, error) {
	var alone, stopped, well, running []float64
	groups := []struct {
		took    *[]float64
		measure func(n int) ([]float64, error)
	}{
		{&alone, func(n int) ([]float64, error) { return b.startsBeside(ctx, n, "none") }},
		{&stopped, func(n int) ([]float64, error) { return b.besideSick(ctx, n, false) }},
		{&well, func(n int) ([]float64, error) { return b.besideWell(ctx, n) }},
		{&running, func(n int) ([]float64, error) { return b.besideSick(ctx, n, true) }},
	}
	each := (o.n + neighbourRounds - 1) / neighbourRounds
	for round := range neighbourRounds {
		progress("neighbours: round %d of %d", round+1, neighbourRounds)
		for _, group := range groups {
			took, err := group.measure(each)
			if err != nil {
				return nil, err
			}
			*group.took = append(*group.took, took...)
		}
	}
	return []Result{newResult(neighbourRequest, "s", stopped, alone), newResult(neighbourRunning, "s", running, well)}, nil
}

// besideSick starts tenants one after another beside sick ones.
func (b *bench) besideSick(ctx context.Context, n int, running bool) ([]float64, error) {
	var sick, resting []*teapotv1.TenantControlPlane
	for range sickOfEach {
		balancer, api, etcd := b.newTenant(), b.newTenant(), b.newTenant()
		balancer.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
		api.Spec.Endpoint.Host = blackHole
		if !running {
			api.Spec.Scheduling.NodeSelector = map[string]teapotv1.LabelValue{"teapot.dev/bench": "nowhere"}
			resting = append(resting, api)
		}
		etcd.Spec.Datastore.Etcd.StorageClassName = ptr.To("bench-does-not-exist")
		sick, resting = append(sick, balancer, api, etcd), append(resting, etcd)
	}
	for _, tenant := range sick {
		if _, err := b.create(ctx, tenant); err != nil {
			return nil, err
		}
	}
	for _, tenant := range sick {
		err := waitFor(ctx, readyWithin, "TenantControlPlane "+tenant.Name+" to be found sick", func(ctx context.Context) (bool, error) {
			err := b.client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant)
			// One without an endpoint gets no pods; the others' are to have had their start.
			started := tenant.Spec.Endpoint.Type == teapotv1.EndpointLoadBalancer || tenant.Status.Replicas > 0
			return started && meta.IsStatusConditionFalse(tenant.Status.Conditions, teapotv1.ReadyCondition), err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, tenant := range resting {
		if err := b.rests(ctx, tenant); err != nil {
			return nil, err
		}
	}
	took, err := b.startsBeside(ctx, n, fmt.Sprintf("%d sick ones", len(sick)))
	if err != nil {
		return nil, err
	}
	for _, tenant := range sick {
		if err := b.client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant); err != nil {
			return nil, err
		}
		if meta.IsStatusConditionTrue(tenant.Status.Conditions, teapotv1.ReadyCondition) {
			return nil, fmt.Errorf("TenantControlPlane %s was to be sick and became Ready: the figure would say nothing", tenant.Name)
		}
	}
	return took, b.removeTenants(ctx)
}

// besideWell starts tenants one after another beside healthy ones.
func (b *bench) besideWell(ctx context.Context, n int) ([]float64, error) {
	var well []*teapotv1.TenantControlPlane
	for range sickOfEach {
		tenant := b.newTenant()
		if _, err := b.create(ctx, tenant); err != nil {
			return nil, err
		}
		well = append(well, tenant)
	}
	if err := b.waitReady(ctx, well...); err != nil {
		return nil, err
	}
	took, err := b.startsBeside(ctx, n, fmt.Sprintf("%d healthy ones", len(well)))
	if err != nil {
		return nil, err
	}
	return took, b.removeTenants(ctx)
}

// startsBeside starts a tenant and deletes it again, n times.
func (b *bench) startsBeside(ctx context.Context, n int, whom string) ([]float64, error) {
	var took []float64
	for i := range n {
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		tenant := b.newTenant()
		var s start
		if err := b.startTenant(ctx, tenant, &s); err != nil {
			return nil, err
		}
		progress("neighbours %d/%d: beside %s, request %.2f s", i+1, n, whom, s.request)
		took = append(took, s.request)
		if _, err := b.timeDeletion(ctx, tenant); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// rests waits until a control plane without a volume runs no API server: one would be started again
// and again.
func (b *bench) rests(ctx context.Context, tenant *teapotv1.TenantControlPlane) error {
	what := "the API server of TenantControlPlane " + tenant.Name + ", which has no volume, to be stopped"
	return waitFor(ctx, restsWithin, what, func(ctx context.Context) (bool, error) {
		pods, err := b.podsOf(ctx, tenant)
		return !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
			return pod.Labels[teapotv1.ComponentLabel] == controlplane.ControlPlaneName
		}), err
	})
}
