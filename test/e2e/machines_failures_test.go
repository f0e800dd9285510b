package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	metal3 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/machineroom/control"
)

// longEnv has the tests run that take long (make test-long).
const longEnv = "TEAPOT_TEST_LONG"

// failureLimit is how long a claim may take to say what happened to its host, or to get over it.
// The operator looks at a host in error with growing pauses, of up to minutes.
const failureLimit = 6 * time.Minute

// failing is one claim, and the hosts that it may have.
type failing struct {
	*fleet
	namespace string
	claim     *teapotv1.MachineClaim
	// bad is the host that fails. spare, if there is one, is dearer.
	bad, spare string
}

// testMachinesFail has machines fail in one way each, with claims that are held by nobody else.
// What it is told, and how it ends, is what the operator's documentation promises.
func testMachinesFail(t *testing.T) {
	cases := []struct {
		name  string
		spare bool
		run   func(*testing.T, *failing)
	}{
		{"an image that cannot be written", true, imageIsNotWritten},
		{"a machine that cannot be powered on", true, powerDoesNotComeOn},
		{"power that is lost", false, powerIsLost},
		{"a disk that cannot be cleaned", false, func(t *testing.T, c *failing) {
			hostIsNotGivenBack(t, c, "fail-clean", teapotv1.ReasonCleaningFailed, metav1.ConditionTrue)
		}},
		{"a machine that hangs when it is cleaned", false, func(t *testing.T, c *failing) {
			hostIsNotGivenBack(t, c, "hang", teapotv1.ReasonReleasing, metav1.ConditionFalse)
		}},
		{"a machine that hangs when its image is written", true, machineHangs},
		{"a slow machine", false, machineIsSlow},
		{"a management controller whose credentials are gone", false, func(t *testing.T, c *failing) { hostIsNotReached(t, c, withoutCredentials) }},
		{"a host that names no management controller any more", false, func(t *testing.T, c *failing) { hostIsNotReached(t, c, withoutController) }},
		{"a host that is paused", false, func(t *testing.T, c *failing) { hostIsStopped(t, c, metal3.PausedAnnotation) }},
		{"a host that is detached", false, func(t *testing.T, c *failing) { hostIsStopped(t, c, metal3.DetachedAnnotation) }},
		{"a host that is deleted", false, hostIsDeleted},
	}
	if os.Getenv(longEnv) == "" {
		cases = cases[:1] // the others take minutes: make test-long
	}
	var names []string
	for _, c := range cases {
		names = append(names, "") // the host that fails
		if c.spare {
			names = append(names, "")
		}
	}
	for i := range names {
		names[i] = fmt.Sprintf("machine-%d", roomSize-len(names)+i)
	}
	mendHosts(t.Context(), t) // what a killed run left
	f := newFleet(t, names...)
	t.Cleanup(func() { mendHosts(context.Background(), t) })
	namespace := f.newNamespace(t, "claims")
	f.allow(t, namespace)
	t.Run("cases", func(t *testing.T) {
		for i, test := range cases {
			c := &failing{fleet: f, namespace: namespace, bad: names[0]}
			names = names[1:]
			if test.spare {
				c.spare, names = names[0], names[1:]
			}
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				c.prepare(t, fmt.Sprintf("case-%d", i))
				test.run(t, c)
			})
		}
	})
}

// prepare labels the hosts as this case's, and says which is the dearer.
func (c *failing) prepare(t *testing.T, name string) {
	t.Helper()
	for host, cost := range map[string]string{c.bad: "1", c.spare: "2"} {
		if host == "" {
			continue
		}
		c.label(t, host, name)
		c.annotate(t, host, teapotv1.CostAnnotation, &cost)
	}
	c.claim = c.newClaim(name, name)
}

// newClaim is a claim for the hosts of a case.
func (c *failing) newClaim(name, hosts string) *teapotv1.MachineClaim {
	claim := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	claim.Spec.Image = teapotv1.Image{URL: "http://" + node.NodeIP + ":6385/images/teapot-node-" + node.KubernetesVersion, Checksum: strings.Repeat("0", 64)}
	claim.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{hostLabel + hosts: "true"}
	return claim
}

