package tenant

import (
	"context"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/teapot-cloud/teapot/workers/pool/fit"
)

// Chores are what hibernation asks of a session beside its content. The zero value asks for nothing,
// and costs nothing.
type Chores struct {
	// Use asks whether the cluster is in use, now and every 30 s. Pools are the machines that could
	// do work that waits.
	Use   bool
	Pools []fit.Shape
	// Nodes asks whether these Nodes are ready, every 4 s. Each is a Node's name or its provider ID.
	Nodes []string
	// Shutdown asks for the inside to be made ready for sleep.
	Shutdown *Shutdown
	// Wake asks for what sleep left behind to be removed.
	Wake *Wake
}

// Answers are what became of the Chores that were asked for. What was not is zero.
type Answers struct {
	Use      Use
	Nodes    Nodes
	Shutdown Outcome
	Wake     Outcome
}

// Outcome is what became of something that was to be done.
type Outcome struct {
	// Done says that nothing more will be tried.
	Done bool
	// Problems says what was not done, and why; empty if nothing is known to be left.
	Problems string
}

// chores are the session's side of it: nil is what is not asked. What is asked differently gets a
// successor, so that an answer to the old question, if it is still under way, does not count for the
// new one.
type chores struct {
	use      *useChore
	nodes    *nodesChore
	shutdown *shutdownChore
	wake     *wakeChore
}

type useChore struct {
	pools  []fit.Shape
	due    time.Time
	answer Use
}

type nodesChore struct {
	nodes  []string
	due    time.Time
	answer Nodes
}

type shutdownChore struct {
	plan   Shutdown
	begun  time.Time
	due    time.Time
	answer Outcome
}

type wakeChore struct {
	plan    Wake
	due     time.Time
	backoff wait.Backoff
	// leases and stale are what became of its two halves.
	leases, stale Outcome
}

// Ask says what is wanted beside the content and returns what is known of it. It returns at once, and
// to ask for the same again costs nothing: a controller asks in each reconcile for all that it wants
// just then. What it no longer asks for is forgotten. A change of the answers is an event.
func (s *Session) Ask(asked Chores) Answers {
	asked = asked.sorted()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	news := s.chores.askUse(asked, now)
	news = s.chores.askNodes(asked.Nodes, now) || news
	news = s.chores.askShutdown(asked.Shutdown, now) || news
	news = s.chores.askWake(asked.Wake, now) || news
	if news {
		s.kick()
	}
	return s.chores.answers()
}

// Known returns what is known of what was last asked for.
func (s *Session) Known() Answers {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chores.answers()
}

func (c *chores) answers() Answers {
	var known Answers
	if c.use != nil {
		known.Use = c.use.answer
	}
	if c.nodes != nil {
		known.Nodes = c.nodes.answer
	}
	if c.shutdown != nil {
		known.Shutdown = c.shutdown.answer
	}
	if c.wake != nil {
		known.Wake = c.wake.answer()
	}
	return known
}

// sorted returns a copy in an order of its own: lists out of a cache come in any.
func (c Chores) sorted() Chores {
	c.Nodes = inOrder(c.Nodes)
	c.Pools = slices.Clone(c.Pools)
	slices.SortStableFunc(c.Pools, func(a, b fit.Shape) int { return strings.Compare(a.Pool, b.Pool) })
	if c.Shutdown != nil {
		c.Shutdown = &Shutdown{Released: inOrder(c.Shutdown.Released), Resting: inOrder(c.Shutdown.Resting)}
	}
	if c.Wake != nil {
		c.Wake = &Wake{Pods: inOrder(c.Wake.Pods), Machines: inOrder(c.Wake.Machines), AsleepSince: c.Wake.AsleepSince}
	}
	return c
}

