package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// crowd is how many control planes are started at once.
const crowd = 10

// measureCrowds takes ten_at_once: until the last one answers.
func (b *bench) measureCrowds(ctx context.Context, o options) ([]Result, error) {
	var teapot, floor []float64
	for i := range o.crowds {
		byHand, err := b.crowdOfFloors(ctx)
		if err != nil {
			return nil, err
		}
		ours, err := b.crowdOfTenants(ctx)
		if err != nil {
			return nil, err
		}
		progress("ten at once %d/%d: floor %.1f s, Teapot %.1f s", i+1, o.crowds, byHand, ours)
		teapot, floor = append(teapot, ours), append(floor, byHand)
	}
	return []Result{newResult(tenAtOnce, "s", teapot, floor)}, nil
}

func (b *bench) crowdOfFloors(ctx context.Context) (float64, error) {
	floors, err := b.prepare(ctx, crowd)
	if err != nil {
		return 0, err
	}
	if err := b.quiet(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	group, each := errgroup.WithContext(ctx)
	for _, p := range floors {
		group.Go(func() error {
			_, err := p.run(each)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(begun).Seconds()
	return took, b.removeNamespaces(ctx, namespaces(floors)...)
}

func (b *bench) crowdOfTenants(ctx context.Context) (float64, error) {
	if err := b.quiet(ctx); err != nil {
		return 0, err
	}
	tenants := make([]*teapotv1.TenantControlPlane, crowd)
	for i := range tenants {
		tenants[i] = b.newTenant()
	}
	begun := time.Now()
	group, each := errgroup.WithContext(ctx)
	for _, tenant := range tenants {
		group.Go(func() error { return b.untilRequest(each, tenant) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(begun).Seconds()
	return took, b.removeTenants(ctx)
}

// untilRequest applies a TenantControlPlane and returns when a user's request by its address is answered.
func (b *bench) untilRequest(ctx context.Context, tenant *teapotv1.TenantControlPlane) error {
	if _, err := b.create(ctx, tenant); err != nil {
		return err
	}
	config, err := b.byAddress(ctx, tenant.Name)
	if err != nil {
		return err
	}
	_, request, err := questions(config)
	if err != nil {
		return err
	}
	_, err = request.answered(ctx)
	return err
}
