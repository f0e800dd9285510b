package machineclaim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/workers/host"
)

// Environment variables of the race.
const (
	// raceClaims is how many claims live in it; default: 25.
	raceClaims = "TEAPOT_RACE_CLAIMS"
	// raceSeed is the seed of everything random in it; default: another each time, which is
	// printed. It replays faults, delays and deletions; in which order the machine's cores
	// get to them is not in its hand.
	raceSeed = "TEAPOT_RACE_SEED"
)

const (
	racers    = 3 // managers at the same time, none of which knows of the others
	raceHosts = 6
	// raceAlive is how many claims there are at a time: more than hosts.
	raceAlive = 15
)

// race is many claims for few hosts, several managers whose clients fail and that are killed, and
// a judge.
type race struct {
	namespace string
	seed      uint64
	// unlocked removes the optimistic lock from every change of a host.
	unlocked bool

	operator *claimtest.Operator
	judge    *claimtest.Judge
}

func numberFrom(t *testing.T, variable string, other uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return other
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return number
}

// TestRace shows that no host goes from one claim to another without having been free and clean,
// and none is written to for a claim that does not hold it, whatever happens to managers.
func TestRace(t *testing.T) {
	r := newRace(t, false)
	claims := numberFrom(t, raceClaims, 25)
	r.run(t, int(claims), 2*time.Minute+time.Duration(claims)*4*time.Second, nil)
	violations, holds, err := r.judge.Verdict()
	t.Logf("hosts were taken %d times", holds)
	if err != nil {
		t.Error(err)
	}
	if holds < 2*raceHosts {
		t.Errorf("hosts were taken %d times, which shows nothing", holds)
	}
	for _, violation := range violations {
		t.Error(violation)
	}
	for _, leak := range r.operator.Leaks() {
		t.Error(leak)
	}
	r.checkEnd(t)
}

// TestRaceWithoutTheLock shows that the judge of TestRace sees what the lock prevents: without
// resource versions in the writes it has something to say.
func TestRaceWithoutTheLock(t *testing.T) {
	r := newRace(t, true)
	accused := errors.New("the judge has nothing to say")
	r.run(t, math.MaxInt, 2*time.Minute, func() bool {
		violations, _, err := r.judge.Verdict()
		if err != nil {
			t.Fatal(err)
		}
		if len(violations) > 0 {
			t.Logf("as it should be: %s", violations[0])
			accused = nil
		}
		return accused == nil
	})
	if accused != nil {
		t.Error(accused)
	}
}

func newRace(t *testing.T, unlocked bool) *race {
	t.Helper()
	seed := numberFrom(t, raceSeed, uint64(time.Now().UnixNano()))
	t.Logf("replay with %s=%d", raceSeed, seed)
	r := &race{namespace: newNamespace(t), seed: seed, unlocked: unlocked, operator: &claimtest.Operator{Client: direct}}
	h := newHand(t, r.namespace)
	faults := make([]claimtest.Fault, raceHosts)
	faults[raceHosts-1] = claimtest.FailsToProvision
	h.room(t.Context(), t, faults...)
	judge, err := claimtest.NewJudge(t.Context(), direct, r.namespace)
	if err != nil {
		t.Fatal(err)
	}
	r.judge = judge
	return r
}

// run lets claims live until so many have, or until it is over for another reason.
func (r *race) run(t *testing.T, claims int, patience time.Duration, over func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var players sync.WaitGroup
	defer players.Wait()
	defer cancel()
	for i := range racers {
		players.Go(func() { r.manage(ctx, t, uint64(i)) })
	}
	players.Go(func() { r.operate(ctx, t) })

	random := rand.New(rand.NewPCG(r.seed, 0))
	made := 0
	deadline := time.Now().Add(patience)
	for {
		list := &teapotv1.MachineClaimList{}
		if err := direct.List(ctx, list, client.InNamespace(r.namespace)); err != nil {
			t.Error(err)
			return
		}
		switch {
		case over != nil && over(), made >= claims && len(list.Items) == 0:
			return
		case time.Now().After(deadline):
			t.Errorf("%d of %d claims were made, and these do not end: %s", made, claims, brief(list.Items))
			return
		}
		everyone := random.IntN(20) == 0 // hosts that become free together are raced for
		for i := range list.Items {
			c, odds := &list.Items[i], 1000 // a few go before they have a machine
			if c.Status.Phase == teapotv1.ClaimProvisioned {
				odds = 4
			}
			if c.DeletionTimestamp.IsZero() && (random.IntN(odds) == 0 || everyone && odds == 4) {
				if err := direct.Delete(ctx, c); client.IgnoreNotFound(err) != nil {
					t.Error(err)
				}
			}
		}
		for range min(raceAlive-len(list.Items), claims-made) {
			made++
			c := newClaim(r.namespace, fmt.Sprintf("claim-%d", made))
			c.Spec.UserData = nil
			if made%2 == 0 {
				c.Spec.UserData = &teapotv1.SecretReference{Name: c.Name}
				create(ctx, t, bootstrap(c))
			}
			create(ctx, t, c)
		}
		time.Sleep(50 * time.Millisecond) // the race goes on meanwhile
	}
}

