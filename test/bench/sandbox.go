package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// sandboxClass is the RuntimeClass that the development cluster has for gVisor.
const sandboxClass = "gvisor"

// measureSandbox takes sandbox_ready_request and sandbox_memory_mib. Their floor is the same
// TenantControlPlane without a sandbox, which takes turns with the one inside.
func (b *bench) measureSandbox(ctx context.Context, o options) ([]Result, error) {
	// What is started first of all reads the sandbox's program from disk.
	if _, err := b.sandboxOnce(ctx, sandboxClass); err != nil {
		return nil, err
	}
	var requests, memories [2][]float64 // without a sandbox, and inside one
	for i := range o.crowds {
		for side, class := range []string{"", sandboxClass} {
			it, err := b.sandboxOnce(ctx, class)
			if err != nil {
				return nil, err
			}
			progress("sandbox %d/%d: RuntimeClass %q, request %.2f s, memory %.0f MiB", i+1, o.crowds, class, it.request, it.memory)
			requests[side] = append(requests[side], it.request)
			memories[side] = append(memories[side], it.memory)
		}
	}
	return []Result{
		newResult(sandboxReadyRequest, "s", requests[1], requests[0]),
		newResult(sandboxMemory, "MiB", memories[1], memories[0]),
	}, nil
}

// idle is what a start took in seconds, and the MiB that the pods hold once left alone.
type idle struct{ request, memory float64 }

// sandboxOnce starts a TenantControlPlane under a RuntimeClass, or none, leaves it alone for
// a while, and deletes it.
func (b *bench) sandboxOnce(ctx context.Context, class string) (idle, error) {
	if err := b.quiet(ctx); err != nil {
		return idle{}, err
	}
	tenant := b.newTenant()
	if class != "" {
		tenant.Spec.RuntimeClassName = &class
	}
	var s start
	if err := b.startTenant(ctx, tenant, &s); err != nil {
		return idle{}, err
	}
	if err := b.waitReady(ctx, tenant); err != nil {
		return idle{}, err
	}
	select {
	case <-ctx.Done():
		return idle{}, ctx.Err()
	case <-time.After(idleFor):
	}
	held, err := b.heldMemory(ctx, tenant)
	if err != nil {
		return idle{}, err
	}
	return idle{request: s.request, memory: held}, b.removeTenants(ctx)
}

// heldMemory is what the pods of a TenantControlPlane are charged for besides files, in MiB.
// A process of gVisor has its memory in one file in memory, mapped many times over, so the
// sum over processes that serves elsewhere would count it again and again.
func (b *bench) heldMemory(ctx context.Context, tenant *teapotv1.TenantControlPlane) (float64, error) {
	pods, err := b.podsOf(ctx, tenant)
	if err != nil {
		return 0, err
	}
	var bytes int64
	for _, pod := range pods {
		held, err := cgroupMemory("/sys/fs/cgroup", string(pod.UID))
		if err != nil {
			return 0, fmt.Errorf("memory of pod %s: %w", pod.Name, err)
		}
		bytes += held
	}
	return float64(bytes) / (1 << 20), nil
}

// cgroupMemory finds a pod's cgroup by its UID below a directory and returns the bytes of
// its memory.stat that are anonymous or in shared memory.
func cgroupMemory(root, uid string) (int64, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // a group that went away meanwhile
			return nil
		case err != nil:
			return err
		case !entry.IsDir() || podOf(entry.Name(), []string{uid}) == "":
			return nil
		}
		if stat := filepath.Join(path, "memory.stat"); exists(stat) {
			found = append(found, stat)
		}
		return fs.SkipDir
	})
	if err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("it has %d memory cgroups below %s, not one", len(found), root)
	}
	stat, err := os.ReadFile(found[0])
	if err != nil {
		return 0, err
	}
	return parseMemoryStat(string(stat))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parseMemoryStat adds up a memory.stat: total_rss and total_shmem of cgroup v1, anon and
// shmem of v2, which counts children always.
// https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#stat-file
// https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
func parseMemoryStat(stat string) (int64, error) {
	values := map[string]int64{}
	for line := range strings.Lines(stat) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		bytes, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading memory.stat: %q: %w", strings.TrimSpace(line), err)
		}
		values[name] = bytes
	}
	for _, names := range [][2]string{{"total_rss", "total_shmem"}, {"anon", "shmem"}} {
		first, ok1 := values[names[0]]
		second, ok2 := values[names[1]]
		if ok1 && ok2 {
			return first + second, nil
		}
	}
	return 0, errors.New("reading memory.stat: it has neither total_rss and total_shmem nor anon and shmem")
}
