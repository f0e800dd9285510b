package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// start is what one round of floor and Teapot took, in seconds.
type start struct{ floor, readyz, request, deletion float64 }

// measureStarts takes ready_readyz, ready_request and delete.
func (b *bench) measureStarts(ctx context.Context, o options) ([]Result, error) {
	var floors, readyzs, requests, deletions []float64
	for i := range o.n {
		s, err := b.startOnce(ctx)
		if err != nil {
			return nil, err
		}
		progress("start %d/%d: floor %.2f s, /readyz %.2f s, request %.2f s, delete %.2f s", i+1, o.n, s.floor, s.readyz, s.request, s.deletion)
		floors, readyzs = append(floors, s.floor), append(readyzs, s.readyz)
		requests, deletions = append(requests, s.request), append(deletions, s.deletion)
	}
	return []Result{
		newResult(readyReadyz, "s", readyzs, floors),
		newResult(readyRequest, "s", requests, floors),
		newResult(deletion, "s", deletions, nil),
	}, nil
}

// startOnce starts a floor and removes it, then a TenantControlPlane and deletes it.
func (b *bench) startOnce(ctx context.Context) (s start, err error) {
	floors, err := b.prepare(ctx, 1)
	if err != nil {
		return s, err
	}
	if err := b.quiet(ctx); err != nil {
		return s, err
	}
	took, err := floors[0].run(ctx)
	if err != nil {
		return s, err
	}
	s.floor = took.Seconds()
	if err := b.removeNamespaces(ctx, namespaces(floors)...); err != nil {
		return s, err
	}

	if err := b.quiet(ctx); err != nil {
		return s, err
	}
	tenant := b.newTenant()
	if err := b.startTenant(ctx, tenant, &s); err != nil {
		return s, err
	}
	if err := b.waitReady(ctx, tenant); err != nil {
		return s, err
	}
	s.deletion, err = b.timeDeletion(ctx, tenant)
	if err != nil {
		return s, err
	}
	return s, b.removeTenants(ctx)
}

// startTenant applies a TenantControlPlane and asks both questions side by side.
func (b *bench) startTenant(ctx context.Context, tenant *teapotv1.TenantControlPlane, s *start) error {
	begun, err := b.create(ctx, tenant)
	if err != nil {
		return err
	}
	config, err := b.byAddress(ctx, tenant.Name)
	if err != nil {
		return err
	}
	ready, namespaces, err := questions(config)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, each := range []struct {
		question question
		into     *float64
	}{{ready, &s.readyz}, {namespaces, &s.request}} {
		group.Go(func() error {
			at, err := each.question.answered(ctx)
			*each.into = at.Sub(begun).Seconds()
			return err
		})
	}
	return group.Wait()
}

// timeDeletion deletes a TenantControlPlane as kubectl does and returns the seconds until
// none of its pods is left.
func (b *bench) timeDeletion(ctx context.Context, tenant *teapotv1.TenantControlPlane) (float64, error) {
	begun := time.Now()
	if err := b.client.Delete(ctx, tenant); err != nil {
		return 0, fmt.Errorf("deleting TenantControlPlane %s: %w", tenant.Name, err)
	}
	err := wait.PollUntilContextTimeout(ctx, tick, goneWithin, true, func(ctx context.Context) (bool, error) {
		pods, err := b.podsOf(ctx, tenant)
		return len(pods) == 0, err
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for the pods of TenantControlPlane %s to be gone: %w", tenant.Name, err)
	}
	return time.Since(begun).Seconds(), nil
}
