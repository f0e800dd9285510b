package tenantcontrolplane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/faults"
)

// contextOf is for cleaning up, too, when the test's own context is over.
func contextOf(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// TestDeletionFromEveryState: wherever a control plane stands, its deletion ends and leaves
// nothing.
func TestDeletionFromEveryState(t *testing.T) {
	states := map[string]struct {
		given func(*teapotv1.TenantControlPlaneSpec)
		reach func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane)
	}{
		"not looked at yet": {},
		"with a finalizer and nothing else": {reach: func(t *testing.T, h *hand, _ *teapotv1.TenantControlPlane) {
			h.At, h.Fault = 2, faults.Ends
			_, _ = h.once(t.Context())
		}},
		"waiting for a load balancer": {
			given: func(s *teapotv1.TenantControlPlaneSpec) { s.Endpoint.Type = teapotv1.EndpointLoadBalancer },
			reach: reconciled,
		},
		"starting": {reach: reconciled},
		"with keys that cannot be read": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			reconciled(t, h, tcp)
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.AuthoritiesName}}
			if err := direct.Patch(t.Context(), secret, client.RawPatch(types.MergePatchType, []byte(`{"data":{"ca.crt":"eA=="}}`))); err != nil {
				t.Fatal(err)
			}
			reconciled(t, h, tcp)
		}},
		"Ready": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			h.settle(t.Context(), t, isReady(t.Context(), key(tcp)))
		}},
		"Ready, with a tenant that is gone": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			h.settle(t.Context(), t, isReady(t.Context(), key(tcp)))
			stopTenant(key(tcp))
			reconciled(t, h, tcp)
		}},
		"its namespace is being deleted already": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			reconciled(t, h, tcp)
			if err := direct.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlplane.Namespace(key(tcp))}}); err != nil {
				t.Fatal(err)
			}
			reconciled(t, h, tcp)
		}},
		"its namespace is gone": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			reconciled(t, h, tcp)
			if err := direct.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlplane.Namespace(key(tcp))}}); err != nil {
				t.Fatal(err)
			}
			if _, err := playNamespaces(t.Context(), key(tcp)); err != nil {
				t.Fatal(err)
			}
		}},
		"its status is lost": {reach: func(t *testing.T, h *hand, tcp *teapotv1.TenantControlPlane) {
			h.settle(t.Context(), t, isReady(t.Context(), key(tcp)))
			if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
				t.Fatal(err)
			}
			tcp.Status = teapotv1.TenantControlPlaneStatus{}
			if err := direct.Status().Update(t.Context(), tcp); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, state := range states {
		for _, policy := range []teapotv1.DeletionPolicy{teapotv1.DeletionPolicyDelete, teapotv1.DeletionPolicyRetain} {
			t.Run(name+", "+string(policy), func(t *testing.T) {
				tcp := byHand(tenantNamespace(t))
				tcp.Spec.DeletionPolicy = policy
				if state.given != nil {
					state.given(&tcp.Spec)
				}
				makeOne(t.Context(), t, tcp)
				t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
				h := newHand(t, key(tcp), clocktesting.NewFakePassiveClock(time.Now()), "", 0)
				if state.reach != nil {
					state.reach(t, h, tcp)
				}
				deleteOne(t.Context(), t, tcp)
				h = newHand(t, key(tcp), h.Clock, "", 0)
				if h.settle(t.Context(), t, isGone(t.Context(), key(tcp))) == nil {
					t.FailNow()
				}
				if err := playGarbage(t.Context(), key(tcp)); err != nil {
					t.Fatal(err)
				}
				for object := range snapshot(t.Context(), t, key(tcp)) {
					if policy == teapotv1.DeletionPolicyRetain && isRetained(object) {
						continue
					}
					t.Errorf("%s is left", object)
				}
			})
		}
	}
}

// isRetained says of a snapshot's object whether Retain keeps it.
func isRetained(object string) bool {
	for _, kept := range []string{"*v1.Namespace ", "*v1.PersistentVolumeClaim OWN/", "*v1.Secret OWN/authorities", "*v1.NetworkPolicy OWN/", "*v1.ServiceAccount OWN/"} {
		if strings.HasPrefix(object, kept) {
			return true
		}
	}
	return false
}

