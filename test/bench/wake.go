package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/bench/process"
)

// kubectlWithin is how long one kubectl may take before it is ended and counts as failed.
const kubectlWithin = 2 * time.Minute

// idleAfter lets a request wake a control plane, and is longer than a bench.
const idleAfter = "12h"

// user is somebody with teapot, kubectl and an exported kubeconfig.
type user struct {
	*bench
	tenant *teapotv1.TenantControlPlane
	// home is the user's home folder, where kubectl keeps what it finds out about a cluster.
	home, teapot, kubectl string
}

// measureWakes takes the figures of wake_on_request: how long a plain kubectl takes that wakes a
// control plane.
func (b *bench) measureWakes(ctx context.Context, o options) (results []Result, err error) {
	u, err := b.newUser(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(u.home)) }()

	// What is asked for the first time of all finds out first what the cluster has.
	if _, err := u.get(ctx); err != nil {
		return nil, fmt.Errorf("asking a control plane that is awake, through the gateway: %w", err)
	}
	var took []float64
	failed := 0
	for i := range o.wakes {
		if err := u.sleep(ctx); err != nil {
			return nil, err
		}
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		seconds, err := u.get(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			failed++
			progress("wake %d/%d failed after %.2f s: %v", i+1, o.wakes, seconds, err)
		} else {
			progress("wake %d/%d: %.2f s", i+1, o.wakes, seconds)
		}
		took = append(took, seconds)
		if err := b.waitReady(ctx, u.tenant); err != nil {
			return nil, err
		}
	}
	for _, each := range []struct {
		name, unit string
		value      float64
	}{
		{wakeMedian, "s", median(took)},
		{wakeTail, "s", percentile(took, 95)},
		{wakeWorst, "s", slices.Max(took)},
		{wakeFailures, "1", float64(failed)},
	} {
		results = append(results, Result{Name: each.name, Value: each.value, Unit: each.unit, N: len(took)})
	}
	return results, b.removeTenants(ctx)
}

// newUser makes a control plane, and a user of it with all that users have. The user's home is to be
// removed.
func (b *bench) newUser(ctx context.Context) (_ *user, err error) {
	kubectl := filepath.Join(os.Getenv(apiserver.AssetsVariable), "kubectl")
	if _, err := os.Stat(kubectl); err != nil {
		return nil, fmt.Errorf("looking for kubectl (set %s, as make assets says): %w", apiserver.AssetsVariable, err)
	}
	home, err := os.MkdirTemp("", "teapot-bench-user-")
	if err != nil {
		return nil, err
	}
	u := &user{bench: b, home: home, kubectl: kubectl, tenant: b.newTenant()}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(home))
		}
	}()
	if u.teapot, err = process.Build(ctx, home, "cmd/teapot"); err != nil {
		return nil, err
	}
	if _, err := b.create(ctx, u.tenant); err != nil {
		return nil, err
	}
	if err := b.waitReady(ctx, u.tenant); err != nil {
		return nil, err
	}
	if u.tenant.Status.Endpoint == nil || u.tenant.Status.Endpoint.GatewayURL == "" {
		return nil, fmt.Errorf("TenantControlPlane %s is not reached through the gateway: install Teapot with gateway.enabled", u.tenant.Name)
	}
	kubeconfig, err := b.kubeconfig(ctx, controlplane.UserKubeconfigName(u.tenant.Name))
	if err != nil {
		return nil, err
	}
	return u, os.WriteFile(u.kubeconfig(), kubeconfig, 0o600)
}

func (u *user) kubeconfig() string { return filepath.Join(u.home, "kubeconfig") }

// sleep returns when nothing of the control plane runs.
func (u *user) sleep(ctx context.Context) error {
	command := exec.CommandContext(ctx, u.teapot, "hibernate", u.tenant.Name, "--namespace="+u.tenant.Namespace,
		"--idle-after="+idleAfter, "--wait", "--timeout="+asleepWithin.String())
	command.Env = append(os.Environ(), "KUBECONFIG="+u.dir.Kubeconfig(), "HOME="+u.home)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("teapot hibernate %s: %w\n%s", u.tenant.Name, err, said)
	}
	if err := u.client.Get(ctx, client.ObjectKeyFromObject(u.tenant), u.tenant); err != nil {
		return err
	}
	pods, err := u.podsOf(ctx, u.tenant)
	if err == nil && (!isAsleep(u.tenant) || len(pods) > 0) {
		err = fmt.Errorf("TenantControlPlane %s has %d pods after teapot hibernate --wait, and status.hibernation is %+v",
			u.tenant.Name, len(pods), u.tenant.Status.Hibernation)
	}
	return err
}

// get has kubectl ask for something and returns how many seconds that took, also when it failed.
func (u *user) get(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlWithin)
	defer cancel()
	// The gateway's address is inside the development cluster's network.
	command := exec.CommandContext(ctx, "nsenter", "--net="+u.netns, u.kubectl, "--kubeconfig="+u.kubeconfig(), "get", "namespaces", "--output=name")
	command.Env = append(os.Environ(), "HOME="+u.home)
	begun := time.Now()
	said, err := command.CombinedOutput()
	took := time.Since(begun).Seconds()
	if err != nil {
		return took, fmt.Errorf("kubectl get namespaces: %w: %s", err, bytes.TrimSpace(said))
	}
	if !bytes.Contains(said, []byte("namespace/kube-system\n")) {
		return took, fmt.Errorf("kubectl get namespaces answered without kube-system: %s", bytes.TrimSpace(said))
	}
	return took, nil
}
