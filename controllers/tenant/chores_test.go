package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

// asked repeats a wish, as a controller does in each reconcile, until the answer is as it should be.
func asked(t testing.TB, session *Session, chores Chores, limit time.Duration, what string, check func(Answers) bool) Answers {
	t.Helper()
	var answers Answers
	apiserver.Eventually(t, limit, what, func() error {
		if answers = session.Ask(chores); !check(answers) {
			return fmt.Errorf("answers are %+v", answers)
		}
		return nil
	})
	return answers
}

func shutdownDone(a Answers) bool { return a.Shutdown.Done }
func wakeDone(a Answers) bool     { return a.Wake.Done }

func openFast(t testing.TB, a Access) *Session {
	t.Helper()
	return openWith(t, newFastClock(), a)
}

func openWith(t testing.TB, c clock.WithTicker, a Access) *Session {
	t.Helper()
	registry := NewRegistry(c)
	owner := types.NamespacedName{Namespace: "acme", Name: "chores"}
	session, err := registry.Open(owner, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close(owner) })
	return session
}

func asJSON(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

// TestNobodyIsAskedForNothing: a tenant without hibernation pays nothing for it.
func TestNobodyIsAskedForNothing(t *testing.T) {
	api := interpose(t, nil)
	session := openFast(t, api.access)
	session.Ask(Chores{})
	within(t, 60*time.Second, "a few questions", func() error {
		if n := api.counted("GET /api/v1/nodes"); n < 3 {
			return fmt.Errorf("%d questions", n)
		}
		return nil
	})
	for _, request := range api.seen() {
		if request != "GET /api/v1/nodes" && request != "GET /readyz" {
			t.Errorf("asked for %s", request)
		}
	}
}

// TestReadyNodes are told by their names and provider IDs.
func TestReadyNodes(t *testing.T) {
	c := newCluster(t)
	c.node("ready", "")
	c.node("by-id", "teapot://2")
	late := c.node("late", "teapot://3")
	late.Status.Conditions[0].Status = corev1.ConditionUnknown
	if _, err := c.CoreV1().Nodes().UpdateStatus(t.Context(), late, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	session := openFast(t, access())
	wanted := Chores{Nodes: []string{"teapot://2", "late", "never-there", "ready"}}
	got := asked(t, session, wanted, 10*time.Second, "an answer", func(a Answers) bool { return !a.Nodes.At.IsZero() }).Nodes
	if want := []string{"late", "never-there"}; got.Ready != 2 || !slices.Equal(got.NotReady, want) {
		t.Errorf("got %+v; want 2 ready and not %q", got, want)
	}
	late, err := c.CoreV1().Nodes().Get(t.Context(), "late", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	late.Status.Conditions[0].Status = corev1.ConditionTrue
	if _, err := c.CoreV1().Nodes().UpdateStatus(t.Context(), late, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	asked(t, session, wanted, 10*time.Second, "the Node to be back", func(a Answers) bool { return a.Nodes.Ready == 3 })
	if a := session.Ask(Chores{}); asJSON(a) != asJSON(Answers{}) {
		t.Errorf("what is not asked for is known: %+v", a)
	}
}
