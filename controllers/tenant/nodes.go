package tenant

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

// Nodes says which of the Nodes that were asked for are ready.
type Nodes struct {
	// At is when the tenant last said so; zero: never.
	At time.Time
	// Ready is how many are, and NotReady names the others, as they were asked for: they are not
	// ready, or not there.
	Ready    int
	NotReady []string
	// Error is why the tenant could not say when it was last asked.
	Error string
}

// askForNodes asks the tenant, within callTimeout. A Node whose machine stopped while it was ready, and
// that no Shutdown marked, looks ready until controller-manager has waited for its kubelet for as long as
// --node-monitor-grace-period says.
func (s *Session) askForNodes(ctx context.Context, chore *nodesChore) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	missing := sets.New(chore.nodes...)
	err := s.eachNode(callCtx, func(node *corev1.Node) {
		if name := called(node, missing); name != "" && isReady(node) {
			missing.Delete(name)
		}
	})
	s.answer(ctx, func(now time.Time) bool {
		chore.due = now.Add(steadyInterval)
		before := chore.answer
		if err != nil {
			chore.answer.Error = err.Error()
			return before.Error == ""
		}
		chore.answer = Nodes{At: now, Ready: len(chore.nodes) - len(missing), NotReady: sets.List(missing)}
		return before.At.IsZero() || before.Error != "" || !slices.Equal(before.NotReady, chore.answer.NotReady)
	})
}

func (s *Session) eachNode(ctx context.Context, each func(*corev1.Node)) error {
	clients, err := s.typed()
	if err != nil {
		return err
	}
	return clients.eachNode(ctx, each)
}
