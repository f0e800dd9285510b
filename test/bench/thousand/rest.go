package thousand

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Names of the figures of control planes that sleep.
const (
	RestWrites = "rest_1000_writes_per_minute"
	RestMemory = "rest_manager_mib_per_tenant"
	RestCPU    = "rest_manager_millicores_per_tenant"
)

// rest puts all control planes to sleep and measures a manager that was started after that. One that
// has put a thousand to sleep has memory of that work, which the kernel takes back when it likes.
func (r *room) rest(ctx context.Context, empty idleUse, progress func(format string, args ...any)) ([]Figure, error) {
	tenants := float64(r.roster.size())
	took, err := r.hibernate(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.still(ctx, stillFor); err != nil {
		return nil, err
	}
	use, err := r.manager.Usage()
	if err != nil {
		return nil, err
	}
	progress("%.0f control planes are asleep after %.1f s; the manager has %.1f MiB", tenants, took.Seconds(), use.MiB())
	if err := r.stopManager(); err != nil {
		return nil, err
	}
	if err := r.startManager(ctx); err != nil {
		return nil, err
	}
	if err := r.awaitReconciles(ctx, uint64(tenants)); err != nil {
		return nil, err
	}
	if err := r.still(ctx, stillFor); err != nil {
		return nil, err
	}
	before, err := r.sent(ctx)
	if err != nil {
		return nil, err
	}
	idle, err := r.idle(ctx, idleWindow)
	if err != nil {
		return nil, err
	}
	after, err := r.sent(ctx)
	if err != nil {
		return nil, err
	}
	// The manager's own count has Leases in it, which the API server's leaves out.
	wrote := after.since(before).manager
	progress("asleep: %.1f MiB (%.1f without tenants), %.1f millicores (%.1f), %.1f requests to tenants a second; the manager wrote %.0f times at its start and %.0f times in a minute after that",
		idle.mib, empty.mib, idle.millicores, empty.millicores, idle.asked, before.manager, wrote)
	return []Figure{
		{RestWrites, "1/min", []float64{wrote / idleWindow.Minutes()}},
		{RestMemory, "MiB", []float64{(idle.mib - empty.mib) / tenants}},
		{RestCPU, "millicores", []float64{(idle.millicores - empty.millicores) / tenants}},
	}, nil
}

// hibernate asks all control planes to sleep and returns how long it was until all did.
func (r *room) hibernate(ctx context.Context) (time.Duration, error) {
	size := r.roster.size()
	began := time.Now()
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range size {
		group.Go(func() error {
			tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tenant-" + strconv.Itoa(i)}}
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}},"spec":{"hibernation":{"enabled":true}}}`,
				teapotv1.HibernationRequestedAtAnnotation, time.Now().UTC().Format(time.RFC3339))
			return r.client.Patch(asking, tcp, client.RawPatch(types.MergePatchType, patch))
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("asking control planes to sleep: %w", err)
	}
	within := time.Minute + time.Duration(size)*perTenant
	if err := r.await(ctx, within, func() bool { return r.roster.asleep() == size }); err != nil {
		return 0, fmt.Errorf("%d of %d control planes are asleep, %s: %w", r.roster.asleep(), size, r.roster.anyAwake(), err)
	}
	return time.Since(began), nil
}

// awaitReconciles waits until the manager has looked at control planes so often since it started.
func (r *room) awaitReconciles(ctx context.Context, count uint64) error {
	var seen reconciles
	var failed error
	err := r.awaitEach(ctx, time.Second, time.Minute+time.Duration(count)*perTenant, func() bool {
		seen, failed = r.reconciles(ctx)
		return failed == nil && seen.count >= count
	})
	if err != nil {
		return fmt.Errorf("the manager has looked %d times at %d control planes since it started: %w", seen.count, count, err)
	}
	return nil
}
