package machineclaim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

func TestAnotherHost(t *testing.T) {
	ctx := t.Context()
	t.Run("after one that fails to provision, which is given back clean", func(t *testing.T) {
		h := newHand(t, newNamespace(t))
		h.room(ctx, t, claimtest.FailsToProvision, "")
		c := h.ready(ctx, t, "worker-0")
		if c.Status.Host.Name != "machine-1" || c.Annotations[teapotv1.FailedHostsAnnotation] != h.namespace+"/machine-0" {
			t.Errorf("it holds %s; failed: %s", c.Status.Host.Name, c.Annotations[teapotv1.FailedHostsAnnotation])
		}
		if o := h.host(ctx, t, "machine-0"); o.Spec.ConsumerRef != nil || o.Spec.Image != nil {
			t.Errorf("the host that failed is %+v", o.Spec)
		}
	})
	t.Run("after one that hangs, once its time is over", func(t *testing.T) {
		h := newHand(t, newNamespace(t))
		h.room(ctx, t, "", "")
		h.change(ctx, t, "machine-0", faulty(claimtest.Hangs))
		c := newClaim(h.namespace, "worker-0")
		create(ctx, t, bootstrap(c), c)
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning)
		h.clock.Step(59 * time.Minute)
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioning, teapotv1.ReasonProvisioning)
		h.clock.Step(time.Minute)
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimReleasing, teapotv1.ReasonReleasing)
		h.change(ctx, t, "machine-0", faulty(""))
		h.settle(ctx, t)
		if c := h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady); c.Status.Host.Name != "machine-1" {
			t.Errorf("it holds %s", c.Status.Host.Name)
		}
	})
	t.Run("but not more than three", func(t *testing.T) {
		h := newHand(t, newNamespace(t))
		h.room(ctx, t, claimtest.FailsToProvision, claimtest.FailsToProvision, claimtest.FailsToProvision, "")
		c := newClaim(h.namespace, "worker-0")
		create(ctx, t, bootstrap(c), c)
		h.settle(ctx, t)
		c = h.expect(ctx, t, "worker-0", teapotv1.ClaimFailed, teapotv1.ReasonProvisioningFailed)
		if !meta.IsStatusConditionTrue(c.Status.Conditions, teapotv1.StalledCondition) {
			t.Error("it is not stalled")
		}
		for _, name := range []string{"machine-0", "machine-1", "machine-2"} {
			h.free(ctx, t, name)
		}
		h.delete(ctx, t, c)
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
	})
	t.Run("not in place of one that cannot be cleaned: the claim fails, and the host stays fenced", func(t *testing.T) {
		h := newHand(t, newNamespace(t))
		h.room(ctx, t, "", "")
		h.change(ctx, t, "machine-0", faulty(claimtest.FailsToProvision+","+claimtest.FailsToClean))
		c := newClaim(h.namespace, "worker-0")
		create(ctx, t, bootstrap(c), c)
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimReleasing, teapotv1.ReasonCleaningFailed)
		h.clock.Step(claim.ReleasePatience)
		h.settle(ctx, t)
		c = h.expect(ctx, t, "worker-0", teapotv1.ClaimFailed, teapotv1.ReasonCleaningFailed)
		h.delete(ctx, t, c)
		h.clock.Step(overdue)
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
		if o := h.host(ctx, t, "machine-0"); o.Spec.ConsumerRef == nil || o.Spec.ConsumerRef.Name != "worker-0" {
			t.Error("the host is handed on uncleaned")
		}
		h.ready(ctx, t, "worker-1")
	})
}

func faulty(wanted claimtest.Fault) func(*host.Object) {
	return func(o *host.Object) {
		metav1.SetMetaDataAnnotation(&o.ObjectMeta, claimtest.FaultAnnotation, string(wanted))
	}
}