// annotate sets an annotation of a host, or removes it.
func (c *failing) annotate(t *testing.T, name, key string, value *string) {
	t.Helper()
	c.change(t, name, func(host *metal3.BareMetalHost) {
		if value == nil {
			delete(host.Annotations, key)
		} else {
			metav1.SetMetaDataAnnotation(&host.ObjectMeta, key, *value)
		}
	})
}

// change changes a host as its operator would.
func (c *failing) change(t *testing.T, name string, change func(*metal3.BareMetalHost)) {
	t.Helper()
	host, err := c.host(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(host.DeepCopy())
	change(host)
	if err := management.Patch(t.Context(), host, patch); err != nil {
		t.Fatal(err)
	}
}

func (c *failing) create(t *testing.T, claim *teapotv1.MachineClaim) {
	t.Helper()
	if err := management.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
}

// available waits until a host can be claimed, so that the case's own trouble is the first.
func (c *failing) available(t *testing.T, name string) {
	t.Helper()
	eventually(t, failureLimit, name+" to be available", func(ctx context.Context) error {
		host, err := c.host(ctx, name)
		if err == nil && host.Status.Provisioning.State != metal3.StateAvailable {
			err = fmt.Errorf("it is %s: %s", host.Status.Provisioning.State, host.Status.ErrorMessage)
		}
		return err
	})
}

func (c *failing) fail(t *testing.T, name, faults string) {
	t.Helper()
	if err := c.room.Fail(t.Context(), name, faults); err != nil {
		t.Fatal(err)
	}
}

// is waits until a claim is in a phase, and Ready has a status and a reason.
func (c *failing) is(t *testing.T, claim *teapotv1.MachineClaim, phase teapotv1.MachineClaimPhase, ready metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, failureLimit, fmt.Sprintf("claim %s to be %s, Ready %s for %s", claim.Name, phase, ready, reason), func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(claim.Status.Conditions, teapotv1.ReadyCondition)
		if claim.Status.Phase != phase || condition == nil || condition.Status != ready || condition.Reason != reason {
			return fmt.Errorf("it is %s, %+v", claim.Status.Phase, condition)
		}
		return nil
	})
}

// runs waits until a claim's machine runs on a host.
func (c *failing) runs(t *testing.T, host string) {
	t.Helper()
	c.is(t, c.claim, teapotv1.ClaimProvisioned, metav1.ConditionTrue, teapotv1.ReasonReady)
	if on := c.claim.Status.Host; on == nil || on.Name != host {
		t.Fatalf("the claim holds %v, want %s", on, host)
	}
}

// stalled says whether a person is asked to look.
func (c *failing) stalled(t *testing.T, want metav1.ConditionStatus) {
	t.Helper()
	if got := meta.FindStatusCondition(c.claim.Status.Conditions, teapotv1.StalledCondition); got == nil || got.Status != want {
		t.Errorf("Stalled is %+v, want %s", got, want)
	}
}

// releases deletes the claim and waits for its host.
func (c *failing) releases(t *testing.T, host string) {
	t.Helper()
	if err := management.Delete(t.Context(), c.claim); err != nil {
		t.Fatal(err)
	}
	c.becomesFree(t, host)
}

// imageIsNotWritten: another host is taken, and the first given back.
func imageIsNotWritten(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.available(t, c.spare)
	c.fail(t, c.bad, "fail-provision")
	c.create(t, c.claim)
	c.runs(t, c.spare)
	if got, want := c.claim.Annotations[teapotv1.FailedHostsAnnotation], c.fleet.namespace+"/"+c.bad; got != want {
		t.Errorf("the hosts that failed are %q, want %q", got, want)
	}
	c.becomesFree(t, c.bad)
	c.releases(t, c.spare)
}

