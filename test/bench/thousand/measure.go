package thousand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/bench/process"
)

// Names of the figures.
const (
	Converge        = "thousand_converge_s"
	Memory          = "manager_mib_per_tenant"
	BaseMemory      = "manager_base_mib"
	CPU             = "manager_millicores_per_tenant"
	SteadyWrites    = "steady_writes_per_minute"
	Reconcile       = "reconcile_ms"
	ReconcileGrowth = "reconcile_1000_vs_100"
	Restart         = "restart_s"
	RestartWrites   = "restart_writes"
	RestartCPU      = "restart_peak_millicores"
	RestartRequests = "restart_peak_requests_per_s"
)

// Figure is one that was measured; its value is the median of the samples.
type Figure struct {
	Name, Unit string
	Samples    []float64
}

// Options say what is measured.
type Options struct {
	// Tenants is how many control planes there are in the end, and Few at how many the time
	// of a reconcile is taken for the first time.
	Tenants, Few int
	// Awake and Asleep say which figures are taken: those of control planes that are in use, and those
	// of ones that sleep.
	Awake, Asleep bool
	// Progress tells a person what goes on.
	Progress func(format string, args ...any)
}

const (
	// emptyWindow and idleWindow are over how long the manager's use is averaged, without and
	// with tenants. A tenant is asked each three seconds.
	emptyWindow = 15 * time.Second
	idleWindow  = time.Minute
	// perTenant is how long the management cluster may take for each tenant until all are
	// Ready: at the manager's 100 requests a second it is about a third of that.
	perTenant = time.Second
	// rounds of touches are the samples of a reconcile's time.
	rounds     = 5
	maxTouches = 100
	// touchInterval leaves the manager idle between two reconciles, so that they do not
	// share processors, with each other or with the collection of what the last ones left.
	touchInterval = 100 * time.Millisecond
)

// Run measures what is asked for.
func Run(ctx context.Context, o Options) (figures []Figure, err error) {
	r, err := openRoom(ctx)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the end of the manager's log:\n%s", err, r.said())
		}
		err = errors.Join(err, r.close())
	}()
	if err != nil {
		return nil, err
	}
	if err := r.startManager(ctx); err != nil {
		return nil, err
	}
	empty, err := r.idle(ctx, emptyWindow)
	if err != nil {
		return nil, err
	}
	if o.Awake {
		if figures, err = r.awake(ctx, o, empty); err != nil {
			return nil, err
		}
	}
	if !o.Asleep {
		return figures, nil
	}
	if _, err := r.growTo(ctx, o.Tenants); err != nil {
		return nil, err
	}
	asleep, err := r.rest(ctx, empty, o.Progress)
	return append(figures, asleep...), err
}

// awake measures control planes that are in use.
func (r *room) awake(ctx context.Context, o Options, empty idleUse) (figures []Figure, err error) {
	add := func(name, unit string, samples ...float64) { figures = append(figures, Figure{name, unit, samples}) }
	add(BaseMemory, "MiB", empty.mib)

	few, fewReconcile, err := r.growAndTouch(ctx, o.Few)
	if err != nil {
		return nil, err
	}
	o.Progress("%d control planes are Ready after %.1f s; a reconcile takes %.2f ms", o.Few, few.Seconds(), mid(fewReconcile))
	more, reconcile, err := r.growAndTouch(ctx, o.Tenants)
	if err != nil {
		return nil, err
	}
	o.Progress("%d more are Ready after %.1f s; a reconcile takes %.2f ms", o.Tenants-o.Few, more.Seconds(), mid(reconcile))
	add(Converge, "s", (few + more).Seconds())
	add(Reconcile, "ms", reconcile...)
	add(ReconcileGrowth, "times", mid(reconcile)/mid(fewReconcile))

	idle, err := r.idle(ctx, idleWindow)
	if err != nil {
		return nil, err
	}
	o.Progress("idle: %.1f MiB (%.1f without tenants), %.1f millicores (%.1f), %.0f requests to tenants a second, writes: %v",
		idle.mib, empty.mib, idle.millicores, empty.millicores, idle.asked, idle.writes)
	add(Memory, "MiB", (idle.mib-empty.mib)/float64(o.Tenants))
	add(CPU, "millicores", (idle.millicores-empty.millicores)/float64(o.Tenants))
	add(SteadyWrites, "1/min", idle.writes.sum()/idleWindow.Minutes())

	again, err := r.restart(ctx)
	if err != nil {
		return nil, err
	}
	o.Progress("restarted: every tenant was asked after %.1f s; %.1f s of processor time; writes: %v", again.took.Seconds(), again.cpu.Seconds(), again.writes)
	add(Restart, "s", again.took.Seconds())
	add(RestartWrites, "1", again.writes.sum())
	add(RestartCPU, "millicores", again.millicores)
	add(RestartRequests, "1/s", again.asked)
	return figures, nil
}

// growTo grows and waits until all have settled. It returns how long they took to be Ready.
func (r *room) growTo(ctx context.Context, to int) (time.Duration, error) {
	more := to - r.roster.size()
	took, err := r.grow(ctx, to, time.Minute+time.Duration(more)*perTenant)
	if err != nil {
		return 0, err
	}
	return took, r.settle(ctx)
}

