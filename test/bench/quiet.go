package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// quietInterval is over how long the machine's load is taken.
	quietInterval = 500 * time.Millisecond
	// quietShare is the share of the machine's time below which it counts as quiet.
	quietShare = 0.25
	// quietLimit is when measuring begins all the same: others may use the machine, and
	// since floor and Teapot take turns that falls on both.
	quietLimit = 10 * time.Second
)

// quiet waits until the machine has done with what came before, the removal of the last
// control plane above all.
func (b *bench) quiet(ctx context.Context) error {
	deadline := time.After(quietLimit)
	ticker := time.NewTicker(quietInterval)
	defer ticker.Stop()
	before, err := readLoad()
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return nil
		case <-ticker.C:
		}
		now, err := readLoad()
		if err != nil {
			return err
		}
		if now.since(before) < quietShare {
			return nil
		}
		before = now
	}
}

// load is how long the machine's processors were busy and idle since it started, in ticks.
type load struct{ busy, idle uint64 }

// since is the busy share of the time since an earlier reading.
func (l load) since(before load) float64 {
	busy, idle := l.busy-before.busy, l.idle-before.idle
	if busy+idle == 0 {
		return 0
	}
	return float64(busy) / float64(busy+idle)
}

func readLoad() (load, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}, fmt.Errorf("reading the machine's load: %w", err)
	}
	return parseLoad(string(stat))
}

// parseLoad reads the first line of /proc/stat, see proc_stat(5): user, nice, system, idle,
// iowait, irq, softirq, steal. Time that was stolen by other machines is busy, too.
func parseLoad(stat string) (load, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return load{}, fmt.Errorf("reading the machine's load: /proc/stat begins with %q", line)
	}
	var l load
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return load{}, fmt.Errorf("reading the machine's load: %w", err)
		}
		if i == 3 || i == 4 {
			l.idle += ticks
		} else {
			l.busy += ticks
		}
	}
	return l, nil
}
