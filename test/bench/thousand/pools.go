package thousand

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Names of the figures of pools.
const (
	PoolsConverge     = "pools_100_converge_s"
	PoolsWrites       = "pools_writes_per_machine"
	PoolsSteadyWrites = "pools_steady_writes_per_minute"
)

// PoolOptions say what is measured of pools.
type PoolOptions struct {
	// Pools is how many pools there are, and Machines how many machines each has.
	Pools, Machines int
	// Progress tells a person what goes on.
	Progress func(format string, args ...any)
}

const (
	// perMachine is how long the management cluster may take for each machine until all are there.
	perMachine = 2 * time.Second
	// stillFor is how long the manager must have written nothing to be done with pools, and
	// settledFor before there are any.
	stillFor   = 10 * time.Second
	settledFor = 5 * time.Second
	// poolsTick and stillTick are how often pools and counts of requests are read, which costs the
	// API server something.
	poolsTick = 500 * time.Millisecond
	stillTick = 2 * time.Second
)

// RunPools measures pools of one control plane, all made at once.
func RunPools(ctx context.Context, o PoolOptions) (figures []Figure, err error) {
	r, err := openRoom(ctx)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the end of the manager's log:\n%s\nand of Cluster API's:\n%s", err, r.said(), r.saidBy())
		}
		err = errors.Join(err, r.close())
	}()
	if err != nil {
		return nil, err
	}
	machines := o.Pools * o.Machines
	if err := r.openPools(ctx, machines, o.Progress); err != nil {
		return nil, err
	}
	before, err := r.sent(ctx)
	if err != nil {
		return nil, err
	}
	took, err := r.growPools(ctx, o.Pools, o.Machines)
	if err != nil {
		return nil, err
	}
	if err := r.still(ctx, stillFor); err != nil {
		return nil, err
	}
	after, err := r.sent(ctx)
	if err != nil {
		return nil, err
	}
	wrote := after.since(before)
	perMachine := wrote.manager / float64(machines)
	o.Progress("%d pools of %d machines are Ready after %.1f s; for each machine the manager wrote %.1f times, all others %.1f times, in all: %v",
		o.Pools, o.Machines, took.Seconds(), perMachine, wrote.others()/float64(machines), wrote.all)

	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(idleWindow):
	}
	steady, err := r.sent(ctx)
	if err != nil {
		return nil, err
	}
	idle := steady.since(after)
	o.Progress("writes in an idle minute: %.0f of the manager, %.0f of others: %v", idle.manager, idle.others(), idle.all)
	return []Figure{
		{PoolsConverge, "s", []float64{took.Seconds()}},
		{PoolsWrites, "1", []float64{perMachine}},
		{PoolsSteadyWrites, "1/min", []float64{idle.manager / idleWindow.Minutes()}},
	}, nil
}

// openPools starts all that pools need, with a control plane that is Ready and hosts that are free.
func (r *room) openPools(ctx context.Context, machines int, progress func(format string, args ...any)) error {
	// Where requests time out, Cluster API may make a machine too many, and takes it back.
	spare := 1 + machines/10
	if err := r.addMachines(ctx, machines+spare, progress); err != nil {
		return err
	}
	if err := r.startManager(ctx); err != nil {
		return err
	}
	if _, err := r.grow(ctx, 1, time.Minute); err != nil {
		return err
	}
	return r.still(ctx, settledFor)
}

// growPools makes pools and waits until all are Ready. It returns how long that took.
func (r *room) growPools(ctx context.Context, pools, machines int) (time.Duration, error) {
	within := time.Minute + time.Duration(pools*machines)*perMachine
	began := time.Now()
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range pools {
		group.Go(func() error {
			pool := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pool-" + strconv.Itoa(i)}}
			pool.Spec.ControlPlaneName, pool.Spec.Version, pool.Spec.Replicas = "tenant-0", kubernetesVersion, ptr.To(int32(machines))
			pool.Spec.Image.URL = "oci://registry.example.com/node"
			if err := r.client.Create(each, pool); err != nil {
				return fmt.Errorf("creating WorkerPool %s: %w", pool.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	var ready int
	var unready string
	var last error
	err := r.awaitEach(ctx, poolsTick, within, func() bool {
		ready, unready, last = r.readyPools(ctx, machines)
		return last == nil && ready == pools
	})
	if err != nil {
		return 0, fmt.Errorf("%d of %d pools are Ready, %s: %w", ready, pools, unready, errors.Join(err, last))
	}
	return time.Since(began), nil
}

// readyPools counts the pools that are Ready with all their machines, and names one that is not.
func (r *room) readyPools(ctx context.Context, machines int) (ready int, unready string, err error) {
	pools := &teapotv1.WorkerPoolList{}
	if err := r.client.List(ctx, pools, client.InNamespace(namespace)); err != nil {
		return 0, "", fmt.Errorf("listing pools: %w", err)
	}
	for i := range pools.Items {
		pool := &pools.Items[i]
		said := meta.FindStatusCondition(pool.Status.Conditions, teapotv1.ReadyCondition)
		switch {
		case said == nil:
			unready = pool.Name + " was not looked at"
		case said.Status == metav1.ConditionTrue && int(ptr.Deref(pool.Status.AvailableReplicas, 0)) == machines:
			ready++
		default:
			unready = pool.Name + ": " + said.Message
		}
	}
	return ready, unready, nil
}

// sent are write requests to the management cluster's API server.
type sent struct {
	// manager are the manager's.
	manager float64
	// all are those of all clients since the API server started, stand-ins included.
	all writes
}

func (s sent) since(earlier sent) sent {
	return sent{s.manager - earlier.manager, s.all.since(earlier.all)}
}

func (s sent) others() float64 { return s.all.sum() - s.manager }

// sent counts from the manager's start until now. What the API server counts does not say who wrote,
// so the manager's are those that it counts itself, without the reviews by which it finds out who asks
// for its metrics.
func (r *room) sent(ctx context.Context) (sent, error) {
	own, err := r.managerSays(ctx)
	if err != nil {
		return sent{}, err
	}
	address, err := url.Parse(r.config.Host)
	if err != nil {
		return sent{}, err
	}
	families, err := r.apiServerSays(ctx)
	if err != nil {
		return sent{}, err
	}
	return sent{manager: countSent(own, address.Host) - (countReviews(families) - r.reviewed), all: countWrites(families)}, nil
}

// still waits until the manager has written nothing for so long.
func (r *room) still(ctx context.Context, long time.Duration) error {
	const within = 5 * time.Minute
	var last sent
	since := time.Now()
	var failed error
	err := r.awaitEach(ctx, stillTick, within, func() bool {
		now, err := r.sent(ctx)
		if failed = err; err != nil || now.manager != last.manager {
			last, since = now, time.Now()
			return false
		}
		return time.Since(since) >= long
	})
	if err != nil {
		return fmt.Errorf("waiting until the manager has written nothing for %s: %w", long, errors.Join(err, failed))
	}
	return nil
}
