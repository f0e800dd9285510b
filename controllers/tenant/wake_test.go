package tenant

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

// lease makes a Lease that somebody has just renewed.
func (c *cluster) lease(name, holder string) {
	c.t.Helper()
	leases, now := c.CoordinationV1().Leases("kube-system"), metav1.NowMicro()
	remove := func() {
		if err := leases.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	}
	remove() // that of a run that was killed
	c.t.Cleanup(remove)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now, LeaseTransitions: ptr.To[int32](3),
	}}
	if _, err := leases.Create(c.t.Context(), lease, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) holder(name string) string {
	c.t.Helper()
	lease, err := c.CoordinationV1().Leases("kube-system").Get(c.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

// TestLeasesOfPodsThatAreGoneAreReleased, and those of pods that exist are not.
func TestLeasesOfPodsThatAreGoneAreReleased(t *testing.T) {
	c := newCluster(t)
	c.lease("kube-controller-manager", "control-plane-7d9-aaaaa_1f")
	c.lease("kube-scheduler", "control-plane-7d9-bbbbb_2f")
	session := openWith(t, clock.RealClock{}, access())

	a := asked(t, session, Chores{Wake: &Wake{}}, 10*time.Second, "an answer", func(Answers) bool { return session.Observe().Answered })
	if a.Wake.Done || c.holder("kube-controller-manager") == "" {
		t.Error("a Lease was released without knowing a pod")
	}
	wake := Chores{Wake: &Wake{Pods: []string{"control-plane-7d9-bbbbb", "control-plane-7d9-ccccc"}}}
	if a := asked(t, session, wake, 10*time.Second, "the Leases", wakeDone); a.Wake.Problems != "" {
		t.Errorf("problems are %q", a.Wake.Problems)
	}
	if holder := c.holder("kube-controller-manager"); holder != "" {
		t.Errorf("the Lease of a pod that is gone is held by %q", holder)
	}
	if holder := c.holder("kube-scheduler"); holder != "control-plane-7d9-bbbbb_2f" {
		t.Errorf("the Lease of a pod that exists is held by %q", holder)
	}
	// That pod goes, too.
	asked(t, session, Chores{Wake: &Wake{Pods: []string{"control-plane-7d9-ccccc"}}}, 10*time.Second, "the other Lease", func(a Answers) bool {
		return a.Wake.Done && c.holder("kube-scheduler") == ""
	})
}

// TestALeaderNeedNotWait: one as in controller-manager (leaderElectionConfig of
// k8s.io/kubernetes/cmd/kube-controller-manager, v1.36.3) takes over at its next look.
func TestALeaderNeedNotWait(t *testing.T) {
	c := newCluster(t)
	c.lease("kube-controller-manager", "control-plane-7d9-aaaaa_1f")
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, "kube-system", "kube-controller-manager",
		c.CoreV1(), c.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: "control-plane-7d9-bbbbb_2f"})
	if err != nil {
		t.Fatal(err)
	}
	leads := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(leads) }, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	go func() { defer close(ended); elector.Run(ctx) }()
	session := openWith(t, clock.RealClock{}, access())
	session.Ask(Chores{Wake: &Wake{Pods: []string{"control-plane-7d9-bbbbb"}}})
	select {
	case <-leads:
		t.Logf("it leads after %s", time.Since(began).Round(time.Millisecond))
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the Lease to run out")
	}
}

// TestWhatASleepLeftBehindGoes: Nodes of machines that are gone, and pods of Nodes that are.
func TestWhatASleepLeftBehindGoes(t *testing.T) {
	c := newCluster(t, "wake")
	c.node("left-over", "teapot://gone")
	c.node("kept", "teapot://kept")
	c.node("foreign", "other://1")
	c.node("by-hand", "")
	c.pod("wake", "on-left-over", "left-over")
	c.pod("wake", "on-kept", "kept")
	c.pod("wake", "on-foreign", "foreign")
	c.pod("wake", "on-nothing", "gone-before")
	c.pod("wake", "waiting", "")
	session := openWith(t, clock.RealClock{}, access())

	// What joined since is not left over, though its machine may not be known yet.
	wake := &Wake{Pods: []string{"control-plane"}, Machines: []string{"teapot://kept"}, AsleepSince: time.Now().Add(-time.Hour)}
	asked(t, session, Chores{Wake: wake}, 10*time.Second, "the first look", wakeDone)
	if got, want := c.nodes(), []string{"by-hand: True, KubeletReady", "foreign: True, KubeletReady", "kept: True, KubeletReady", "left-over: True, KubeletReady"}; !slices.Equal(got, want) {
		t.Errorf("Nodes are %q, want %q", got, want)
	}
	if got, want := c.pods("wake"), []string{"on-foreign (ready)", "on-kept (ready)", "on-left-over (ready)", "waiting"}; !slices.Equal(got, want) {
		t.Errorf("pods are %q, want %q", got, want)
	}

	session.Ask(Chores{})
	wake.AsleepSince = time.Now().Add(time.Hour)
	asked(t, session, Chores{Wake: wake}, 10*time.Second, "the second look", wakeDone)
	if got, want := c.nodes(), []string{"by-hand: True, KubeletReady", "foreign: True, KubeletReady", "kept: True, KubeletReady"}; !slices.Equal(got, want) {
		t.Errorf("Nodes are %q, want %q", got, want)
	}
	if got, want := c.pods("wake"), []string{"on-foreign (ready)", "on-kept (ready)", "waiting"}; !slices.Equal(got, want) {
		t.Errorf("pods are %q, want %q", got, want)
	}
}

// TestWhatResistsIsTriedAgain and told of, and does not make the tenant look gone.
func TestWhatResistsIsTriedAgain(t *testing.T) {
	c := newCluster(t, "wake")
	c.pod("wake", "stale", "gone")
	var fails atomic.Bool
	fails.Store(true)
	var tries atomic.Int32
	api := interpose(t, func(r *http.Request) bool {
		if r.Method == http.MethodDelete {
			tries.Add(1)
			return !fails.Load()
		}
		return true
	})
	hurried := newFastClock()
	session, began := openWith(t, hurried, api.access), hurried.Now()
	wake := Chores{Wake: &Wake{Pods: []string{"control-plane"}}}
	a := asked(t, session, wake, 20*time.Second, "some tries", func(Answers) bool { return tries.Load() > 2 })
	if took := hurried.Since(began); took < 3*time.Second {
		t.Errorf("three tries within %s, want a second and then two between them", took)
	}
	if a.Wake.Done || !strings.HasPrefix(a.Wake.Problems, "1 of 1 pods were not deleted, for example wake/stale: ") {
		t.Errorf("answers are %+v", a.Wake)
	}
	if o := session.Observe(); !o.Answered {
		t.Errorf("the tenant looks gone: %+v", o)
	}
	fails.Store(false)
	if a := asked(t, session, wake, 20*time.Second, "the end", wakeDone); a.Wake.Problems != "" || len(c.pods("wake")) > 0 {
		t.Errorf("problems are %q, pods %q", a.Wake.Problems, c.pods("wake"))
	}
	// More machines and pods are no reason to look again for what was stale before.
	lists := api.counted("GET /api/v1/pods")
	more := Chores{Wake: &Wake{Pods: []string{"control-plane", "another"}, Machines: []string{"teapot://1"}}}
	asked(t, session, more, 20*time.Second, "the other pod", wakeDone)
	if n := api.counted("GET /api/v1/pods"); n != lists {
		t.Errorf("pods were listed %d times more", n-lists)
	}
}
