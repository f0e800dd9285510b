package tenantcontrolplane_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/faults"
)

// TestWhatOnlyShowsLaterIsSaidInWords: what the schema cannot know, by the condition that is
// not true, and by Stalled and an event once waiting does not help any more.
func TestWhatOnlyShowsLaterIsSaidInWords(t *testing.T) {
	taken := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace(t), Name: "theirs"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if err := direct.Create(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	port := taken.Spec.Ports[0].NodePort
	tests := map[string]struct {
		given        func(*teapotv1.TenantControlPlaneSpec)
		play         func(*testing.T, types.NamespacedName)
		after        time.Duration // on the clock; 0: at once
		kind, reason string
		words        []string
	}{
		"a RuntimeClass that does not exist": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.RuntimeClassName = ptr.To("kata-9") }, after: 10 * time.Second,
			kind: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound, words: []string{"spec.runtimeClassName", `RuntimeClass "kata-9"`, "does not exist"},
		},
		"a StorageClass that does not exist": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Datastore.Etcd.StorageClassName = ptr.To("gold") }, after: 10 * time.Second,
			kind: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound, words: []string{"spec.datastore.etcd.storageClassName", `StorageClass "gold"`},
		},
		"a PriorityClass that does not exist": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Scheduling.PriorityClassName = "urgent" }, after: 10 * time.Second,
			kind: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound, words: []string{"spec.scheduling.priorityClassName", `PriorityClass "urgent"`},
		},
		"a port that another Service has": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Endpoint.Port = ptr.To(port) },
			kind:  teapotv1.EndpointReadyCondition, reason: teapotv1.ReasonPortTaken, words: []string{fmt.Sprint(port), "spec.endpoint"},
		},
		"no load balancer": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Endpoint.Type = teapotv1.EndpointLoadBalancer }, after: 4 * time.Minute,
			kind: teapotv1.EndpointReadyCondition, reason: teapotv1.ReasonWaitingForLoadBalancer, words: []string{"load balancer", "NodePort"},
		},
		"a load balancer with a name alone": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Endpoint.Type = teapotv1.EndpointLoadBalancer },
			play: func(t *testing.T, owner types.NamespacedName) {
				service := &corev1.Service{}
				if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(owner), Name: controlplane.ControlPlaneName}, service); err != nil {
					t.Fatal(err)
				}
				service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}}
				if err := direct.Status().Update(t.Context(), service); err != nil {
					t.Fatal(err)
				}
			},
			kind: teapotv1.EndpointReadyCondition, reason: teapotv1.ReasonLoadBalancerHasNoIP, words: []string{"lb.example.com", "spec.endpoint.host"},
		},
		"an image that cannot be had": {
			given: func(*teapotv1.TenantControlPlaneSpec) {}, after: 10 * time.Second,
			play: func(t *testing.T, owner types.NamespacedName) {
				pod := podOf(t, owner)
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "etcd", State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "registry.k8s.io/etcd: no such host"},
				}}}
				if err := direct.Status().Update(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
			},
			kind: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonPodsFailing, words: []string{"etcd-0", "ImagePullBackOff", "no such host"},
		},
		"pods that never come": {
			given: func(*teapotv1.TenantControlPlaneSpec) {}, after: 6 * time.Minute,
			kind: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonWaitingForPods, words: []string{"0 of 1 etcd members"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := clocktesting.NewFakePassiveClock(time.Now())
			tcp := byHand(tenantNamespace(t))
			test.given(&tcp.Spec)
			makeOne(t.Context(), t, tcp)
			t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
			h := newHand(t, key(tcp), c, "", 0)
			reconcile := func() {
				for range 2 {
					if _, err := h.once(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
					t.Fatal(err)
				}
			}
			reconcile()
			if test.after > 0 && meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.StalledCondition) {
				t.Errorf("it gives up at once: %+v", tcp.Status.Conditions)
			}
			if test.play != nil {
				test.play(t, key(tcp))
			}
			c.SetTime(c.Now().Add(test.after))
			reconcile()
			for _, kind := range []string{test.kind, teapotv1.StalledCondition, teapotv1.ReadyCondition} {
				found := meta.FindStatusCondition(tcp.Status.Conditions, kind)
				if found == nil || found.Reason != test.reason || (found.Status == metav1.ConditionTrue) != (kind == teapotv1.StalledCondition) {
					t.Errorf("condition %s is %+v, want reason %s", kind, found, test.reason)
					continue
				}
				for _, word := range test.words {
					if !strings.Contains(found.Message, word) {
						t.Errorf("condition %s does not say %q: %s", kind, word, found.Message)
					}
				}
			}
			told := strings.Join(h.told(), "\n")
			if strings.Count(told, "Warning "+test.reason) != 1 || !strings.Contains(told, test.words[0]) {
				t.Errorf("want one event of reason %s that says %q, told is: %s", test.reason, test.words[0], told)
			}
			before := len(h.Done)
			c.SetTime(c.Now().Add(time.Minute))
			reconcile()
			if len(h.Done) != before {
				t.Errorf("it goes on writing: %q", h.Done[before:])
			}
		})
	}
}

