package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// six is how many machines a pool is scaled to from none.
const six = 6

// measureSix takes six_at_once. The baremetal-operator switches machines on when its looks at them
// come, so the machines by hand follow one another at the same intervals.
func (b *bench) measureSix(ctx context.Context, o options) ([]Result, error) {
	t, err := b.newTenantWithMachines(ctx, six)
	if err != nil {
		return nil, err
	}
	pool := t.pool()
	if err := b.client.Create(ctx, pool); err != nil {
		return nil, fmt.Errorf("creating WorkerPool %s: %w", pool.Name, err)
	}
	// What boots first of all reads the image from disk.
	if _, err := t.joinByHand(ctx, 0); err != nil {
		return nil, err
	}
	progress("a machine booted by hand, not counted")
	var hand, ours []float64
	for i := range o.crowds {
		took, intervals, err := t.scaleToSix(ctx, pool)
		if err != nil {
			return nil, err
		}
		byHand, err := t.joinByHand(ctx, intervals...)
		if err != nil {
			return nil, err
		}
		progress("six at once %d/%d: by hand %.2f s, a pool's %.2f s; switched on within %.1f s", i+1, o.crowds, byHand, took, intervals[six-1].Seconds())
		hand, ours = append(hand, byHand), append(ours, took)
	}
	return []Result{newResult(sixAtOnce, "s", ours, hand)}, b.unregister(ctx)
}

// pool is one without machines, which joins them as machines.yaml does.
func (t *tenantWithMachines) pool() *teapotv1.WorkerPool {
	pool := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: tenantsNamespace, Name: "six"}}
	pool.Spec.ControlPlaneName, pool.Spec.Version, pool.Spec.Replicas = t.name, t.version, ptr.To[int32](0)
	pool.Spec.Image = teapotv1.Image{URL: imageURL + t.image, Checksum: noChecksum}
	pool.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{hostLabel: "true"}
	pool.Spec.Bootstrap.IgnorePreflightErrors = []string{"SystemVerification"}
	pool.Spec.Deletion = teapotv1.PoolDeletion{NodeDrainTimeoutSeconds: 10, NodeVolumeDetachTimeoutSeconds: 10, NodeDeletionTimeoutSeconds: 10}
	return pool
}

// scaleToSix scales the pool to six machines and returns the seconds from the first one's power to
// the last one's Node being Ready, and how long after the first one each was switched on; then it
// gives the machines back.
func (t *tenantWithMachines) scaleToSix(ctx context.Context, pool *teapotv1.WorkerPool) (took float64, intervals []time.Duration, err error) {
	if err := t.scalePool(ctx, pool, six); err != nil {
		return 0, nil, err
	}
	at, err := t.nodesReady(ctx, six, patienceFor(six))
	if err != nil {
		return 0, nil, err
	}
	since, err := t.powerSince(ctx, six)
	if err != nil {
		return 0, nil, err
	}
	for _, each := range since {
		intervals = append(intervals, each.Sub(since[0]))
	}
	if err := t.scalePool(ctx, pool, 0); err != nil {
		return 0, nil, err
	}
	return at.Sub(since[0]).Seconds(), intervals, t.givenBack(ctx, six)
}

func (t *tenantWithMachines) scalePool(ctx context.Context, pool *teapotv1.WorkerPool, replicas int32) error {
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := t.client.Patch(ctx, pool, patch); err != nil {
		return fmt.Errorf("scaling WorkerPool %s: %w", pool.Name, err)
	}
	return nil
}
