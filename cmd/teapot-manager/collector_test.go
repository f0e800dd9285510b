package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestGrowth(t *testing.T) {
	for _, tt := range []struct {
		name string
		live uint64
		want int
	}{
		{"nothing was collected yet", 0, 2400},
		{"a manager without tenants", 6 << 20, 400},
		{"a hundred tenants", 24 << 20, 100},
		{"a thousand tenants", 150 << 20, heapGrowth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := growthOf(tt.live); got != tt.want {
				t.Errorf("the heap may grow by %d percent, want %d", got, tt.want)
			}
		})
	}
}

func TestPaceCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	held := make([][]byte, 0, 128)
	for range cap(held) { // what a thousand tenants are to the manager
		held = append(held, make([]byte, 1<<20))
	}
	runtime.GC()
	once, cancel := context.WithCancel(t.Context())
	cancel()
	paceCollector(once)
	growth := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(growth)
	if now := growth[0].Value.Uint64(); now != heapGrowth {
		t.Errorf("the heap may grow by %d percent, want %d", now, heapGrowth)
	}
	runtime.KeepAlive(held)
}
