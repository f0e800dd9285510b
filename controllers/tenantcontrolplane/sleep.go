package tenantcontrolplane

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// How long each thing is waited for on the way to sleep. What is not done by then is told, and passed:
// nothing in a tenant's cluster, and no machine, keeps a control plane awake for longer.
const (
	// workersPatience is for machines to be given back or switched off, counted from the decision. Asking
	// takes seconds; what a machine does then is not waited for.
	workersPatience = 2 * time.Minute
	// insidePatience is for what is tidied up inside the tenant's cluster, after that.
	insidePatience = time.Minute
	// podsPatience is for control-plane pods to end, after that. Theirs is 30 s
	// (terminationGracePeriodSeconds); a pod of a node that is gone never ends.
	podsPatience = time.Minute
	// stopPoll is how often something is looked at on the way that no watch reports.
	stopPoll = time.Second
)

// stop finds out how far the control plane may be stopped now, and says in s.input.Rest how far. It goes
// from what depends on others to what others depend on, and each stage can be seen in what runs: it
// goes on where an earlier reconcile ended.
func (s *scope) stop(ctx context.Context) error {
	since := s.sleep.record.Since
	stopping := s.running.deployment.Name == "" || ptr.Deref(s.running.deployment.Spec.Replicas, 1) == 0
	if begun, ok := s.stopping.Load(s.input.Owner); ok && since.Equal(begun.(time.Time)) {
		stopping = true // the cache may not show yet what was written
	}
	if !stopping {
		s.input.Rest = controlplane.RestWorkers
		machines, done, err := s.stopWorkers(ctx, since.Add(workersPatience))
		if err != nil || !done {
			return err
		}
		if !s.tidyInside(machines, since.Add(workersPatience+insidePatience)) {
			return nil
		}
	}
	s.Tenants.Close(s.input.Owner)
	s.input.Rest = controlplane.RestControlPlane
	if s.paused {
		return nil
	}
	s.stopping.Store(s.input.Owner, since)
	if left, err := s.podsLeftOf(ctx, controlplane.ControlPlaneName); err != nil {
		return err
	} else if left > 0 && s.now.Before(since.Add(workersPatience+insidePatience+podsPatience)) {
		s.waitsFor("Waiting until %d control-plane pods have ended.", left)
		return nil
	}
	s.input.Rest = controlplane.RestEtcd
	if left, err := s.podsLeftOf(ctx, controlplane.EtcdName); err != nil {
		return err
	} else if left > 0 {
		s.waitsFor("Waiting until %d etcd pods have ended.", left)
	}
	return s.restWorkers(ctx)
}

// waitsFor says what the way down or up waits for, and has it looked at soon.
func (s *scope) waitsFor(format string, args ...any) {
	s.sleep.waits = fmt.Sprintf(format, args...)
	s.requeueAfter(stopPoll)
}

// podsLeftOf counts the pods of a component, those that are ending included. Once nothing was left the
// controllers' counts are enough.
func (s *scope) podsLeftOf(ctx context.Context, component string) (int, error) {
	count := s.running.deployment.Status.Replicas
	if component == controlplane.EtcdName {
		count = s.running.statefulSet.Status.Replicas
	}
	if was := s.before.Status.Hibernation; count == 0 && was != nil && was.Phase == teapotv1.HibernationAsleep {
		return 0, nil
	}
	pods, err := s.podsOf(ctx, component)
	return len(pods), err
}
