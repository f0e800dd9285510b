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
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// overdue is when a claim that is deleted goes without its host. When it was deleted is by the API
// server's clock, which goes on while the test's stands still.
const overdue = claim.ReleasePatience + 5*time.Minute

// ready makes a claim and brings it to a machine.
func (h *hand) ready(ctx context.Context, t *testing.T, name string) *teapotv1.MachineClaim {
	t.Helper()
	c := newClaim(h.namespace, name)
	create(ctx, t, bootstrap(c), c)
	h.settle(ctx, t)
	return h.expect(ctx, t, name, teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
}

// expect fails unless the claim is in the phase, for the reason.
func (h *hand) expect(ctx context.Context, t *testing.T, name string, phase teapotv1.MachineClaimPhase, reason string) *teapotv1.MachineClaim {
	t.Helper()
	c := h.claim(ctx, t, name)
	ready := meta.FindStatusCondition(c.Status.Conditions, teapotv1.ReadyCondition)
	if ready == nil || c.Status.Phase != phase || ready.Reason != reason {
		t.Fatalf("claim %s is %s, Ready %+v; want %s, %s", name, c.Status.Phase, ready, phase, reason)
	}
	return c
}

func (h *hand) free(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	o := h.host(ctx, t, name)
	if v := host.Of(o); v.Claimable(anybody) != host.Claimable || v.PoweredOn {
		t.Fatalf("host %s is not free: %s; spec %+v", name, v.Claimable(anybody), o.Spec)
	}
	if left := h.secrets(ctx, t); len(left) > 0 {
		t.Fatalf("Secrets are left beside the hosts: %v", left)
	}
}

func TestLife(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.room(ctx, t, "", "")
	c := h.ready(ctx, t, "worker-0")

	o := h.host(ctx, t, "machine-0")
	v := host.Of(o)
	if !v.HeldBy(host.HolderOf(c)) || !v.Provisioned(c.Spec.Image.URL) || !v.PoweredOn {
		t.Errorf("the host is %+v", o.Spec)
	}
	secrets := h.secrets(ctx, t)
	if len(secrets) != 1 || string(secrets[0].Data["userData"]) != "#cloud-config of worker-0" || secrets[0].OwnerReferences[0].UID != o.UID ||
		o.Spec.UserData == nil || *o.Spec.UserData != (corev1.SecretReference{Namespace: h.namespace, Name: secrets[0].Name}) {
		t.Errorf("the Secrets beside the host are %+v, and the host's user data are %+v", secrets, o.Spec.UserData)
	}
	status := c.Status
	if status.Host == nil || status.Host.Name != "machine-0" || !status.PoweredOn || status.HostState != "provisioned" ||
		status.Hardware == nil || status.Hardware.CPUs != 16 || len(status.Addresses) != 2 || status.ObservedGeneration != c.Generation {
		t.Errorf("the status is %+v", status)
	}
	for kind, want := range map[string]metav1.ConditionStatus{
		teapotv1.ReadyCondition: metav1.ConditionTrue, teapotv1.HostBoundCondition: metav1.ConditionTrue, teapotv1.ProvisionedCondition: metav1.ConditionTrue,
		teapotv1.StalledCondition: metav1.ConditionFalse, teapotv1.PausedCondition: metav1.ConditionFalse,
	} {
		if got := meta.FindStatusCondition(status.Conditions, kind); got == nil || got.Status != want {
			t.Errorf("%s is %+v, want %s", kind, got, want)
		}
	}
	t.Logf("it took %d writes: %q", len(h.Asked), h.Asked)
	if len(h.Asked) > 8 {
		t.Errorf("it took %d writes, want 8 at most: host noted, consumerRef, Secret, image, that it runs noted, three of status", len(h.Asked))
	}

	h.Asked = nil
	h.settle(ctx, t)
	h.clock.Step(claim.ReleasePatience / 2)
	h.settle(ctx, t)
	if len(h.Asked) > 0 {
		t.Errorf("at rest it writes %q", h.Asked)
	}

	h.delete(ctx, t, c)
	h.settle(ctx, t)
	h.isGone(ctx, t, "worker-0")
	h.free(ctx, t, "machine-0")
	if told := strings.Join(h.told(), "\n"); !strings.Contains(told, "took host "+h.namespace+"/machine-0") || !strings.Contains(told, "gave back host "+h.namespace+"/machine-0") {
		t.Errorf("it told %s", told)
	}
}

func TestWaiting(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.room(ctx, t, "", "")
	c := newClaim(h.namespace, "late")
	create(ctx, t, c)
	h.settle(ctx, t)
	h.expect(ctx, t, "late", teapotv1.ClaimPending, teapotv1.ReasonWaitingForSecret)
	if o := h.host(ctx, t, "machine-0"); o.Spec.ConsumerRef != nil {
		t.Error("a claim without its data holds a host")
	}
	h.ready(ctx, t, "worker-0")
	h.ready(ctx, t, "worker-1")
	create(ctx, t, bootstrap(c))
	h.settle(ctx, t)
	late := h.expect(ctx, t, "late", teapotv1.ClaimPending, teapotv1.ReasonNoHost)
	if ready := meta.FindStatusCondition(late.Status.Conditions, teapotv1.ReadyCondition); ready.Message != "2 hosts: 2 taken" {
		t.Errorf("it says %q", ready.Message)
	}
	h.delete(ctx, t, h.claim(ctx, t, "worker-0"))
	h.settle(ctx, t)
	h.expect(ctx, t, "late", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
}

func TestPolicy(t *testing.T) {
	ctx := t.Context()
	machines, tenant := newNamespace(t), newNamespace(t)
	h := newHand(t, "") // hosts of all namespaces; so the claim asks for a label
	o := claimtest.NewHost(machines, "machine-0")
	o.Labels = map[string]string{"room": machines}
	create(ctx, t, o)
	play := func() {
		t.Helper()
		for played := true; played; {
			var err error
			if played, err = h.operator.Step(ctx, client.ObjectKeyFromObject(o)); err != nil {
				t.Fatal(err)
			}
		}
	}
	play()
	c := newClaim(tenant, "worker-0")
	c.Spec.UserData = nil
	c.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{"room": teapotv1.LabelValue(machines)}
	create(ctx, t, c)
	for _, rule := range []struct {
		name  string
		rules *metal3v1.HostClaimNamespaces
		phase teapotv1.MachineClaimPhase
	}{
		{"without a policy", nil, teapotv1.ClaimPending},
		{"another label", &metal3v1.HostClaimNamespaces{HasLabels: []metal3v1.NameValuePair{{Name: "kubernetes.io/metadata.name", Value: "x"}}}, teapotv1.ClaimPending},
		{"its label", &metal3v1.HostClaimNamespaces{HasLabels: []metal3v1.NameValuePair{{Name: "kubernetes.io/metadata.name", Value: tenant}}}, teapotv1.ClaimProvisioned},
	} {
		if rule.rules != nil {
			policy := &host.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: machines, GenerateName: "policy-"}}
			policy.Spec.HostClaimNamespaces = rule.rules
			create(ctx, t, policy)
		}
		for range 5 {
			if _, err := h.Reconcile(ctx, request(c)); err != nil {
				t.Fatal(err)
			}
			play()
		}
		now := &teapotv1.MachineClaim{}
		if err := direct.Get(ctx, client.ObjectKeyFromObject(c), now); err != nil {
			t.Fatal(err)
		}
		if now.Status.Phase != rule.phase {
			t.Errorf("%s: it is %s: %+v", rule.name, now.Status.Phase, now.Status.Conditions)
		}
	}
}

