package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

const (
	// idleFor is how long a control plane is left alone before its memory counts.
	idleFor = 30 * time.Second
	// readingInterval and settledWithin: memory counts once two readings that follow one
	// another differ by less than that share.
	readingInterval = 5 * time.Second
	settledWithin   = 0.02
	// settleLimit is when the bench gives up on memory that goes on changing.
	settleLimit = 3 * time.Minute
)

// measureIdle takes the memory of idle control planes, and then the time of requests to
// them. All run side by side, floors and Teapot's: then both share the pages of their programs
// with equally many others.
func (b *bench) measureIdle(ctx context.Context, o options) ([]Result, error) {
	floors, err := b.prepare(ctx, o.n)
	if err != nil {
		return nil, err
	}
	tenants := make([]*teapotv1.TenantControlPlane, o.n)
	group, each := errgroup.WithContext(ctx)
	for i, p := range floors {
		tenants[i] = b.newTenant()
		group.Go(func() error {
			_, err := p.run(each)
			return err
		})
		group.Go(func() error {
			_, err := b.create(each, tenants[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := b.waitReady(ctx, tenants...); err != nil {
		return nil, err
	}
	progress("memory: %d floors and %d TenantControlPlanes are ready; left alone for %s", o.n, o.n, idleFor)

	// owner says by a pod's UID whose it is: floors first, then tenants.
	owner := map[string]int{}
	for i := range o.n {
		byHand, err := b.podsOfFloor(ctx, floors[i])
		if err != nil {
			return nil, err
		}
		ours, err := b.podsOf(ctx, tenants[i])
		if err != nil {
			return nil, err
		}
		own(owner, i, byHand)
		own(owner, o.n+i, ours)
	}
	settled, err := b.settledMemory(ctx, owner, 2*o.n)
	if err != nil {
		return nil, err
	}
	var anonymous, pss [2][]float64
	for i, m := range settled {
		side := i / o.n
		anonymous[side] = append(anonymous[side], mib(m.anonymous))
		pss[side] = append(pss[side], mib(m.pss))
	}
	results := []Result{
		newResult(tenantAnon, "MiB", anonymous[1], anonymous[0]),
		newResult(tenantPSS, "MiB", pss[1], pss[0]),
	}
	latencies, err := b.measureLatency(ctx, tenants, floors)
	if err != nil {
		return nil, err
	}
	if err := b.removeNamespaces(ctx, namespaces(floors)...); err != nil {
		return nil, err
	}
	return append(results, latencies...), b.removeTenants(ctx)
}

func own(owner map[string]int, index int, pods []corev1.Pod) {
	for _, pod := range pods {
		owner[string(pod.UID)] = index
	}
}

func mib(kib int64) float64 { return float64(kib) / 1024 }

// settledMemory reads until every control plane's memory has settled.
func (b *bench) settledMemory(ctx context.Context, owner map[string]int, count int) ([]memory, error) {
	uids := make([]string, 0, len(owner))
	for uid := range owner {
		uids = append(uids, uid)
	}
	began := time.Now()
	ticker := time.NewTicker(readingInterval)
	defer ticker.Stop()
	for before := make([]memory, count); ; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		pods, err := podMemory(uids)
		if err != nil {
			return nil, err
		}
		now := make([]memory, count)
		for uid, m := range pods {
			now[owner[uid]] = now[owner[uid]].plus(m)
		}
		still := true
		for i := range now {
			if now[i].anonymous == 0 {
				return nil, fmt.Errorf("control plane %d of the memory figure has no processes on this machine", i)
			}
			still = still && near(before[i].anonymous, now[i].anonymous) && near(before[i].pss, now[i].pss)
		}
		switch elapsed := time.Since(began); {
		case still && elapsed >= idleFor:
			return now, nil
		case elapsed > settleLimit:
			return nil, fmt.Errorf("memory of idle control planes still changes after %s: %v, then %v", settleLimit, before, now)
		}
		before = now
	}
}

// near says whether two readings differ by less than settledWithin.
func near(a, b int64) bool {
	return math.Abs(float64(a-b)) < settledWithin*float64(max(a, b))
}
