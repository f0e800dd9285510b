package tenant

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

// TestShutdown: machines that go take their Nodes and pods with them, those that rest are not
// trusted, and all others stay as they are.
func TestShutdown(t *testing.T) {
	c := newCluster(t, "sleep")
	c.node("by-name", "")
	c.node("by-id", "teapot://1")
	c.node("resting", "teapot://2")
	c.node("other", "teapot://3")
	held := func(pod *corev1.Pod) { pod.Finalizers = []string{"example.com/hold"} }
	ofAJob := func(pod *corev1.Pod) { pod.Finalizers = []string{"batch.kubernetes.io/job-tracking"} }
	for _, node := range []string{"by-name", "by-id", "resting", "other", "gone-before"} {
		c.pod("sleep", "on-"+node, node)
	}
	c.pod("sleep", "held", "by-id", held)
	c.pod("sleep", "of-a-job", "by-id", ofAJob)
	c.pod("sleep", "waiting", "")

	plan := Chores{Shutdown: &Shutdown{Released: []string{"teapot://1", "by-name", "never-joined"}, Resting: []string{"teapot://2"}}}
	session := openWith(t, clock.RealClock{}, access())
	outcome := asked(t, session, plan, 10*time.Second, "the shutdown", shutdownDone).Shutdown
	if want := "pods that were deleted and stay for their finalizers: 1, for example sleep/held"; outcome.Problems != want {
		t.Errorf("problems are %q, want %q", outcome.Problems, want)
	}
	check := func() {
		t.Helper()
		if got, want := c.nodes(), []string{"other: True, KubeletReady", "resting: Unknown, Hibernated"}; !slices.Equal(got, want) {
			t.Errorf("Nodes are %q, want %q", got, want)
		}
		if got, want := c.pods("sleep"), []string{"held (ready)", "of-a-job (ready)", "on-other (ready)", "on-resting", "waiting"}; !slices.Equal(got, want) {
			t.Errorf("pods are %q, want %q", got, want)
		}
	}
	check()
	for name, failed := range map[string]bool{"held": false, "of-a-job": true} {
		pod, err := c.CoreV1().Pods("sleep").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || pod.DeletionTimestamp.IsZero() {
			t.Errorf("pod %s is not being deleted (%v)", name, err)
			continue
		}
		// By this its Job knows that it was not the pod's fault.
		disrupted := slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
			return condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue
		})
		if disrupted != failed || (pod.Status.Phase == corev1.PodFailed) != failed {
			t.Errorf("pod %s has status %s", name, asJSON(pod.Status))
		}
	}

	// Machines that are gone are not named any longer: that is no new plan.
	fewer := Chores{Shutdown: &Shutdown{Resting: []string{"teapot://2"}}}
	if a := session.Ask(fewer); !a.Shutdown.Done {
		t.Error("a plan for fewer machines began anew")
	}
	more := Chores{Shutdown: &Shutdown{Released: []string{"other"}}}
	if a := session.Ask(more); a.Shutdown.Done {
		t.Error("a plan for another machine counts as done")
	}
	session.Ask(Chores{})
	asked(t, session, plan, 10*time.Second, "the same once more", shutdownDone)
	check()
}

// TestAWebhookThatHangsDoesNotHoldUpAShutdown: its pods stay and are not trusted, those of other
// namespaces go.
func TestAWebhookThatHangsDoesNotHoldUpAShutdown(t *testing.T) {
	c := newCluster(t, "hangs", "sleep")
	c.hang("hangs", deletions, c.probeDeletion("hangs"))
	c.node("machine", "")
	c.podsOn("machine", "hangs", 200)
	c.podsOn("machine", "sleep", 60)
	session := openWith(t, clock.RealClock{}, access())
	began := time.Now()
	outcome := asked(t, session, Chores{Shutdown: &Shutdown{Released: []string{"machine"}}}, sweepPatience+5*time.Second, "the shutdown", shutdownDone).Shutdown
	t.Logf("took %s: %s", time.Since(began).Round(time.Millisecond), outcome.Problems)
	if want := "200 of 260 pods were not deleted, for example hangs/machine-0: no answer within 5s; "; !strings.HasPrefix(outcome.Problems, want) {
		t.Errorf("problems are %q, want %q…", outcome.Problems, want)
	}
	if left := c.pods("sleep"); len(left) > 0 {
		t.Errorf("pods stay that nothing holds: %q", left)
	}
	if trusted := slices.DeleteFunc(c.pods("hangs"), func(name string) bool { return !strings.HasSuffix(name, " (ready)") }); len(trusted) > 0 {
		t.Errorf("pods that stay are said to be ready: %q", trusted)
	}
	if o := session.Observe(); !o.Answered {
		t.Errorf("meanwhile the tenant is taken to be gone: %+v", o)
	}
}

