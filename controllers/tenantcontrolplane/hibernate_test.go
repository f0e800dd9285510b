package tenantcontrolplane_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/route"
)

// hourly sleeps when nobody used it for an hour.
func hourly(tcp *teapotv1.TenantControlPlane) {
	tcp.Spec.Hibernation = &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: time.Hour}}
}

// TestHibernateAndResume takes a control plane down and up by its spec, and compares what runs and what
// the status and the gateway are told.
func TestHibernateAndResume(t *testing.T) {
	tcp := readyOne(t, hourly)
	if r := leaseOf(t, tcp); r.Asleep || r.Host != tcp.Name+"."+tcp.Namespace+".teapot.test" || !r.Backend.IsValid() || !r.WakeOnRequest || r.CertificateAuthority == "" {
		t.Errorf("the gateway is told %+v", r)
	}
	endpoint, keys := tcp.Status.Endpoint.DeepCopy(), keysOf(t.Context(), t, key(tcp))

	enable(t, tcp, true)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	if replicas, members := sizes(t, tcp); replicas != 0 || members != 0 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted of one that sleeps", replicas, members)
	}
	if ready := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition); ready.Status != metav1.ConditionFalse || ready.Reason != teapotv1.ReasonAsleep {
		t.Errorf("Ready is %+v", ready)
	}
	if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.HibernatedCondition) || meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.StalledCondition) {
		t.Errorf("conditions are %+v", tcp.Status.Conditions)
	}
	if r := leaseOf(t, tcp); !r.Asleep || r.AsleepSince.IsZero() {
		t.Errorf("the gateway is told %+v", r)
	}
	quiet(t, tcp)

	enable(t, tcp, false)
	phaseBecomes(t, tcp, teapotv1.HibernationAwake)
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
	if replicas, members := sizes(t, tcp); replicas != 1 || members != 1 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted of one that is awake", replicas, members)
	}
	if *endpoint != *tcp.Status.Endpoint || !reflect.DeepEqual(keys, keysOf(t.Context(), t, key(tcp))) {
		t.Error("its endpoint or its keys are others than before the sleep")
	}
	quiet(t, tcp)
}

// TestCreatedHibernated: nothing ever runs of a control plane that is made asleep
// (https://github.com/gardener/gardener/issues/4774).
func TestCreatedHibernated(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{Enabled: ptr.To(true)}
	})
	t.Cleanup(func() { stopTenant(key(tcp)) })
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	if replicas, members := sizes(t, tcp); replicas != 0 || members != 0 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted", replicas, members)
	}
	enable(t, tcp, false)
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
}

// TestARequestWakes: the gateway's word on the Lease wakes a control plane, and one of before the sleep
// does not.
func TestARequestWakes(t *testing.T) {
	tcp := readyOne(t, hourly)
	request(t, tcp, time.Now())
	enable(t, tcp, true)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	lookAgain(t, tcp)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	request(t, tcp, time.Now())
	phaseBecomes(t, tcp, teapotv1.HibernationAwake)
	if tcp.Status.Hibernation.Reason != "WakeRequest" {
		t.Errorf("it is awake for %s: %s", tcp.Status.Hibernation.Reason, tcp.Status.Hibernation.Message)
	}
}

// TestCertificatesThatRanOutAsleep: what was issued before a sleep of more than a year is issued anew,
// and only then does anything start.
func TestCertificatesThatRanOutAsleep(t *testing.T) {
	now := time.Now()
	clock := clocktesting.NewFakePassiveClock(now.Add(-leafLife - time.Hour))
	tcp := byHand(tenantNamespace(t))
	makeOne(t.Context(), t, tcp)
	h := newHand(t, key(tcp), clock, "", 0)
	t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
	settle := func(what string, done func() error) {
		t.Helper()
		if h.settle(t.Context(), t, done) == nil {
			t.Fatalf("it never was %s", what)
		}
	}
	// Nothing answers with certificates that have not begun or have ended: it goes to sleep half-made.
	sleepNow(true)(t.Context(), t, tcp)
	settle("asleep", isAsleep(t.Context(), key(tcp)))
	for name, certificate := range certificates(t, key(tcp)) {
		if !certificate.IsCA && certificate.NotAfter.After(now) {
			t.Fatalf("%s ends %s, and should have run out", name, certificate.NotAfter)
		}
	}

	clock.SetTime(now)
	before := len(h.Asked)
	sleepNow(false)(t.Context(), t, tcp)
	settle("ready", isReady(t.Context(), key(tcp)))
	for name, certificate := range certificates(t, key(tcp)) {
		if certificate.NotAfter.Before(now) {
			t.Errorf("%s ended %s", name, certificate.NotAfter)
		}
	}
	issued := slices.Index(h.Asked[before:], "apply Secret "+controlplane.ControlPlaneName)
	started := slices.Index(h.Asked[before:], "apply Deployment "+controlplane.ControlPlaneName)
	if issued < 0 || started < issued {
		t.Errorf("pods were started before their certificates were renewed: %q", h.Asked[before:])
	}
}

