package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	"github.com/teapot-cloud/teapot/workers/bootstrap"
)

// leaders are the Leases by which replicas of a component agree on which of them works: the defaults
// of --leader-elect-resource-name.
var leaders = []string{"kube-controller-manager", "kube-scheduler"}

// Wake is what is to be done inside a cluster that slept.
type Wake struct {
	// Pods are the names of the control plane's pods that exist. Leases that others hold are
	// released, so that nobody has to wait until they run out. While Pods is empty none is.
	Pods []string
	// Machines are the provider IDs of all machines that exist, and AsleepSince is when the control
	// plane went to sleep. A Node of one of Teapot's machines that was there before and is not
	// among them is left over from a shutdown that did not end, and is deleted. With no AsleepSince
	// none is.
	Machines    []string
	AsleepSince time.Time
}

func (p *Wake) equal(plan *Wake) bool {
	return slices.Equal(p.Pods, plan.Pods) && slices.Equal(p.Machines, plan.Machines) && p.AsleepSince.Equal(plan.AsleepSince)
}

// clearAway does it: Leases first, which everything inside waits for, and then what is stale. What
// fails is tried again, less and less often, for as long as it is asked for.
func (s *Session) clearAway(ctx context.Context, chore *wakeChore) {
	leases, stale := chore.leases, chore.stale
	clients, err := s.typed()
	if err != nil {
		leases.Problems = err.Error()
	} else {
		if !leases.Done && len(chore.plan.Pods) > 0 {
			leases = clients.releaseLeases(ctx, sets.New(chore.plan.Pods...), s.clock.Now())
		}
		if !stale.Done {
			work := newSweep(clients, s.clock)
			work.run(ctx, sweepPatience, chore.plan.judge)
			stale = Outcome{Done: work.complete(), Problems: work.problems()}
		}
	}
	s.answer(ctx, func(now time.Time) bool {
		before := chore.answer()
		chore.leases, chore.stale, chore.due = leases, stale, now.Add(chore.backoff.Step())
		return before != chore.answer()
	})
}

// judge finds the Nodes that are left over.
func (p *Wake) judge(node *corev1.Node) verdict {
	ours := strings.HasPrefix(node.Spec.ProviderID, bootstrap.ProviderID(""))
	if ours && node.CreationTimestamp.Time.Before(p.AsleepSince) && !sets.New(p.Machines...).Has(node.Spec.ProviderID) {
		return goes
	}
	return stays
}

// releaseLeases releases those whose holder is none of the pods.
func (c *typed) releaseLeases(ctx context.Context, pods sets.Set[string], now time.Time) Outcome {
	var errs []error
	for _, name := range leaders {
		if err := c.releaseLease(ctx, name, pods, now); err != nil {
			errs = append(errs, fmt.Errorf("releasing Lease %s/%s: %w", metav1.NamespaceSystem, name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Outcome{Problems: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return Outcome{Done: true}
}

// releaseLease leaves a Lease as its holder would have left it
// (LeaderElector.release in k8s.io/client-go/tools/leaderelection, v0.36.3). The resource version
// sees to it that it is not taken from a holder that came since it was read.
func (c *typed) releaseLease(ctx context.Context, name string, pods sets.Set[string], now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	leases := c.coordination.Leases(metav1.NamespaceSystem)
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// The identity of a holder is its host's name, which in a pod is the pod's, and a UUID
	// (cmd/kube-controller-manager/app/controllermanager.go and cmd/kube-scheduler/app, v1.36.3).
	holder, _, _ := strings.Cut(ptr.Deref(lease.Spec.HolderIdentity, ""), "_")
	if holder == "" || pods.Has(holder) {
		return nil
	}
	at := metav1.NewMicroTime(now)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = ptr.To(""), ptr.To[int32](1)
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &at, &at
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
