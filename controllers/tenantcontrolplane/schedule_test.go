package tenantcontrolplane_test

import (
	"context"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestSchedules takes a control plane through a night: the manager comes back at the edge by itself, and
// one that was down at the other edge catches it up.
func TestSchedules(t *testing.T) {
	// The API server's time is that of creationTimestamp: the night is in the next hours.
	clock := clocktesting.NewFakePassiveClock(time.Now())
	evening := clock.Now().UTC().Add(time.Hour).Truncate(time.Minute)
	morning := evening.Add(time.Hour)
	tcp := byHand(tenantNamespace(t))
	tcp.Spec.Hibernation = &teapotv1.HibernationSpec{Schedules: []teapotv1.HibernationSchedule{
		{HibernateAt: evening.Format("15:04"), ResumeAt: morning.Format("15:04")},
	}}
	t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
	makeOne(t.Context(), t, tcp)
	h := newHand(t, key(tcp), clock, "", 0)
	until := func(done func() error) {
		t.Helper()
		if h.settle(t.Context(), t, done) == nil {
			t.FailNow()
		}
	}
	comesBackBy := func(edge time.Time) {
		t.Helper()
		result, err := h.once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := edge.Sub(clock.Now()); result.RequeueAfter <= 0 || result.RequeueAfter > left {
			t.Errorf("it is looked at again after %s, and the schedule counts in %s", result.RequeueAfter, left)
		}
	}
	is := func(phase teapotv1.HibernationPhase, next time.Time) {
		t.Helper()
		if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
			t.Fatal(err)
		}
		if h := tcp.Status.Hibernation; h == nil || h.Phase != phase || h.NextChange == nil || !h.NextChange.Time.Time.Equal(next) {
			t.Errorf("hibernation is %+v, want %s until %s", h, phase, next)
		}
	}

	until(isReady(t.Context(), key(tcp)))
	is(teapotv1.HibernationAwake, evening)
	comesBackBy(evening)
	clock.SetTime(evening.Add(-time.Millisecond))
	comesBackBy(evening)
	is(teapotv1.HibernationAwake, evening)

	clock.SetTime(evening)
	until(isAsleep(t.Context(), key(tcp)))
	is(teapotv1.HibernationAsleep, morning)
	if reason := tcp.Status.Hibernation.Reason; reason != "Schedule" {
		t.Errorf("it sleeps for %s", reason)
	}
	comesBackBy(morning)

	h.Tenants.Close(key(tcp))
	clock.SetTime(morning.Add(10 * time.Minute))
	h = newHand(t, key(tcp), clock, "", 0)
	until(isReady(t.Context(), key(tcp)))
	is(teapotv1.HibernationAwake, evening.AddDate(0, 0, 1))
	if replicas, members := sizes(t, tcp); replicas != 1 || members != 1 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted in the morning", replicas, members)
	}
}