func brief(claims []teapotv1.MachineClaim) []string {
	var all []string
	for _, c := range claims {
		all = append(all, fmt.Sprintf("%s %s %v", c.Name, c.Status.Phase, c.Status.Conditions))
	}
	return all
}

// operate plays the operator, one step of each host at a time.
func (r *race) operate(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		hosts := &host.List{}
		if err := direct.List(ctx, hosts, client.InNamespace(r.namespace)); err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		for i := range hosts.Items {
			if _, err := r.operator.Step(ctx, client.ObjectKeyFromObject(&hosts.Items[i])); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// manage runs one manager after the other, each until it is killed.
func (r *race) manage(ctx context.Context, t *testing.T, number uint64) {
	for life := uint64(0); ctx.Err() == nil; life++ {
		random := &source{random: rand.New(rand.NewPCG(r.seed, 1+number<<32+life))}
		alive, kill := context.WithCancel(ctx)
		if err := r.manager(alive, kill, random); err != nil && alive.Err() == nil {
			t.Error(err)
		}
		kill()
	}
}

// manager is one manager, as cmd/teapot-manager would run it without leader election.
func (r *race) manager(ctx context.Context, kill func(), random *source) error {
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  claimtest.Scheme(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		// Every manager would ask the API server for its kinds.
		MapperProvider:          func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return direct.RESTMapper(), nil },
		GracefulShutdownTimeout: ptr.To(time.Duration(0)), // it is killed
		Controller:              ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{r.namespace: {}},
			ByObject:          map[client.Object]cache.ByObject{&host.Object{}: {Transform: host.Transform}},
		},
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			real, err := client.NewWithWatch(config, options)
			if err != nil {
				return nil, err
			}
			return interceptor.NewClient(real, r.flaky(ctx, kill, random)), nil
		},
	})
	if err != nil {
		return err
	}
	reconciler := &machineclaim.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: &events.FakeRecorder{}, Clock: clock.RealClock{},
	}
	if err := reconciler.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// flaky fails writes, loses their answers, takes its time between a manager's decision and the
// write, and kills the manager at one of them.
func (r *race) flaky(alive context.Context, kill func(), random *source) interceptor.Funcs {
	write := func(object client.Object, do func() error) error {
		if _, isHost := object.(*host.Object); isHost {
			time.Sleep(time.Duration(random.upTo(30)) * time.Millisecond) // others get to write meanwhile
		}
		if alive.Err() != nil {
			return alive.Err() // killed: nothing is written any more
		}
		if random.upTo(50) == 0 {
			defer kill()
		}
		switch random.upTo(20) {
		case 0:
			return apierrors.NewInternalError(errors.New("the write is not done"))
		case 1:
			return errors.Join(do(), apierrors.NewInternalError(errors.New("the answer is lost")))
		default:
			return do()
		}
	}
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if _, isHost := object.(*host.Object); isHost && r.unlocked {
				data, err := patch.Data(object)
				if err != nil {
					return err
				}
				patch = client.RawPatch(types.MergePatchType, withoutLock(data))
			}
			return write(object, func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return write(object, func() error { return c.Delete(ctx, object, options...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			return write(nil, func() error { return c.Apply(ctx, object, options...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			return write(nil, func() error { return c.SubResource(sub).Patch(ctx, object, patch, options...) })
		},
	}
}

// withoutLock takes the resource version out of a patch.
func withoutLock(data []byte) []byte {
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		panic(err)
	}
	unstructured.RemoveNestedField(fields, "metadata", "resourceVersion")
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return data
}

// source is a source of chance that several reconciles share.
type source struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (s *source) upTo(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

// checkEnd fails unless all hosts are free in the end and nothing is left beside them. A manager
// may take a host for a claim that another one lets go in the same moment: that is the sweep's to
// find.
func (r *race) checkEnd(t *testing.T) {
	t.Helper()
	h := newHand(t, r.namespace)
	sweep := orphans.Reconciler{Client: h.Client, Live: direct, Recorder: h.recorder, Clock: h.clock}
	for range 3 {
		if _, err := sweep.Reconcile(t.Context(), ctrl.Request{}); err != nil {
			t.Fatal(err)
		}
		for h.play(t.Context(), t) {
		}
		h.clock.Step(orphans.Grace)
	}
	for _, told := range h.told() {
		t.Logf("the sweep says: %s", told)
	}
	if left := h.secrets(t.Context(), t); len(left) > 0 {
		t.Errorf("%d Secrets are left beside the hosts", len(left))
	}
	for i := range raceHosts {
		o := h.host(t.Context(), t, fmt.Sprintf("machine-%d", i))
		if v := host.Of(o); v.Claimable(r.namespace) != host.Claimable {
			t.Errorf("host %s is %s: %+v", o.Name, v.Claimable(r.namespace), o.Spec)
		}
	}
}