// powerDoesNotComeOn: a machine that ran is off; nobody takes another, for it would be another.
func powerDoesNotComeOn(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.available(t, c.spare)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	c.fail(t, c.bad, "no-power-on,lose-power")
	eventually(t, failureLimit, "the claim to say that its power is off", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(c.claim), c.claim); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(c.claim.Status.Conditions, teapotv1.ReadyCondition)
		if ready.Status != metav1.ConditionFalse || ready.Reason != teapotv1.ReasonPoweredOff && ready.Reason != teapotv1.ReasonHostFailed {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	if c.claim.Status.Phase != teapotv1.ClaimProvisioned || c.claim.Status.Host.Name != c.bad {
		t.Errorf("the claim is %s and holds %v", c.claim.Status.Phase, c.claim.Status.Host)
	}
	c.fail(t, c.bad, "none")
	c.runs(t, c.bad)
	c.releases(t, c.bad)
}

// powerIsLost: it is told, and the operator switches it on again.
func powerIsLost(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	booted := c.machine(t, c.bad).PowerSince
	if err := c.room.Power(t.Context(), c.bad, control.PowerCut); err != nil {
		t.Fatal(err)
	}
	eventually(t, failureLimit, "the machine to be on again", func(ctx context.Context) error {
		m, err := c.room.Get(ctx, c.bad)
		if err == nil && (!m.Power || !m.PowerSince.After(booted)) {
			err = fmt.Errorf("power %t since %s", m.Power, m.PowerSince)
		}
		return err
	})
	c.runs(t, c.bad)
	c.releases(t, c.bad)
}

// hostIsNotGivenBack: it stays held, no other claim gets it, and it is free once it is clean. A
// person is asked to look at once where waiting does not help.
func hostIsNotGivenBack(t *testing.T, c *failing, fault, reason string, stalled metav1.ConditionStatus) {
	c.available(t, c.bad)
	c.create(t, c.claim)
	c.runs(t, c.bad)
	c.fail(t, c.bad, fault)
	if err := management.Delete(t.Context(), c.claim); err != nil {
		t.Fatal(err)
	}
	c.is(t, c.claim, teapotv1.ClaimReleasing, metav1.ConditionFalse, reason)
	c.stalled(t, stalled)
	next := c.newClaim(c.claim.Name+"-next", c.claim.Name)
	c.create(t, next)
	c.is(t, next, teapotv1.ClaimPending, metav1.ConditionFalse, teapotv1.ReasonNoHost)
	if host, err := c.host(t.Context(), c.bad); err != nil || host.Spec.ConsumerRef == nil || host.Spec.ConsumerRef.Name != c.claim.Name {
		t.Errorf("a host that is not clean is let go: %v, %+v", err, host.Spec.ConsumerRef)
	}
	c.fail(t, c.bad, "none")
	c.is(t, next, teapotv1.ClaimProvisioned, metav1.ConditionTrue, teapotv1.ReasonReady)
	c.claim = next
	c.releases(t, c.bad)
}

// machineHangs: after its time it is given up. It cannot be stopped, so it stays held until it goes
// on, and only then another host is taken.
func machineHangs(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.available(t, c.spare)
	c.fail(t, c.bad, "hang")
	c.claim.Spec.ProvisioningTimeout = "5m" // the shortest that there is
	c.create(t, c.claim)
	c.is(t, c.claim, teapotv1.ClaimProvisioning, metav1.ConditionFalse, teapotv1.ReasonProvisioning)
	c.stalled(t, metav1.ConditionFalse)
	c.is(t, c.claim, teapotv1.ClaimReleasing, metav1.ConditionFalse, teapotv1.ReasonReleasing)
	if got, want := c.claim.Annotations[teapotv1.FailedHostsAnnotation], c.fleet.namespace+"/"+c.bad; got != want {
		t.Errorf("the hosts that failed are %q, want %q", got, want)
	}
	if host, err := c.host(t.Context(), c.bad); err != nil || host.Spec.ConsumerRef == nil || host.Spec.ConsumerRef.Name != c.claim.Name {
		t.Errorf("a host that hangs is let go: %v, %+v", err, host.Spec.ConsumerRef)
	}
	c.fail(t, c.bad, "none")
	c.runs(t, c.spare)
	c.becomesFree(t, c.bad)
	c.releases(t, c.spare)
}

// machineIsSlow: it is waited for, and nothing is tried twice.
func machineIsSlow(t *testing.T, c *failing) {
	c.available(t, c.bad)
	c.fail(t, c.bad, "slow=40s")
	c.create(t, c.claim)
	c.is(t, c.claim, teapotv1.ClaimProvisioning, metav1.ConditionFalse, teapotv1.ReasonProvisioning)
	c.runs(t, c.bad)
	if failed := c.claim.Annotations[teapotv1.FailedHostsAnnotation]; failed != "" {
		t.Errorf("hosts %s are taken for failed", failed)
	}
	c.fail(t, c.bad, "none")
	c.releases(t, c.bad)
}