func TestUncleaned(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.room(ctx, t, "")
	c := newClaim(h.namespace, "worker-0")
	c.Spec.AutomatedCleaningMode = teapotv1.CleaningDisabled
	create(ctx, t, bootstrap(c), c)
	h.settle(ctx, t)
	c = h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
	h.delete(ctx, t, c)
	h.settle(ctx, t)
	h.isGone(ctx, t, "worker-0")
	o := h.host(ctx, t, "machine-0")
	v := host.Of(o)
	us := h.tenant(ctx, t)
	again := host.Tenant{Namespace: us.Namespace, UID: "of the namespace made again"}
	for by, want := range map[host.Tenant]host.Refusal{anybody: host.Unclean, us: host.Claimable, again: host.Unclean} {
		if got := v.Claimable(by); got != want {
			t.Errorf("for %s it is %q, want %q", by, got, want)
		}
	}
	if o.Spec.AutomatedCleaningMode != metal3v1.CleaningModeMetadata {
		t.Errorf("its cleaning mode is %s", o.Spec.AutomatedCleaningMode)
	}

	mark := o.Annotations[teapotv1.UncleanedForAnnotation]
	marked := func(value string) func(*host.Object) {
		return func(o *host.Object) {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.UncleanedForAnnotation, value)
		}
	}
	next := newClaim(h.namespace, "worker-1")
	create(ctx, t, bootstrap(next), next)
	for _, foreign := range []string{again.String(), h.namespace} { // the second is of an older Teapot
		h.change(ctx, t, "machine-0", marked(foreign))
		h.settle(ctx, t)
		next = h.expect(ctx, t, "worker-1", teapotv1.ClaimPending, teapotv1.ReasonNoHost)
		if ready := meta.FindStatusCondition(next.Status.Conditions, teapotv1.ReadyCondition); ready.Message != "1 host: 1 not clean" {
			t.Errorf("of a host that is kept for %s it says %q", foreign, ready.Message)
		}
	}
	h.change(ctx, t, "machine-0", marked(mark))
	h.settle(ctx, t)
	h.expect(ctx, t, "worker-1", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
}