// podOf makes a pod of etcd's.
func podOf(t *testing.T, owner types.NamespacedName) *corev1.Pod {
	t.Helper()
	pod := etcdPod(owner, 0)
	if err := direct.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestSickNeighboursAreTheirOwnTrouble: ten whose endpoint swallows what it is sent, whose load
// balancer never comes or whose etcd is never ready, beside one that is well. The package's
// manager has four workers.
func TestSickNeighboursAreTheirOwnTrouble(t *testing.T) {
	var sick []*teapotv1.TenantControlPlane
	for i := range 10 {
		sick = append(sick, create(t, func(tcp *teapotv1.TenantControlPlane) {
			switch i % 3 {
			case 0: // etcd is never ready, and nothing answers
			case 1:
				tcp.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
			case 2: // see swallow
				tcp.Labels = map[string]string{"endpoint": "swallows"}
			}
		}))
	}
	swallowed := map[types.NamespacedName]net.Listener{}
	for _, tcp := range sick {
		owner := key(tcp)
		eventually(t, "the sick one to be worked on", func() error {
			if err := direct.Get(t.Context(), owner, tcp); err != nil {
				return err
			}
			if tcp.Labels["endpoint"] == "swallows" && swallowed[owner] == nil {
				if _, err := playPods(t.Context(), owner); err != nil {
					return err
				}
				if tcp.Status.Endpoint == nil {
					return fmt.Errorf("status is %+v", tcp.Status)
				}
				swallowed[owner] = swallow(t, tcp.Status.Endpoint.Port)
			}
			if meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition) == nil {
				return fmt.Errorf("status is %+v", tcp.Status)
			}
			return nil
		})
	}

	began := time.Now()
	well := readyOne(t, nil)
	t.Logf("the healthy one was Ready after %s", time.Since(began))
	for _, tcp := range sick {
		if err := isReady(t.Context(), key(tcp))(); err == nil {
			t.Errorf("%s is Ready, and so not sick", key(tcp))
		}
		// However long the tenant takes, a reconcile does not wait for it.
		h := newHand(t, key(tcp), clock.RealClock{}, faults.Ends, 1)
		for range 2 {
			began := time.Now()
			if _, err := h.once(t.Context()); err != nil && !strings.Contains(err.Error(), "is not done") {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("a reconcile of %s took %s", key(tcp), took)
			}
		}
	}
	if err := isReady(t.Context(), key(well))(); err != nil {
		t.Error(err)
	}
}

// swallow takes connections and never says a word.
func swallow(t *testing.T, port int32) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			if _, err := listener.Accept(); err != nil { // what is accepted ends with the process
				return
			}
		}
	}()
	return listener
}
