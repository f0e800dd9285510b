package tenant

import (
	"context"
	"time"
)

const (
	// freshSlots is how many tenants are applied to at once that have not been before. Each
	// keeps its own API server busy, on the machines where others start too.
	freshSlots = 2
	// freshPatience is after how long such a tenant goes ahead without a slot: those before it
	// may be slow, and their trouble is their own (design, law 10).
	freshPatience = 5 * time.Second
	// settledSlots is how many tenants are applied to at once to make sure, as after a start of
	// the manager: it is not urgent, and there may be a thousand of them.
	settledSlots = 2
)

// pacer spreads over time what would otherwise be applied to all tenants in the same moment.
type pacer struct{ fresh, settled chan struct{} }

func newPacer() *pacer {
	return &pacer{fresh: make(chan struct{}, freshSlots), settled: make(chan struct{}, settledSlots)}
}

// pace waits for a turn and returns what ends it.
func (s *Session) pace(ctx context.Context, settled bool) (done func()) {
	slots, patience := s.pacer.fresh, s.clock.NewTimer(freshPatience)
	defer patience.Stop()
	expired := patience.C()
	if settled {
		slots, expired = s.pacer.settled, nil
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }
	case <-expired:
	case <-ctx.Done():
	}
	return func() {}
}
