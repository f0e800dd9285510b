package tenant

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

// shutdownRetry is when a shutdown goes on that lost its API server.
const shutdownRetry = time.Second

// Shutdown is what is to be done inside a cluster that goes to sleep. It ends sweepPatience after it was
// asked for: what was not done then is told of and passed, and Wake sees to it later.
type Shutdown struct {
	// Released are machines that are handed over: their Nodes and the pods on them are deleted, and
	// also other pods whose Node does not exist. Each is a Node's name or its provider ID.
	Released []string
	// Resting are machines that are switched off or left alone: their Nodes and the pods on
	// them are marked as not ready, so that nobody trusts them when the control plane comes back.
	// Each is a Node's name or its provider ID.
	Resting []string
}

// covers says whether a plan asks for no more than this one.
func (p *Shutdown) covers(plan *Shutdown) bool {
	return sets.New(p.Released...).HasAll(plan.Released...) && sets.New(p.Resting...).HasAll(plan.Resting...)
}

// shutDown does it. If the API server goes away meanwhile it goes on when that is back.
func (s *Session) shutDown(ctx context.Context, chore *shutdownChore) {
	problems, again := s.tryShutdown(ctx, chore)
	s.answer(ctx, func(now time.Time) bool {
		if again && now.Sub(chore.begun) < sweepPatience {
			chore.due = now.Add(shutdownRetry)
			return false
		}
		chore.answer = Outcome{Done: true, Problems: problems}
		return true
	})
}

func (s *Session) tryShutdown(ctx context.Context, chore *shutdownChore) (problems string, again bool) {
	clients, err := s.typed()
	if err != nil {
		return err.Error(), false
	}
	work := newSweep(clients, s.clock)
	released, resting := sets.New(chore.plan.Released...), sets.New(chore.plan.Resting...)
	work.run(ctx, sweepPatience-s.clock.Since(chore.begun), func(node *corev1.Node) verdict {
		switch {
		case called(node, released) != "":
			return goes
		case called(node, resting) != "":
			return rests
		}
		return stays
	})
	problems = work.problems()
	again = work.lost()
	if problems != "" && !again {
		// An API server without its etcd answers, too.
		_, err := s.conn.hasMachines(ctx)
		again = err != nil
	}
	return problems, again
}