// reconciled reconciles twice without playing anything.
func reconciled(t *testing.T, h *hand, _ *teapotv1.TenantControlPlane) {
	t.Helper()
	for range 2 {
		if _, err := h.once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADeletionThatIsHeldUpSaysByWhat, and that a person should look.
func TestADeletionThatIsHeldUpSaysByWhat(t *testing.T) {
	for policy, hold := range map[teapotv1.DeletionPolicy]struct {
		by   func(t *testing.T, owner types.NamespacedName)
		word string
	}{
		teapotv1.DeletionPolicyDelete: {word: "some.example.com/finalizer", by: func(t *testing.T, owner types.NamespacedName) {
			// What the namespace controller would say.
			namespaces := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces()
			namespace, err := namespaces.Get(t.Context(), controlplane.Namespace(owner), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			namespace.Status.Conditions = []corev1.NamespaceCondition{{
				Type: corev1.NamespaceFinalizersRemaining, Status: corev1.ConditionTrue, Reason: "SomeFinalizersRemain",
				Message: "Some content in the namespace has finalizers remaining: some.example.com/finalizer in 1 resource instances",
			}}
			if _, err := namespaces.UpdateStatus(t.Context(), namespace, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
		teapotv1.DeletionPolicyRetain: {word: "etcd-0", by: func(t *testing.T, owner types.NamespacedName) { podOf(t, owner) }},
	} {
		t.Run(string(policy), func(t *testing.T) {
			c := clocktesting.NewFakePassiveClock(time.Now())
			tcp := byHand(tenantNamespace(t))
			tcp.Spec.DeletionPolicy = policy
			makeOne(t.Context(), t, tcp)
			t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
			h := newHand(t, key(tcp), c, "", 0)
			reconciled(t, h, tcp)
			if policy == teapotv1.DeletionPolicyRetain {
				hold.by(t, key(tcp))
			}
			deleteOne(t.Context(), t, tcp)
			reconciled(t, h, tcp)
			if policy == teapotv1.DeletionPolicyDelete {
				hold.by(t, key(tcp))
			}
			stalled := func() *metav1.Condition {
				if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
					t.Fatal(err)
				}
				return meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.StalledCondition)
			}
			if now := stalled(); now == nil || now.Status != metav1.ConditionFalse {
				t.Errorf("at first Stalled is %+v", now)
			}
			c.SetTime(c.Now().Add(3 * time.Minute))
			reconciled(t, h, tcp)
			if now := stalled(); now == nil || now.Status != metav1.ConditionTrue || now.Reason != teapotv1.ReasonDeletionBlocked || !strings.Contains(now.Message, hold.word) {
				t.Errorf("after three minutes Stalled is %+v, want it to name %s", now, hold.word)
			}
			if told := strings.Join(h.told(), "\n"); strings.Count(told, teapotv1.ReasonDeletionBlocked) != 1 {
				t.Errorf("want one event, told is: %s", told)
			}
		})
	}
}

// TestWhatDoesNotFitRetainedDataIsRefused: with the field and what to make it.
func TestWhatDoesNotFitRetainedDataIsRefused(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain })
	applied(t, tcp)
	remove(t, tcp)
	own := controlplane.Namespace(key(tcp))
	kept := keysOf(t.Context(), t, key(tcp))

	adopting := func(change func(*teapotv1.TenantControlPlaneSpec)) func(*teapotv1.TenantControlPlane) {
		return func(again *teapotv1.TenantControlPlane) {
			again.Namespace = tcp.Namespace
			again.Spec.Datastore.AdoptFrom = own
			change(&again.Spec)
		}
	}
	for name, test := range map[string]struct {
		change func(*teapotv1.TenantControlPlaneSpec)
		words  []string
	}{
		"another network": {func(s *teapotv1.TenantControlPlaneSpec) { s.Network.PodCIDR = "10.1.0.0/16" }, []string{"spec.network", "10.244.0.0/16"}},
		"more members":    {func(s *teapotv1.TenantControlPlaneSpec) { s.Datastore.Etcd.Members = 3 }, []string{"spec.datastore.etcd.members", "make it 1"}},
		"an older minor":  {func(s *teapotv1.TenantControlPlaneSpec) { s.Version = "v1.35.4" }, []string{"spec.version", "v1.36.3"}},
	} {
		t.Run(name, func(t *testing.T) {
			again := create(t, adopting(test.change))
			message := condition(t, again, teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataMismatch)
			for _, word := range test.words {
				if !strings.Contains(message, word) {
					t.Errorf("the message does not say %q: %s", word, message)
				}
			}
			condition(t, again, teapotv1.StalledCondition, teapotv1.ReasonRetainedDataMismatch)
			remove(t, again)
			if now := keysOf(t.Context(), t, key(tcp)); string(now["ca.key"]) != string(kept["ca.key"]) {
				t.Error("the retained keys are gone with the one that was refused")
			}
		})
	}

	t.Run("what fits is adopted", func(t *testing.T) {
		again := create(t, adopting(func(*teapotv1.TenantControlPlaneSpec) {}))
		applied(t, again)
		namespace := &corev1.Namespace{}
		if err := direct.Get(t.Context(), types.NamespacedName{Name: own}, namespace); err != nil {
			t.Fatal(err)
		}
		if namespace.Labels[teapotv1.RetainedLabel] != "" || namespace.Annotations[teapotv1.ControlPlaneUIDAnnotation] != string(again.UID) {
			t.Errorf("the namespace is not the new one's: %+v", namespace.ObjectMeta)
		}
		if now := keysOf(t.Context(), t, key(tcp)); string(now["ca.key"]) != string(kept["ca.key"]) {
			t.Error("the keys are others than those that were retained")
		}
		quiet(t, again)
	})
}

// TestANamespaceThatIsStillGoingIsWaitedFor: deleted and made anew under the same name at once.
func TestANamespaceThatIsStillGoingIsWaitedFor(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"test.teapot.dev/hold"}}}
	owner := types.NamespacedName{Namespace: tenantNamespace(t), Name: "cp"}
	namespace.Name = controlplane.Namespace(owner)
	if err := direct.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	if err := direct.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Namespace = owner.Namespace })
	message := condition(t, tcp, teapotv1.NamespaceReadyCondition, teapotv1.ReasonNamespaceTerminating)
	if !strings.Contains(message, namespace.Name) {
		t.Errorf("the message does not name it: %s", message)
	}
	if err := direct.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything to be applied", func() error {
		_, err := playNamespaces(t.Context(), owner)
		if getErr := direct.Get(t.Context(), owner, tcp); getErr != nil || tcp.Status.Secrets == nil {
			return errors.Join(err, getErr, fmt.Errorf("status is %+v", tcp.Status))
		}
		return err
	})
}
