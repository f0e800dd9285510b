package machineclaim_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
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

	// Where claims are kept apart: the hosts are in so many racks.
	rackLabel = "example.com/rack"
	raceRacks = 3
	perRack   = 1
)

// racePools are the pools of claims that are kept apart.
var racePools = []string{"web", "db"}

// race is many claims for few hosts, several managers whose clients fail and that are killed, and
// a judge.
type race struct {
	namespace string
	seed      uint64
	// unlocked removes the optimistic lock from every change of a host.
	unlocked bool
	// apart has the claims be of pools, each with at most perRack hosts in a rack.
	apart bool
	// blind has every claim see no siblings.
	blind bool

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
func TestRace(t *testing.T) { newRace(t, race{}).live(t) }

// TestRaceApart shows the same of claims that are to be kept apart, and that no rack ever holds more
// hosts of a pool than it may.
func TestRaceApart(t *testing.T) { newRace(t, race{apart: true}).live(t) }

// live has all claims live, and judges.
func (r *race) live(t *testing.T) {
	t.Helper()
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
func TestRaceWithoutTheLock(t *testing.T) { newRace(t, race{unlocked: true}).untilAccused(t) }

// TestRaceApartWithoutTheCheck shows that the judge of TestRaceApart sees what the look at siblings
// prevents.
func TestRaceApartWithoutTheCheck(t *testing.T) {
	newRace(t, race{apart: true, blind: true}).untilAccused(t)
}

// untilAccused runs until the judge has something to say.
func (r *race) untilAccused(t *testing.T) {
	t.Helper()
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

func newRace(t *testing.T, of race) *race {
	t.Helper()
	t.Parallel()
	seed := numberFrom(t, raceSeed, uint64(time.Now().UnixNano()))
	t.Logf("replay with %s=%d", raceSeed, seed)
	r := &of
	r.namespace, r.seed, r.operator = newNamespace(t), seed, &claimtest.Operator{Client: direct}
	h := newHand(t, r.namespace)
	faults := make([]claimtest.Fault, raceHosts)
	faults[raceHosts-1] = claimtest.FailsToProvision
	h.room(t.Context(), t, faults...)
	var rules []claimtest.Rule
	if r.apart {
		for i := range raceHosts {
			h.change(t.Context(), t, fmt.Sprintf("machine-%d", i), func(o *host.Object) {
				o.Labels = map[string]string{rackLabel: fmt.Sprint(i % raceRacks)}
			})
		}
		rules = append(rules, claimtest.AtMost(perRack, rackLabel, poolOf))
	}
	judge, err := claimtest.NewJudge(t.Context(), direct, r.namespace, rules...)
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
			if r.apart {
				pool := racePools[made/2%len(racePools)]
				c = newClaim(r.namespace, fmt.Sprintf("%s-%d", pool, made))
				c.Labels = map[string]string{teapotv1.PoolLabel: pool}
				c.Spec.Spread = []teapotv1.HostSpread{{TopologyKey: rackLabel, MaxPerDomain: perRack}}
			}
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
		if v := host.Of(o); v.Claimable(anybody) != host.Claimable {
			t.Errorf("host %s is %s: %+v", o.Name, v.Claimable(anybody), o.Spec)
		}
	}
}