func TestPaused(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.room(ctx, t, "")
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: "acme"}}
	cluster.Spec.Paused = ptr.To(true)
	cluster.Spec.ControlPlaneRef = clusterv1.ContractVersionedObjectReference{APIGroup: "teapot.dev", Kind: "TenantControlPlane", Name: "acme"}
	c := newClaim(h.namespace, "worker-0")
	c.Labels = map[string]string{clusterv1.ClusterNameLabel: "acme"}
	c.Annotations = map[string]string{clusterv1.PausedAnnotation: ""}
	create(ctx, t, cluster, bootstrap(c), c)
	paused := func(reason string) {
		t.Helper()
		h.settle(ctx, t)
		got := meta.FindStatusCondition(h.claim(ctx, t, "worker-0").Status.Conditions, teapotv1.PausedCondition)
		if got == nil || got.Reason != reason {
			t.Fatalf("Paused is %+v, want %s", got, reason)
		}
	}
	paused(teapotv1.ReasonPaused)
	c = h.claim(ctx, t, "worker-0")
	before := c.DeepCopy()
	c.Annotations = nil
	if err := direct.Patch(ctx, c, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	paused(teapotv1.ReasonClusterPaused)
	if o := h.host(ctx, t, "machine-0"); o.Spec.ConsumerRef != nil {
		t.Error("a paused claim took a host")
	}
	unpaused := cluster.DeepCopy()
	unpaused.Spec.Paused = nil
	if err := direct.Patch(ctx, unpaused, client.MergeFrom(cluster)); err != nil {
		t.Fatal(err)
	}
	paused(teapotv1.ReasonNotPaused)
	h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
}

// TestPausedForASleep: a Cluster that is paused since its control plane sleeps has its hosts given back.
func TestPausedForASleep(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.room(ctx, t, "")
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{
		Namespace: h.namespace, Name: "acme", Annotations: map[string]string{teapotv1.HibernationAnnotation: "Release"},
	}}
	cluster.Spec.Paused = ptr.To(true)
	cluster.Spec.ControlPlaneRef = clusterv1.ContractVersionedObjectReference{APIGroup: "teapot.dev", Kind: "TenantControlPlane", Name: "acme"}
	c := newClaim(h.namespace, "worker-0")
	c.Labels = map[string]string{clusterv1.ClusterNameLabel: "acme"}
	create(ctx, t, cluster, bootstrap(c), c)
	h.settle(ctx, t)
	h.expect(ctx, t, "worker-0", teapotv1.ClaimProvisioned, teapotv1.ReasonReady)
	if err := direct.Delete(ctx, h.claim(ctx, t, "worker-0")); err != nil {
		t.Fatal(err)
	}
	h.settle(ctx, t)
	if o := h.host(ctx, t, "machine-0"); o.Spec.Image != nil {
		t.Errorf("the host is not given back: %+v", o.Spec)
	}
}