func inOrder(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// The following take over what is asked for and say whether there is something to do at once.

func (c *chores) askUse(asked Chores, now time.Time) bool {
	switch {
	case !asked.Use:
		c.use = nil
		return false
	case c.use == nil:
		c.use = &useChore{pools: asked.Pools, due: now, answer: Use{UnknownSince: now}}
		return true
	case !apiequality.Semantic.DeepEqual(c.use.pools, asked.Pools):
		c.use = &useChore{pools: asked.Pools, due: now, answer: c.use.answer}
		return true
	}
	return false
}

func (c *chores) askNodes(nodes []string, now time.Time) bool {
	switch {
	case len(nodes) == 0:
		c.nodes = nil
		return false
	case c.nodes == nil || !slices.Equal(c.nodes.nodes, nodes):
		c.nodes = &nodesChore{nodes: nodes, due: now}
		return true
	}
	return false
}

// askShutdown takes a plan for the same as the last if it asks for no more: machines that are gone
// meanwhile need not be named any longer.
func (c *chores) askShutdown(plan *Shutdown, now time.Time) bool {
	switch {
	case plan == nil:
		c.shutdown = nil
		return false
	case c.shutdown == nil || !c.shutdown.plan.covers(plan):
		c.shutdown = &shutdownChore{plan: *plan, begun: now, due: now}
		return true
	}
	return false
}

func (c *chores) askWake(plan *Wake, now time.Time) bool {
	switch {
	case plan == nil:
		c.wake = nil
		return false
	case c.wake == nil:
		c.wake = &wakeChore{plan: *plan, due: now, backoff: newApplyBackoff()}
		return true
	case c.wake.plan.equal(plan):
		return false
	}
	next := &wakeChore{plan: *plan, due: now, backoff: newApplyBackoff(), stale: c.wake.stale}
	if slices.Equal(c.wake.plan.Pods, plan.Pods) {
		next.leases = c.wake.leases
	}
	c.wake = next
	return next.pending()
}

// answer is what became of both halves. What is stale was so before, so it is not looked for again
// when pods and machines come.
func (c *wakeChore) answer() Outcome {
	problems := []string{c.leases.Problems, c.stale.Problems}
	return Outcome{
		Done:     c.leases.Done && c.stale.Done,
		Problems: strings.Join(slices.DeleteFunc(problems, func(problem string) bool { return problem == "" }), "; "),
	}
}

// pending says whether there is something to do. Who may hold a Lease is judged by the pods, of which
// there is at least the one that answers.
func (c *wakeChore) pending() bool { return !c.stale.Done || !c.leases.Done && len(c.plan.Pods) > 0 }

// again returns a copy for a session that follows on this one.
func (c chores) again() chores {
	return chores{use: copied(c.use), nodes: copied(c.nodes), shutdown: copied(c.shutdown), wake: copied(c.wake)}
}

func copied[T any](original *T) *T {
	if original == nil {
		return nil
	}
	duplicate := *original
	return &duplicate
}

// doChore begins the most urgent chore that is due, if the tenant answers, and returns what is closed at
// its end; nil if there is none. Only one is under way at a time.
func (s *Session) doChore(ctx context.Context, answers bool) chan struct{} {
	if !answers {
		s.unanswered(ctx)
		return nil
	}
	chore := s.nextChore()
	if chore == nil {
		return nil
	}
	busy := make(chan struct{})
	go func() {
		defer s.kick()
		defer close(busy)
		chore(ctx)
	}()
	return busy
}

func (s *Session) nextChore() func(context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, now := s.chores, s.clock.Now()
	switch {
	case c.wake != nil && c.wake.pending() && !now.Before(c.wake.due):
		return func(ctx context.Context) { s.clearAway(ctx, c.wake) }
	case c.shutdown != nil && !c.shutdown.answer.Done && !now.Before(c.shutdown.due):
		return func(ctx context.Context) { s.shutDown(ctx, c.shutdown) }
	case c.nodes != nil && !now.Before(c.nodes.due):
		return func(ctx context.Context) { s.askForNodes(ctx, c.nodes) }
	case c.use != nil && !now.Before(c.use.due):
		return func(ctx context.Context) { s.askForUse(ctx, c.use) }
	}
	return nil
}

// choreIn is in how long something is to be done next, if that is sooner than an interval.
func (s *Session) choreIn(interval time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, now := s.chores, s.clock.Now()
	soon := func(due time.Time) { interval = min(interval, max(due.Sub(now), 0)) }
	if c.wake != nil && c.wake.pending() {
		soon(c.wake.due)
	}
	if c.shutdown != nil && !c.shutdown.answer.Done {
		soon(c.shutdown.due)
	}
	if c.nodes != nil {
		soon(c.nodes.due)
	}
	if c.use != nil {
		soon(c.use.due)
	}
	return interval
}

// unanswered notes that the tenant does not answer. It tells of the end of a shutdown only, since the
// observation tells of the rest.
func (s *Session) unanswered(ctx context.Context) {
	s.mu.Lock()
	c, now, why := s.chores, s.clock.Now(), s.observation.Error
	if c.use != nil {
		c.use.answer.fail(now, why)
	}
	late := c.shutdown != nil && !c.shutdown.answer.Done && now.Sub(c.shutdown.begun) >= sweepPatience
	if late {
		c.shutdown.answer = Outcome{Done: true, Problems: "the tenant's API server did not answer within " + sweepPatience.String() + ": " + why}
	}
	s.mu.Unlock()
	if late {
		s.notify(ctx, s.owner)
	}
}

// answer changes what is known and tells the controllers if the change says so.
func (s *Session) answer(ctx context.Context, change func(now time.Time) (tell bool)) {
	s.mu.Lock()
	tell := change(s.clock.Now())
	s.mu.Unlock()
	if tell && ctx.Err() == nil {
		s.notify(ctx, s.owner)
	}
}