// TestARecordThatIsLost is decided anew from the spec, and what sleeps by spec goes on sleeping.
func TestARecordThatIsLost(t *testing.T) {
	tcp := readyOne(t, hourly)
	enable(t, tcp, true)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	for name, meddle := range map[string]func(*coordinationv1.Lease) error{
		"deleted": func(lease *coordinationv1.Lease) error { return direct.Delete(t.Context(), lease) },
		"scrambled": func(lease *coordinationv1.Lease) error {
			for key := range lease.Annotations {
				lease.Annotations[key] += "x"
			}
			return direct.Update(t.Context(), lease, person)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := meddle(readLease(t, tcp)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the record to be there again", func() error {
				lease := &coordinationv1.Lease{}
				if err := direct.Get(t.Context(), leaseKey(tcp), lease); err != nil {
					return err
				}
				r, err := route.Read(lease)
				if err == nil && !r.Asleep {
					err = fmt.Errorf("it says %+v", r)
				}
				return err
			})
			if replicas, members := sizes(t, tcp); replicas != 0 || members != 0 {
				t.Errorf("%d control-plane pods and %d etcd members are wanted", replicas, members)
			}
		})
	}
}

// TestDeletedAsleep: a control plane that sleeps, or is about to, goes without being woken.
func TestDeletedAsleep(t *testing.T) {
	for name, phase := range map[string]teapotv1.HibernationPhase{"asleep": teapotv1.HibernationAsleep, "half-way": teapotv1.HibernationHibernating} {
		t.Run(name, func(t *testing.T) {
			tcp := readyOne(t, hourly)
			enable(t, tcp, true)
			if phase == teapotv1.HibernationAsleep {
				phaseBecomes(t, tcp, phase)
			}
			if err := direct.Delete(t.Context(), tcp); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it to be gone", func() error {
				_, podsErr := playPods(t.Context(), key(tcp))
				_, namespaceErr := playNamespaces(t.Context(), key(tcp))
				return errors.Join(podsErr, namespaceErr, isGone(t.Context(), key(tcp))())
			})
		})
	}
}

func leaseKey(tcp *teapotv1.TenantControlPlane) types.NamespacedName {
	return types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: route.LeaseName}
}

func readLease(t *testing.T, tcp *teapotv1.TenantControlPlane) *coordinationv1.Lease {
	t.Helper()
	lease := &coordinationv1.Lease{}
	if err := direct.Get(t.Context(), leaseKey(tcp), lease); err != nil {
		t.Fatal(err)
	}
	return lease
}

func leaseOf(t *testing.T, tcp *teapotv1.TenantControlPlane) route.Route {
	t.Helper()
	r, err := route.Read(readLease(t, tcp))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request does what the gateway does when a user asks for a control plane that sleeps.
func request(t *testing.T, tcp *teapotv1.TenantControlPlane, at time.Time) {
	t.Helper()
	lease := readLease(t, tcp)
	patch := client.MergeFrom(lease.DeepCopy())
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(at))
	if err := direct.Patch(t.Context(), lease, patch, client.FieldOwner("teapot-gateway")); err != nil {
		t.Fatal(err)
	}
}

// enable is `teapot hibernate`, or `teapot resume`.
func enable(t *testing.T, tcp *teapotv1.TenantControlPlane, enabled bool) {
	t.Helper()
	if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(tcp.DeepCopy())
	if tcp.Spec.Hibernation == nil {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{}
	}
	tcp.Spec.Hibernation.Enabled = ptr.To(enabled)
	metav1.SetMetaDataAnnotation(&tcp.ObjectMeta, teapotv1.HibernationRequestedAtAnnotation, time.Now().UTC().Format(time.RFC3339Nano))
	if err := direct.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
}

func phaseBecomes(t *testing.T, tcp *teapotv1.TenantControlPlane, phase teapotv1.HibernationPhase) {
	t.Helper()
	eventually(t, "phase "+string(phase), func() error {
		_, podsErr := playPods(t.Context(), key(tcp))
		_, servingErr := playTenant(t.Context(), key(tcp))
		if err := errors.Join(podsErr, servingErr); err != nil {
			return err
		}
		if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
			return err
		}
		if h := tcp.Status.Hibernation; h == nil || h.Phase != phase {
			return fmt.Errorf("hibernation is %+v", h)
		}
		return nil
	})
}

// sizes are how many control-plane pods and etcd members are wanted.
func sizes(t *testing.T, tcp *teapotv1.TenantControlPlane) (replicas, members int32) {
	t.Helper()
	deployment, statefulSet := &appsv1.Deployment{}, &appsv1.StatefulSet{}
	namespace := controlplane.Namespace(key(tcp))
	err := errors.Join(
		direct.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: controlplane.ControlPlaneName}, deployment),
		direct.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: controlplane.EtcdName}, statefulSet),
	)
	if err != nil {
		t.Fatal(err)
	}
	return *deployment.Spec.Replicas, *statefulSet.Spec.Replicas
}
