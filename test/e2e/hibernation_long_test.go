package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// hibernationRounds is how often a control plane sleeps and wakes in a long run.
const hibernationRounds = 20

// TestHibernatesAgainAndAgain puts a control plane to sleep and wakes it by a user's request, and ends
// the manager, a gateway or etcd at some moment of each way. Every write that was answered is there
// afterwards.
func TestHibernatesAgainAndAgain(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skip("takes a quarter of an hour: make test-long")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "again", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: time.Hour}}
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	x := &machinesTenant{namespace: namespace, name: tcp.Name, kubeconfig: filepath.Join(t.TempDir(), "again")}
	if err := os.WriteFile(x.kubeconfig, []byte(teapot(t, "kubeconfig", x.name, "--namespace", namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	// killSoon ends one of the three at some moment of the next seconds, and returns when it has.
	killSoon := func() func() {
		victim := random.IntN(3)
		after := time.Duration(random.IntN(6000)) * time.Millisecond
		done := make(chan string, 1)
		go func() {
			time.Sleep(after)
			done <- endPod(t.Context(), get(t, namespace, tcp.Name), victim)
		}()
		return func() { t.Logf("after %s: %s", after, <-done) }
	}
	var answered []string
	for round := range hibernationRounds {
		name := fmt.Sprintf("round-%d", round)
		eventually(t, awakeWithin, "a write to be answered", func(ctx context.Context) error {
			_, err := x.kubectl(ctx, "create", "configmap", name)
			if err != nil && strings.Contains(err.Error(), "AlreadyExists") {
				err = nil // the answer to an earlier try was lost
			}
			return err
		})
		answered = append(answered, name)

		killed := killSoon()
		teapot(t, "hibernate", tcp.Name, "--namespace", namespace, "--wait", "--timeout", asleepWithin.String())
		killed()

		killed = killSoon()
		began := time.Now()
		eventually(t, awakeWithin, "a read to be answered", func(ctx context.Context) error {
			_, err := x.kubectl(ctx, "get", "configmap", answered[0], "--request-timeout=1m")
			return err
		})
		t.Logf("round %d: awake after %.1f s", round, time.Since(began).Seconds())
		killed()
		for _, name := range answered {
			eventually(t, awakeWithin, "what was written to be there", func(ctx context.Context) error {
				_, err := x.kubectl(ctx, "get", "configmap", name)
				return err
			})
		}
	}
}

// endPod ends a pod without grace, as a machine that dies would, and says which.
func endPod(ctx context.Context, tcp *teapotv1.TenantControlPlane, victim int) string {
	what := []struct {
		namespace string
		labels    client.MatchingLabels
	}{
		{managersNamespace, client.MatchingLabels{teapotv1.ComponentLabel: "manager"}},
		{managersNamespace, client.MatchingLabels{teapotv1.ComponentLabel: "gateway"}},
		{tcp.Status.Namespace, client.MatchingLabels{teapotv1.ComponentLabel: controlplane.EtcdName}},
	}[victim]
	list := &corev1.PodList{}
	if err := management.List(ctx, list, client.InNamespace(what.namespace), what.labels); err != nil || len(list.Items) == 0 {
		return fmt.Sprintf("nothing of %v was there to end (%v)", what.labels, err)
	}
	pod := &list.Items[0]
	if err := management.Delete(ctx, pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		return err.Error()
	}
	return "ended pod " + pod.Name
}
