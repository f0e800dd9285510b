package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What the manager holds per tenant hardly changes, so a smaller heap than Go's default of 100 percent
// costs few collections; but with few tenants a percentage of next to nothing is a collection for every
// few reconciles, in the seconds in which control planes start (docs/benchmarks.md).
const (
	// heapGrowth is the manager's GOGC, in percent, unless the environment has another.
	heapGrowth = 35
	// heapHeadroom is the least that may be allocated between two collections, in bytes.
	heapHeadroom = 24 << 20
	// collectorPeriod is how often the percentage is brought up to date.
	collectorPeriod = 5 * time.Second
)

// growthOf is the percentage by which a heap may grow of which so many bytes are in use.
func growthOf(live uint64) int {
	return max(heapGrowth, int(heapHeadroom*100/max(live, 1<<20)))
}

// paceCollector sets the percentage by which the heap may grow, until the context ends.
func paceCollector(ctx context.Context) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(collectorPeriod)
	defer ticker.Stop()
	for current := 0; ; {
		metrics.Read(live)
		if growth := growthOf(live[0].Value.Uint64()); growth != current {
			current = growth
			debug.SetGCPercent(current)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
