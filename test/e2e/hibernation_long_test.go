package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

const (
	// hibernationRounds is how often a control plane sleeps and wakes in a long run.
	hibernationRounds = 20
	// killWithin is a little longer than each way takes: a kill may come before it, on it or after it.
	killWithin = 10 * time.Second
	// writesAround is how many writes are answered before and after each sleep at least.
	writesAround = 10
)

// TestHibernatesAgainAndAgain puts a control plane to sleep in the midst of writes and wakes it by the
// next one, and ends the manager, a gateway or etcd at some moment of each way. Every write that was
// answered is there afterwards.
func TestHibernatesAgainAndAgain(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skip("takes ten minutes: make test-long")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "again", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: time.Hour}}
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)

	victims := []victim{
		{managersNamespace, client.MatchingLabels{teapotv1.ComponentLabel: "manager"}},
		{managersNamespace, client.MatchingLabels{teapotv1.ComponentLabel: "gateway"}},
		{tcp.Status.Namespace, client.MatchingLabels{teapotv1.ComponentLabel: controlplane.EtcdName}},
	}
	turn := random.IntN(len(victims))
	kills := make([]int, len(victims))
	// killSoon ends the next of the three at some moment, and returns what waits for that. They take
	// turns, so that in three rounds each has its turn on each way.
	killSoon := func() (wait func()) {
		turn = (turn + 1) % len(victims)
		next, after := turn, time.Duration(random.Int64N(int64(killWithin)))
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(after)
			pod, err := victims[next].end(t.Context())
			if err != nil {
				t.Logf("after %s: nothing of %v was ended: %v", after, victims[next].labels, err)
				return
			}
			kills[next]++
			t.Logf("after %s: ended %s", after, pod)
		}()
		wait = func() { <-done }
		t.Cleanup(wait)
		return wait
	}

	w := &steadyWriter{}
	_, w.user = asUser(t, namespace, tcp.Name)
	_, reader := asUser(t, namespace, tcp.Name)
	stop := w.start(t)
	w.isAnswered(t, writesAround)
	for round := range hibernationRounds {
		killed := killSoon()
		stop() // what it asks for after the gateway knows of the sleep would end it
		teapot(t, "hibernate", tcp.Name, "--namespace", namespace, "--wait", "--timeout", asleepWithin.String())
		killed()

		killed = killSoon()
		began := time.Now()
		stop = w.start(t)
		w.isAnswered(t, 1)
		t.Logf("round %d: awake after %.1f s", round, time.Since(began).Seconds())
		killed()
		w.isAnswered(t, writesAround)
		w.nothingIsLost(t, reader)
	}
	stop()
	w.nothingIsLost(t, reader)
	t.Logf("%d writes were answered, %d were not", len(w.answered), w.asked-len(w.answered))
	for i, victim := range victims {
		if kills[i] == 0 {
			t.Errorf("nothing of %v was ever ended", victim.labels)
		}
	}
}

// victim is what pods are ended of.
type victim struct {
	namespace string
	labels    client.MatchingLabels
}

// end ends a pod without grace, as a machine that dies would, and says which. It fails if there is none
// that is not being ended already.
func (v victim) end(ctx context.Context) (name string, err error) {
	list := &corev1.PodList{}
	if err := management.List(ctx, list, client.InNamespace(v.namespace), v.labels); err != nil {
		return "", err
	}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			return pod.Name, management.Delete(ctx, &pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
		}
	}
	return "", errors.New("there is no pod")
}

// steadyWriter makes one ConfigMap after the other, each through a connection of its own, and remembers
// those whose making was answered. A write that fails is not tried again: it may have been done.
type steadyWriter struct {
	user *kubernetes.Clientset

	mu       sync.Mutex
	asked    int
	answered map[string]string // what was written, by name
	last     error             // of the last write
}

// start begins to write. stop, which may be called more than once, waits for the last answer and leaves
// no connection behind: whoever is connected when a control plane goes to sleep does not wake it for two
// minutes.
func (w *steadyWriter) start(t *testing.T) (stop func()) {
	t.Helper()
	until, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var writing sync.WaitGroup
	writing.Go(func() {
		for pause(until) {
			w.write(context.WithoutCancel(until))
		}
	})
	stop = func() { cancel(); writing.Wait() }
	t.Cleanup(stop)
	return stop
}

func (w *steadyWriter) write(ctx context.Context) {
	w.mu.Lock()
	w.asked++
	name := fmt.Sprintf("%s-%d", steadyLabel, w.asked)
	w.mu.Unlock()
	written := time.Now().Format(time.RFC3339Nano)
	_, err := w.user.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{steadyLabel: strconv.FormatBool(true)}},
		Data:       map[string]string{"written": written},
	}, metav1.CreateOptions{})
	disconnect(w.user)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last = err; err != nil {
		return
	}
	if w.answered == nil {
		w.answered = map[string]string{}
	}
	w.answered[name] = written
}

// steadyLabel is on what a steadyWriter writes.
const steadyLabel = "steady"

// isAnswered waits until so many more writes are answered.
func (w *steadyWriter) isAnswered(t *testing.T, more int) {
	t.Helper()
	w.mu.Lock()
	want := len(w.answered) + more
	w.mu.Unlock()
	eventually(t, awakeWithin, fmt.Sprintf("%d more writes to be answered", more), func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if missing := want - len(w.answered); missing > 0 {
			return fmt.Errorf("%d are missing, last error: %v", missing, w.last)
		}
		return nil
	})
}

// nothingIsLost makes sure that what was answered until now is there as it was written.
func (w *steadyWriter) nothingIsLost(t *testing.T, reader *kubernetes.Clientset) {
	t.Helper()
	w.mu.Lock()
	answered := maps.Clone(w.answered)
	w.mu.Unlock()
	found := map[string]string{}
	eventually(t, awakeWithin, "a list to be answered", func(ctx context.Context) error {
		defer disconnect(reader)
		list, err := reader.CoreV1().ConfigMaps(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: steadyLabel})
		if err != nil {
			return err
		}
		for _, object := range list.Items {
			found[object.Name] = object.Data["written"]
		}
		return nil
	})
	for name, written := range answered {
		if found[name] != written {
			t.Errorf("ConfigMap %s was written as %q and is %q", name, written, found[name])
		}
	}
}
