package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// sickOfEach is how many sick neighbours there are of each of the three kinds.
const sickOfEach = 4

// The API servers of those without etcd end and are started again, first after 10 s and then after
// twice as long each time (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy).
// A neighbour that is sick for good is meant, not one that has just begun to be: after rareRestarts it
// is started each 160 s and more.
const (
	rareRestarts   = 5
	restartsWithin = 15 * time.Minute
)

// blackHole is an address that swallows what is sent to it: of RFC 5737's documentation
// ranges, which nobody routes.
const blackHole = "192.0.2.1"

// measureNeighbours takes neighbour_ready_request: starts beside neighbours whose load
// balancer, API server or etcd cannot be reached, against starts without them in the same run.
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

	var sick, restarted []*teapotv1.TenantControlPlane
	for range sickOfEach {
		balancer, api, etcd := b.newTenant(), b.newTenant(), b.newTenant()
		balancer.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
		api.Spec.Endpoint.Host = blackHole
		etcd.Spec.Datastore.Etcd.StorageClassName = ptr.To("bench-does-not-exist")
		sick, restarted = append(sick, balancer, api, etcd), append(restarted, etcd)
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
	for _, tenant := range restarted {
		if err := b.restartsAreRare(ctx, tenant); err != nil {
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

// restartsAreRare waits until the API server of a control plane that never becomes ready is seldom started.
func (b *bench) restartsAreRare(ctx context.Context, tenant *teapotv1.TenantControlPlane) error {
	what := fmt.Sprintf("the API server of TenantControlPlane %s to have been started again %d times", tenant.Name, rareRestarts)
	return waitFor(ctx, restartsWithin, what, func(ctx context.Context) (bool, error) {
		pods, err := b.podsOf(ctx, tenant)
		for _, pod := range pods {
			// It is a sidecar: one of the init containers that keep running.
			for _, container := range pod.Status.InitContainerStatuses {
				if container.Name == controlplane.ContainerAPIServer && container.RestartCount >= rareRestarts {
					return true, nil
				}
			}
		}
		return false, err
	})
}
