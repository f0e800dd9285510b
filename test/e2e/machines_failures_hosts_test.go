package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// Cases of TestFleets/MachinesFail in which it is not the machine that fails: somebody does something to
// its host.

// mendHosts puts right what these cases do to hosts, so that hosts can be given back and removed. It
// waits until the operator knows a machine again that it had let go of: it does not find the image
// of one that is given back before that, and gives up.
func mendHosts(ctx context.Context, t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	namespaces, hosts := &corev1.NamespaceList{}, &metal3.BareMetalHostList{}
	if err := management.List(ctx, namespaces, client.MatchingLabels{fleetOfLabel: fleetOf(t)}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range namespaces.Items {
		if err := management.List(ctx, hosts, client.InNamespace(namespace.Name)); err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts.Items {
			m, err := control.Client{Dir: room.FromEnvironment()}.Get(ctx, host.Name)
			if err != nil {
				t.Fatal(err)
			}
			patch := client.MergeFrom(host.DeepCopy())
			right, _ := control.Host(namespace.Name, m)
			host.Spec.BMC = right.Spec.BMC
			delete(host.Annotations, metal3.PausedAnnotation)
			delete(host.Annotations, metal3.DetachedAnnotation)
			if err := management.Patch(ctx, &host, patch); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
			// One that does not come right in time is the test's to find: here others are waiting.
			_ = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
				err := management.Get(ctx, client.ObjectKeyFromObject(&host), &host)
				return host.DeletionTimestamp != nil || host.Status.OperationalStatus == metal3.OperationalStatusOK, err
			})
		}
	}
}

// withoutCredentials has a host name a Secret that does not exist, and returns what puts it right.
// (The operator keeps a Secret that a host names from going.)
func withoutCredentials(t *testing.T, c *failing) (repair func()) {
	var before string
	c.change(t, c.bad, func(host *metal3.BareMetalHost) {
		before, host.Spec.BMC.CredentialsName = host.Spec.BMC.CredentialsName, "gone"
	})
	return func() {
		c.change(t, c.bad, func(host *metal3.BareMetalHost) { host.Spec.BMC.CredentialsName = before })
	}
}

// withoutController has a host name no management controller. The operator's webhook lets that be
// done to a host that is detached alone; another one may be named at any time.
func withoutController(t *testing.T, c *failing) (repair func()) {
	value := ""
	c.annotate(t, c.bad, metal3.DetachedAnnotation, &value)
	c.is(t, c.claim, teapotv1.ClaimProvisioned, metav1.ConditionUnknown, teapotv1.ReasonHostPaused)
	eventually(t, failureLimit, c.bad+" to be detached", func(ctx context.Context) error {
		host, err := c.host(ctx, c.bad)
		if err == nil && host.Status.OperationalStatus != metal3.OperationalStatusDetached {
			err = fmt.Errorf("it is %s", host.Status.OperationalStatus)
		}
		return err
	})
	var before metal3.BMCDetails
	c.change(t, c.bad, func(host *metal3.BareMetalHost) { before, host.Spec.BMC = host.Spec.BMC, metal3.BMCDetails{} })
	c.annotate(t, c.bad, metal3.DetachedAnnotation, nil)
	return func() {
		c.change(t, c.bad, func(host *metal3.BareMetalHost) { host.Spec.BMC = before })
	}
}

// hostIsNotReached: the machine runs on, and nobody takes another for it; given back it stays held
// until it can be cleaned.
func hostIsNotReached(t *testing.T, c *failing, lose func(*testing.T, *failing) (repair func())) {
	c.available(t, c.bad)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	booted := c.machine(t, c.bad).PowerSince
	repair := lose(t, c)
	c.is(t, c.claim, teapotv1.ClaimProvisioned, metav1.ConditionFalse, teapotv1.ReasonHostFailed)
	repair()
	c.runs(t, c.bad)
	if m := c.machine(t, c.bad); !m.Power || !m.PowerSince.Equal(booted) {
		t.Errorf("the machine was switched off: power %t since %s, before since %s", m.Power, m.PowerSince, booted)
	}
	repair = lose(t, c)
	c.is(t, c.claim, teapotv1.ClaimProvisioned, metav1.ConditionFalse, teapotv1.ReasonHostFailed)
	if err := management.Delete(t.Context(), c.claim); err != nil {
		t.Fatal(err)
	}
	c.is(t, c.claim, teapotv1.ClaimReleasing, metav1.ConditionFalse, teapotv1.ReasonCleaningFailed)
	c.stalled(t, metav1.ConditionTrue)
	if host, err := c.host(t.Context(), c.bad); err != nil || host.Spec.ConsumerRef == nil || host.Spec.ConsumerRef.Name != c.claim.Name {
		t.Errorf("a host that is not clean is let go: %v, %+v", err, host.Spec.ConsumerRef)
	}
	repair()
	c.becomesFree(t, c.bad)
}

// hostIsStopped: how the machine is cannot be known meanwhile, and is known again afterwards.
func hostIsStopped(t *testing.T, c *failing, annotation string) {
	c.available(t, c.bad)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	value := ""
	c.annotate(t, c.bad, annotation, &value)
	c.is(t, c.claim, teapotv1.ClaimProvisioned, metav1.ConditionUnknown, teapotv1.ReasonHostPaused)
	c.annotate(t, c.bad, annotation, nil)
	c.runs(t, c.bad)
	c.releases(t, c.bad)
}

// hostIsDeleted: the machine is lost, which nothing but another claim repairs.
func hostIsDeleted(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	host, err := c.host(t.Context(), c.bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := management.Delete(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	c.is(t, c.claim, teapotv1.ClaimFailed, metav1.ConditionFalse, teapotv1.ReasonHostLost)
	c.stalled(t, metav1.ConditionTrue)
	if err := management.Delete(t.Context(), c.claim); err != nil {
		t.Fatal(err)
	}
	eventually(t, failureLimit, "claim and host to be gone", func(ctx context.Context) error { return goneAll(ctx, c.claim, host) })
	if m := c.machine(t, c.bad); m.Power {
		t.Error("the machine is still on")
	}
}