func (r *room) growAndTouch(ctx context.Context, to int) (time.Duration, []float64, error) {
	took, err := r.growTo(ctx, to)
	if err != nil {
		return 0, nil, err
	}
	samples, err := r.touch(ctx)
	if err != nil {
		return 0, nil, err
	}
	return took, samples, r.settle(ctx)
}

// touch has control planes reconciled that are as they should be, one after the other, and
// returns how long a reconcile took on average in each round, in milliseconds.
func (r *room) touch(ctx context.Context) ([]float64, error) {
	size := r.roster.size()
	// Each control plane once a round: of two touches together one reconcile might come.
	touches := min(size, maxTouches)
	ticker := time.NewTicker(touchInterval)
	defer ticker.Stop()
	var samples []float64
	for round := range rounds {
		before, err := r.reconciles(ctx)
		if err != nil {
			return nil, err
		}
		for i := range touches {
			tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "tenant-" + strconv.Itoa(i*size/touches),
			}}
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d-%d"}}}`, round, i)
			if err := r.client.Patch(ctx, tcp, client.RawPatch(types.MergePatchType, patch)); err != nil {
				return nil, fmt.Errorf("touching control plane %s: %w", tcp.Name, err)
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-ticker.C:
			}
		}
		var after reconciles
		err = r.await(ctx, time.Minute, func() bool {
			after, err = r.reconciles(ctx)
			return err == nil && after.count >= before.count+uint64(touches)
		})
		if err != nil {
			return nil, fmt.Errorf("%d reconciles after %d touches: %w", after.count-before.count, touches, err)
		}
		samples = append(samples, 1000*(after.seconds-before.seconds)/float64(after.count-before.count))
	}
	return samples, nil
}

// idleUse is what the manager uses while nothing changes.
type idleUse struct {
	mib, millicores float64
	// asked is the number of requests to tenants a second.
	asked  float64
	writes writes
}

// idle averages over a window.
func (r *room) idle(ctx context.Context, window time.Duration) (idleUse, error) {
	writesBefore, err := r.writes(ctx)
	if err != nil {
		return idleUse{}, err
	}
	samples, err := r.sample(ctx, time.After(window))
	if err != nil {
		return idleUse{}, err
	}
	writesAfter, err := r.writes(ctx)
	if err != nil {
		return idleUse{}, err
	}
	first, last := samples[0], samples[len(samples)-1]
	memory := make([]float64, len(samples))
	for i, s := range samples {
		memory[i] = s.MiB()
	}
	return idleUse{
		mib: mid(memory), millicores: last.Millicores(first.Usage), asked: last.askedASecond(first), writes: writesAfter.since(writesBefore),
	}, nil
}

// restarted is what a restart of the manager takes.
type restarted struct {
	// took is the time from the start of the process until every tenant was asked.
	took time.Duration
	// millicores and asked are those of the worst second.
	millicores, asked float64
	cpu               time.Duration
	writes            writes
}

// restart ends the manager, starts another, and watches it until every tenant was asked again
// and again.
func (r *room) restart(ctx context.Context) (restarted, error) {
	before, err := r.writes(ctx)
	if err != nil {
		return restarted{}, err
	}
	if err := r.stopManager(); err != nil {
		return restarted{}, err
	}
	if err := r.launchManager(ctx); err != nil {
		return restarted{}, err
	}
	var result restarted
	settled, samples := make(chan time.Time), make(chan []sample, 1)
	sampling := make(chan error, 1)
	go func() {
		taken, err := r.sample(ctx, settled)
		samples <- taken
		sampling <- err
	}()
	err = r.awaitPolls(ctx, 1, 5*time.Minute)
	result.took = time.Since(r.manager.Started)
	if err == nil {
		err = r.settle(ctx)
	}
	close(settled)
	if err := errors.Join(err, <-sampling); err != nil {
		return restarted{}, err
	}
	taken := <-samples
	for i := 1; i < len(taken); i++ {
		result.millicores = max(result.millicores, taken[i].Millicores(taken[i-1].Usage))
		result.asked = max(result.asked, taken[i].askedASecond(taken[i-1]))
	}
	result.cpu = taken[len(taken)-1].CPU
	after, err := r.writes(ctx)
	result.writes = after.since(before)
	return result, err
}

// sample is a look at the manager and at how often its tenants were asked until then.
type sample struct {
	process.Usage
	answered int64
}

func (s sample) askedASecond(earlier sample) float64 {
	return float64(s.answered-earlier.answered) / s.At.Sub(earlier.At).Seconds()
}

// sample looks each second until the end.
func (r *room) sample(ctx context.Context, end <-chan time.Time) ([]sample, error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var samples []sample
	for ended := false; !ended; {
		use, err := r.manager.Usage()
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{use, r.tenants.answered.Load()})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end:
			ended = true
		case <-ticker.C:
		}
	}
	return samples, nil
}

// mid is the median, without a mean: the lower of the middle two of an even number.
func mid(samples []float64) float64 {
	return slices.Sorted(slices.Values(samples))[(len(samples)-1)/2]
}
