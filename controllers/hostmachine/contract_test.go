package hostmachine_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestContract goes through the life of a machine as Cluster API's contract has it.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine
func TestContract(t *testing.T) {
	p := newPlay(t)

	p.makeHostMachine(t)
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonWaitingForMachine, "infrastructureRef", "worker-1")
	p.makeMachine(t)
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonWaitingForCluster, "Cluster acme")
	p.makeCluster(t)
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonWaitingForCluster, "infrastructureProvisioned", "acme")
	p.provisionCluster(t)
	p.ready(t, metav1.ConditionUnknown, teapotv1.ReasonWaitingForBootstrapData, "dataSecretName", "KubeadmConfig worker-1")
	if claims := writes.About(p.hm.Namespace + "/machineclaims"); len(claims) > 0 {
		t.Errorf("a claim was made without bootstrap data: %q", claims)
	}
	p.giveBootstrapData(t)

	claim := p.claim(t)
	id := p.read(t).Spec.ProviderID
	if !regexp.MustCompile(`^teapot://[-0-9a-f]{36}$`).MatchString(id) {
		t.Errorf("spec.providerID is %q", id)
	}
	want := teapotv1.MachineClaimSpec{
		HostRequest:   p.hm.Spec.HostRequest,
		UserData:      &teapotv1.SecretReference{Name: "worker-1"},
		MetaData:      &teapotv1.SecretReference{Name: "worker-1-metadata"},
		FailureDomain: "row-a",
		PoweredOn:     ptr.To(true),
	}
	if got := claim.Spec; got.Image != want.Image || *got.UserData != *want.UserData || *got.MetaData != *want.MetaData ||
		got.FailureDomain != want.FailureDomain || got.ProvisioningTimeout != "45m" || got.AutomatedCleaningMode != teapotv1.CleaningMetadata {
		t.Errorf("the claim is %+v, want %+v", got, want)
	}
	if !metav1.IsControlledBy(claim, p.hm) || claim.Labels[clusterv1.ClusterNameLabel] != "acme" {
		t.Errorf("the claim is owned by %v and labelled %v", claim.OwnerReferences, claim.Labels)
	}
	secret := metaDataOf(t, p)
	data := map[string]string{}
	must(t, yaml.Unmarshal(secret.Data["metaData"], &data))
	if data["provider_id"] != id || data["local_hostname"] != "worker-1" {
		t.Errorf("the meta data is %v", data)
	}
	if !metav1.IsControlledBy(secret, p.hm) {
		t.Errorf("the meta data is owned by %v", secret.OwnerReferences)
	}
	if ptr.Deref(p.hm.Status.Initialization.Provisioned, false) {
		t.Error("it is provisioned before its claim is")
	}

	provision(t, claim)
	p.ready(t, metav1.ConditionTrue, teapotv1.ReasonReady, "MachineClaim worker-1", "host-7 runs")
	status := p.hm.Status
	if !ptr.Deref(status.Initialization.Provisioned, false) || status.FailureDomain != "row-a" || *status.Host != (teapotv1.HostReference{Namespace: "hosts", Name: "host-7"}) ||
		!slices.Equal(status.Addresses, []clusterv1.MachineAddress{{Type: clusterv1.MachineHostName, Address: "worker-1"}, {Type: clusterv1.MachineInternalIP, Address: "192.0.2.7"}}) {
		t.Errorf("status is %+v", status)
	}
	if status.ObservedGeneration != p.hm.Generation {
		t.Errorf("observed is generation %d, it is %d", status.ObservedGeneration, p.hm.Generation)
	}

	must(t, direct.Delete(t.Context(), p.hm))
	eventually(t, "the claim to be deleted", func() error { return deleting(t, claim) })
	says(t, claim, teapotv1.ClaimReleasing, is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonReleasing, "host-7 is being cleaned"))
	p.ready(t, metav1.ConditionFalse, teapotv1.ReasonDeleting, "host-7 is being cleaned")
	release(t, claim)
	gone(t, p.hm)
}

// TestNothingIsWrittenWhileNothingChanges reconciles at each stop of a machine's life twice.
func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	p := byHand(t)
	p.makeHostMachine(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	quiet := func(at string) {
		t.Helper()
		h.settle(t)
		before := len(h.Asked)
		for range 3 {
			_, err := h.once(t.Context())
			must(t, err)
		}
		if written := h.Asked[before:]; len(written) > 0 {
			t.Errorf("%s: written is %q", at, written)
		}
	}
	quiet("without a Machine")
	p.makeMachine(t)
	p.makeCluster(t)
	quiet("without infrastructure")
	p.provisionCluster(t)
	p.giveBootstrapData(t)
	quiet("with a claim")
	claim := p.claim(t)
	provision(t, claim)
	quiet("provisioned")
	must(t, direct.Delete(t.Context(), p.hm))
	quiet("being deleted")
}

// TestProviderIDComesFirst: a host must never be told an id that is not written.
func TestProviderIDComesFirst(t *testing.T) {
	p := byHand(t).begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	if want := []string{"patch HostMachine", "apply Secret", "create MachineClaim", "patch status of HostMachine"}; !slices.Equal(h.Kinds, want) {
		t.Errorf("written is %q, want %q", h.Kinds, want)
	}
	if !slices.Contains(p.read(t).Finalizers, teapotv1.HostMachineFinalizer) || p.hm.Spec.ProviderID != "teapot://"+p.hm.Namespace+"-1" || h.ids != 1 {
		t.Errorf("finalizers are %v, the id is %q after %d", p.hm.Finalizers, p.hm.Spec.ProviderID, h.ids)
	}
}

// TestAnIDOfTheAuthorIsKept, as after clusterctl move.
func TestAnIDOfTheAuthorIsKept(t *testing.T) {
	p := byHand(t)
	p.hm.Spec.ProviderID = "teapot://brought-along"
	p.begun(t)
	h := newHand(t, p, clock.RealClock{}, "", 0)
	h.settle(t)
	if p.read(t).Spec.ProviderID != "teapot://brought-along" || h.ids != 0 {
		t.Errorf("the id is %q", p.hm.Spec.ProviderID)
	}
}

// TestWaitsBecomeProblems: what Cluster API does not do in time is a person's to look at.
func TestWaitsBecomeProblems(t *testing.T) {
	p := byHand(t)
	p.makeHostMachine(t)
	p.makeMachine(t)
	p.makeCluster(t)
	p.provisionCluster(t)
	result := newHand(t, p, clock.RealClock{}, "", 0).settle(t)
	if meta.IsStatusConditionTrue(p.read(t).Status.Conditions, teapotv1.StalledCondition) {
		t.Errorf("it is Stalled at once: %+v", p.hm.Status.Conditions)
	}
	if result.RequeueAfter <= 0 || result.RequeueAfter > 10*time.Minute {
		t.Errorf("it is looked at again after %s", result.RequeueAfter)
	}
	h := newHand(t, p, later(11*time.Minute), "", 0)
	h.settle(t)
	must(t, say(p.read(t).Status.Conditions, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonWaitingForBootstrapData, "dataSecretName"))
	if told := h.told(); len(told) != 1 {
		t.Errorf("told is %q, want it once", told)
	}
	p.giveBootstrapData(t)
	h.settle(t)
	if meta.IsStatusConditionTrue(p.read(t).Status.Conditions, teapotv1.StalledCondition) {
		t.Errorf("it is Stalled with a claim: %+v", p.hm.Status.Conditions)
	}
}