func TestTroubles(t *testing.T) {
	ctx := t.Context()
	pause := func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, metal3v1.PausedAnnotation, "") }
	unpause := func(o *host.Object) { delete(o.Annotations, metal3v1.PausedAnnotation) }
	made := func(t *testing.T) *hand {
		h := newHand(t, newNamespace(t))
		h.room(ctx, t, "", "")
		h.ready(ctx, t, "worker-0")
		return h
	}
	t.Run("power lost", func(t *testing.T) {
		h := made(t)
		h.change(ctx, t, "machine-0", faulty(claimtest.LosesPower))
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonPoweredOff)
		h.clock.Step(claim.TroublePatience)
		h.settle(ctx, t)
		if c := h.claim(ctx, t, "worker-0"); !meta.IsStatusConditionTrue(c.Status.Conditions, teapotv1.StalledCondition) {
			t.Error("it is not stalled")
		}
		h.change(ctx, t, "machine-0", faulty(""))
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
	})
	t.Run("power off, as asked for", func(t *testing.T) {
		h := made(t)
		c := h.claim(ctx, t, "worker-0")
		before := c.DeepCopy()
		c.Spec.PoweredOn = ptr.To(false)
		if err := direct.Patch(ctx, c, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		h.settle(ctx, t)
		if c := h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady); c.Status.PoweredOn || h.host(ctx, t, "machine-0").Status.PoweredOn {
			t.Error("it is on")
		}
	})
	t.Run("the host deleted", func(t *testing.T) {
		h := made(t)
		h.delete(ctx, t, h.host(ctx, t, "machine-0"))
		h.settle(ctx, t)
		c := h.expect(ctx, t, "worker-0", teapotv1.ClaimFailed, teapotv1.ReasonHostLost)
		h.delete(ctx, t, c)
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
	})
	t.Run("the host taken by something else", func(t *testing.T) {
		h := made(t)
		h.change(ctx, t, "machine-0", func(o *host.Object) {
			o.Spec.ConsumerRef = &corev1.ObjectReference{APIVersion: "infrastructure.cluster.x-k8s.io/v1beta1", Kind: "Metal3Machine", Namespace: "x", Name: "y"}
		})
		h.settle(ctx, t)
		c := h.expect(ctx, t, "worker-0", teapotv1.ClaimFailed, teapotv1.ReasonHostLost)
		h.delete(ctx, t, c)
		h.told()
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
		if o := h.host(ctx, t, "machine-0"); o.Spec.ConsumerRef.Kind != "Metal3Machine" || o.Spec.Image == nil {
			t.Errorf("a host of somebody else was changed: %+v", o.Spec)
		}
	})
	t.Run("the host's image changed by somebody else", func(t *testing.T) {
		h := made(t)
		h.change(ctx, t, "machine-0", func(o *host.Object) { o.Spec.Image = nil })
		h.settle(ctx, t)
		c := h.expect(ctx, t, "worker-0", teapotv1.ClaimFailed, teapotv1.ReasonHostLost)
		h.delete(ctx, t, c)
		h.settle(ctx, t)
		h.free(ctx, t, "machine-0")
	})
	t.Run("the host paused, and the claim deleted: it goes, the host stays fenced", func(t *testing.T) {
		h := made(t)
		h.change(ctx, t, "machine-0", pause)
		h.settle(ctx, t)
		c := h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonHostPaused)
		h.delete(ctx, t, c)
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimReleasing, teapotv1.ReasonHostPaused)
		h.clock.Step(overdue)
		h.told()
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
		if told := strings.Join(h.told(), "\n"); !strings.Contains(told, "the claim goes, and the host stays held until it is clean") {
			t.Errorf("it told %s", told)
		}
		o := h.host(ctx, t, "machine-0")
		if v := host.Of(o); v.Claimable(h.tenant(ctx, t)) != host.Paused && v.Claimable(h.tenant(ctx, t)) != host.Taken || o.Spec.ConsumerRef == nil || o.Spec.Image != nil {
			t.Errorf("the host is not fenced: %+v", o.Spec)
		}
	})
	t.Run("the host paused for a while", func(t *testing.T) {
		h := made(t)
		h.change(ctx, t, "machine-0", pause)
		h.delete(ctx, t, h.claim(ctx, t, "worker-0"))
		h.settle(ctx, t)
		h.change(ctx, t, "machine-0", unpause)
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
		h.free(ctx, t, "machine-0")
	})
	t.Run("the annotation removed or changed by somebody else", func(t *testing.T) {
		for _, value := range []string{"", "machine-1"} {
			h := made(t)
			c := h.claim(ctx, t, "worker-0")
			before := c.DeepCopy()
			c.Annotations[teapotv1.HostAnnotation] = h.namespace + "/" + value
			if err := direct.Patch(ctx, c, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			h.settle(ctx, t)
			c = h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
			if got := c.Annotations[teapotv1.HostAnnotation]; got != h.namespace+"/machine-0" || c.Status.Host.Name != "machine-0" {
				t.Errorf("it holds %s and names %s", c.Status.Host.Name, got)
			}
			h.claimable(ctx, t, "machine-1")
		}
	})
	t.Run("a second host, that another manager took for the claim, goes back with the first", func(t *testing.T) {
		h := made(t)
		c := h.claim(ctx, t, "worker-0")
		h.change(ctx, t, "machine-1", func(o *host.Object) { host.Take(o, host.HolderOf(c), "") })
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
		h.delete(ctx, t, c)
		h.settle(ctx, t)
		h.isGone(ctx, t, "worker-0")
		h.free(ctx, t, "machine-0")
		h.free(ctx, t, "machine-1")
	})
	t.Run("the status lost", func(t *testing.T) {
		h := made(t)
		c := h.claim(ctx, t, "worker-0")
		before := c.DeepCopy()
		c.Status = teapotv1.MachineClaimStatus{}
		if err := direct.Status().Patch(ctx, c, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		h.Asked = nil
		h.settle(ctx, t)
		h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
		if len(h.Asked) != 1 {
			t.Errorf("it takes more than a write of the status: %q", h.Asked)
		}
	})
}

// claimable fails unless a host is, whatever the others are.
func (h *hand) claimable(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	if v := host.Of(h.host(ctx, t, name)); v.Claimable(h.tenant(ctx, t)) != host.Claimable {
		t.Errorf("host %s is %s", name, v.Claimable(h.tenant(ctx, t)))
	}
}
