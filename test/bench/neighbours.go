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

// restsWithin is how long it may take until nothing of a control plane without a volume runs. A
// neighbour that is sick for good is meant, not one that has just begun to be.
const restsWithin = 5 * time.Minute

// blackHole is an address that swallows what is sent to it: of RFC 5737's documentation
// ranges, which nobody routes.
const blackHole = "192.0.2.1"

// measureNeighbours takes neighbour_ready_request: starts beside neighbours whose load
// balancer, API server or etcd cannot be reached, against starts without them in the same run. None
// of them runs: what a control plane that runs takes of the node's processors, it takes sick or not,
// and on two processors that would be most of the figure (docs/benchmarks.md).
func (b *bench) measureNeighbours(ctx context.Context, o options) ([]Result, error) {
	var alone, beside []float64
	for i := range o.n {
		s, err := b.startOnce(ctx)
		if err != nil {
			return nil, err
		}
		progress("neighbours %d/%d: alone, request %.2f s", i+1, o.n, s.request)
		alone = append(alone, s.request)
	}

	var sick, resting []*teapotv1.TenantControlPlane
	for range sickOfEach {
		balancer, api, etcd := b.newTenant(), b.newTenant(), b.newTenant()
		balancer.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
		api.Spec.Endpoint.Host = blackHole
		api.Spec.Scheduling.NodeSelector = map[string]teapotv1.LabelValue{"teapot.dev/bench": "nowhere"}
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
	for i := range o.n {
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		tenant := b.newTenant()
		var s start
		if err := b.startTenant(ctx, tenant, &s); err != nil {
			return nil, err
		}
		progress("neighbours %d/%d: beside %d sick ones, request %.2f s", i+1, o.n, len(sick), s.request)
		beside = append(beside, s.request)
		if _, err := b.timeDeletion(ctx, tenant); err != nil {
			return nil, err
		}
	}
	for _, tenant := range sick {
		if err := b.client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant); err != nil {
			return nil, err
		}
		if meta.IsStatusConditionTrue(tenant.Status.Conditions, teapotv1.ReadyCondition) {
			return nil, fmt.Errorf("TenantControlPlane %s was to be sick and became Ready: the figure would say nothing", tenant.Name)
		}
	}
	return []Result{newResult(neighbourRequest, "s", beside, alone)}, b.removeTenants(ctx)
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