// TestManyPodsGoInTime: and how long it takes is worth knowing.
func TestManyPodsGoInTime(t *testing.T) {
	c := newCluster(t, "sleep")
	for _, node := range []string{"machine-1", "machine-2", "machine-3", "machine-4", "machine-5"} {
		c.node(node, "teapot://"+node)
		c.podsOn(node, "sleep", 100)
	}
	var released []string
	for i := range 5 {
		released = append(released, "teapot://machine-"+string(rune('1'+i)))
	}
	session := openWith(t, clock.RealClock{}, access())
	began := time.Now()
	outcome := asked(t, session, Chores{Shutdown: &Shutdown{Released: released}}, sweepPatience, "the shutdown", shutdownDone).Shutdown
	t.Logf("500 pods of 5 Nodes took %s", time.Since(began).Round(time.Millisecond))
	if left := c.pods("sleep"); outcome.Problems != "" || len(left) > 0 {
		t.Errorf("%d pods stay; problems are %q", len(left), outcome.Problems)
	}
}

// TestAnAPIServerThatGoesInTheMiddle: a shutdown goes on when it is back, and ends when it is not.
func TestAnAPIServerThatGoesInTheMiddle(t *testing.T) {
	const atDeletion = 20 // of 40
	away := func(t *testing.T, let func(deletion int32, gone bool) bool) (*cluster, *Session, *atomic.Bool) {
		c := newCluster(t, "sleep")
		c.node("machine", "")
		c.podsOn("machine", "sleep", 40)
		var deleted atomic.Int32
		gone := &atomic.Bool{}
		api := interpose(t, func(r *http.Request) bool {
			deletion := int32(0)
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/pods/") {
				deletion = deleted.Add(1)
			}
			if deletion == atDeletion {
				gone.Store(true)
			}
			return let(deletion, gone.Load())
		})
		return c, openFast(t, api.access), gone
	}
	plan := Chores{Shutdown: &Shutdown{Released: []string{"machine"}}}
	untilAway := func(t *testing.T, session *Session, gone *atomic.Bool) {
		t.Helper()
		a := asked(t, session, plan, 10*time.Second, "the loss", func(Answers) bool { return gone.Load() && !session.Observe().Answered })
		if a.Shutdown.Done {
			t.Errorf("done in the middle: %+v", a)
		}
	}
	nothingLeft := func(t *testing.T, c *cluster, session *Session) {
		t.Helper()
		outcome := asked(t, session, plan, 20*time.Second, "the end", shutdownDone).Shutdown
		if left := c.pods("sleep"); outcome.Problems != "" || len(left) > 0 {
			t.Errorf("%d pods stay; problems are %q", len(left), outcome.Problems)
		}
	}
	t.Run("and returns", func(t *testing.T) {
		c, session, gone := away(t, func(_ int32, gone bool) bool { return !gone })
		untilAway(t, session, gone)
		gone.Store(false)
		nothingLeft(t, c, session)
	})
	t.Run("for a moment", func(t *testing.T) {
		c, session, _ := away(t, func(deletion int32, _ bool) bool { return deletion < atDeletion || deletion > atDeletion+5 })
		nothingLeft(t, c, session)
	})
	t.Run("and stays away", func(t *testing.T) {
		_, session, gone := away(t, func(_ int32, gone bool) bool { return !gone })
		untilAway(t, session, gone)
		outcome := asked(t, session, plan, 20*time.Second, "the end", shutdownDone).Shutdown
		if !strings.Contains(outcome.Problems, "did not answer within 30s") {
			t.Errorf("problems are %q", outcome.Problems)
		}
	})
}

// TestAManagerThatIsKilledInTheMiddle: another does the rest.
func TestAManagerThatIsKilledInTheMiddle(t *testing.T) {
	c := newCluster(t, "sleep")
	c.node("machine", "teapot://1")
	c.podsOn("machine", "sleep", 40)
	plan := Chores{Shutdown: &Shutdown{Released: []string{"teapot://1"}}}
	var session *Session
	killed := make(chan struct{})
	var deleted atomic.Int32
	api := interpose(t, func(r *http.Request) bool {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/pods/") && deleted.Add(1) == 20 {
			session.stop()
			close(killed)
		}
		return true
	})
	session = openWith(t, clock.RealClock{}, api.access)
	session.Ask(plan)
	select {
	case <-killed:
	case <-time.After(20 * time.Second):
		t.Fatal("no pod was deleted")
	}
	if got := c.nodes(); len(got) > 0 {
		t.Errorf("Nodes are %q: the test means one whose Node is gone", got)
	}
	outcome := asked(t, openWith(t, clock.RealClock{}, access()), plan, 20*time.Second, "the rest", shutdownDone).Shutdown
	if left := c.pods("sleep"); outcome.Problems != "" || len(left) > 0 {
		t.Errorf("%d pods stay; problems are %q", len(left), outcome.Problems)
	}
}
