package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// free is a host that any claim can take.
func free() *Object {
	o := &Object{ObjectMeta: metav1.ObjectMeta{
		Namespace: "machines", Name: "machine-0", UID: "host-0",
		Labels:      map[string]string{teapotv1.FailureDomainLabel: "room-1", teapotv1.GPUCountLabel: "2", teapotv1.GPUModelLabel: "H100"},
		Annotations: map[string]string{},
	}}
	o.Spec.AutomatedCleaningMode = metal3v1.CleaningModeMetadata
	o.Status.OperationalStatus = metal3v1.OperationalStatusOK
	o.Status.Provisioning.State = metal3v1.StateAvailable
	o.Status.HardwareDetails = &metal3v1.HardwareDetails{
		RAMMebibytes: 64 << 10, Hostname: "machine-0",
		CPU: metal3v1.CPU{Arch: "x86_64", Count: 16, Flags: []string{"sse"}},
		NIC: []metal3v1.NIC{
			{Name: "eth0", MAC: "52:54:00:00:00:00", IP: "172.30.0.100", SpeedGbps: 25},
			{Name: "eth0", MAC: "52:54:00:00:00:00", IP: "fd00::1", SpeedGbps: 25},
			{Name: "eth1", MAC: "52:54:00:00:00:01", SpeedGbps: 1},
		},
		Storage: []metal3v1.Storage{
			{SizeBytes: 480 * metal3v1.GigaByte, Type: metal3v1.NVME},
			{SizeBytes: 4 * metal3v1.TeraByte, Rotational: true},
			{SizeBytes: 960 * metal3v1.GigaByte},
		},
	}
	return o
}

func changed(changes ...func(*Object)) *Object {
	o := free()
	for _, change := range changes {
		change(o)
	}
	return o
}

var acme = Holder{NamespacedName: types.NamespacedName{Namespace: "acme", Name: "worker-0"}, UID: "claim-0"}

const acmeUID = "namespace-0"

// tenant is the namespace of the claim.
var tenant = Tenant{Namespace: "acme", UID: acmeUID}

func taken(o *Object) { Take(o, acme, acmeUID) }

// uncleaned: the host was given back without having been cleaned.
func uncleaned(mark string) func(*Object) {
	return func(o *Object) { o.Annotations[teapotv1.UncleanedForAnnotation] = mark }
}

func inState(state metal3v1.ProvisioningState) func(*Object) {
	return func(o *Object) { o.Status.Provisioning.State = state }
}

func annotated(name string) func(*Object) {
	return func(o *Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, name, "") }
}

func failing(kind metal3v1.ErrorType, message string) func(*Object) {
	return func(o *Object) {
		o.Status.OperationalStatus, o.Status.ErrorType, o.Status.ErrorMessage = metal3v1.OperationalStatusError, kind, message
	}
}

func TestClaimable(t *testing.T) {
	for _, test := range []struct {
		name string
		host *Object
		want Refusal
	}{
		{"one that is free", free(), Claimable},
		{"one in the state's older name", changed(inState(metal3v1.StateReady)), Claimable},
		{"one that a claim holds", changed(taken), Taken},
		{"one that something else holds", changed(func(o *Object) { o.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Metal3Machine"} }), Taken},
		{"one that is being deleted", changed(func(o *Object) { o.DeletionTimestamp = ptr.To(metav1.Now()) }), Leaving},
		{"one with a system of its own", changed(func(o *Object) { o.Spec.ExternallyProvisioned = true }), External},
		{"one that is paused", changed(annotated(metal3v1.PausedAnnotation)), Paused},
		{"one that is detached", changed(annotated(metal3v1.DetachedAnnotation)), Detached},
		{"one that is detached still", changed(func(o *Object) { o.Status.OperationalStatus = metal3v1.OperationalStatusDetached }), Detached},
		{"one marked as broken", changed(annotated(UnhealthyAnnotation)), Unhealthy},
		{"one with an error", changed(failing(metal3v1.PowerManagementError, "no answer")), Failing},
		{"one with a message and no class", changed(func(o *Object) { o.Status.ErrorMessage = "?" }), Failing},
		{"one that is inspected", changed(inState(metal3v1.StateInspecting)), Busy},
		{"one that is prepared", changed(inState(metal3v1.StatePreparing)), Busy},
		{"one that is cleaned", changed(inState(metal3v1.StateDeprovisioning)), Busy},
		{"one that is delayed", changed(func(o *Object) { o.Status.OperationalStatus = metal3v1.OperationalStatusDelayed }), Busy},
		{"one in a state that nobody knows", changed(inState("resting")), Busy},
		{"one that is new", changed(inState(""), func(o *Object) { o.Status.OperationalStatus = "" }), Busy},
		{"one whose image somebody asks for by hand", changed(func(o *Object) { o.Spec.Image = &metal3v1.Image{URL: "http://x"} }), Used},
		{"one with user data left", changed(func(o *Object) { o.Spec.UserData = &corev1.SecretReference{Name: "x"} }), Used},
		{"one that another namespace left unclean", changed(uncleaned("other/namespace-0")), Unclean},
		{"one that this namespace left unclean", changed(uncleaned("acme/namespace-0")), Claimable},
		{"one that a namespace left unclean which had this name before", changed(uncleaned("acme/namespace-before")), Unclean},
		{"one that an older Teapot marked, by the name alone", changed(uncleaned("acme")), Unclean},
		{"one with a mark that lacks the UID", changed(uncleaned("acme/")), Unclean},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := Of(test.host)
			if got := h.Claimable(tenant); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A tenant of which not all is known gets no host that is kept for anybody.
func TestUnknownTenants(t *testing.T) {
	for _, mark := range []string{"acme", "acme/", "acme/namespace-0", "/", "/namespace-0"} {
		for _, by := range []Tenant{{}, {Namespace: "acme"}, {UID: acmeUID}} {
			if h := Of(changed(uncleaned(mark))); h.Claimable(by) != Unclean {
				t.Errorf("%+v gets a host that is kept for %q", by, mark)
			}
		}
	}
}

func TestHeldBy(t *testing.T) {
	held := Of(changed(taken))
	moved := Holder{NamespacedName: acme.NamespacedName, UID: "after the move", Host: "machines/machine-0"}
	foreign := Of(changed(func(o *Object) {
		o.Spec.ConsumerRef = &corev1.ObjectReference{APIVersion: "other.dev/v1", Kind: "MachineClaim", Namespace: "acme", Name: "worker-0", UID: "claim-0"}
	}))
	nobodys := Of(free())
	for _, test := range []struct {
		name  string
		host  *Host
		claim Holder
		want  bool
	}{
		{"the claim that took it", &held, acme, true},
		{"the same claim after a move: another UID, and it names the host", &held, moved, true},
		{"a claim of the same name, made anew", &held, Holder{NamespacedName: acme.NamespacedName, UID: "another"}, false},
		{"a claim of the same name that names another host", &held, Holder{NamespacedName: acme.NamespacedName, UID: "another", Host: "machines/machine-1"}, false},
		{"a claim that only names the host", &held, Holder{NamespacedName: types.NamespacedName{Namespace: "evil", Name: "worker-0"}, UID: "evil", Host: "machines/machine-0"}, false},
		{"a kind of the same name of another group", &foreign, acme, false},
		{"nobody", &nobodys, acme, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.host.HeldBy(test.claim); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestHardware(t *testing.T) {
	h := Of(free())
	if got := []int{h.CPUs(), int(h.Memory() >> 30), h.GPUs(), h.Disks(0, ""), h.Disks(900e9, ""), h.Disks(0, "HDD"), h.Disks(0, "SSD"), h.Disks(500e9, "NVME"), h.NICs(0), h.NICs(10), h.Bandwidth()}; !cmp.Equal(got, []int{16, 64, 2, 3, 2, 1, 1, 0, 2, 1, 26}) {
		t.Errorf("hardware is %v", got)
	}
	spinning, solid := h.Storage()
	if spinning != 4e12 || solid != 1440e9 {
		t.Errorf("storage is %d and %d", spinning, solid)
	}
	unknown := Of(changed(func(o *Object) { o.Status.HardwareDetails = nil; o.Labels[teapotv1.GPUCountLabel] = "many" }))
	if unknown.Inspected() || unknown.Hardware() != nil || unknown.CPUs() != 0 || unknown.Memory() != 0 || unknown.GPUs() != 0 || unknown.NICs(0) != 0 || unknown.Disks(0, "") != 0 {
		t.Errorf("a host that was not inspected has hardware: %+v", unknown)
	}
	want := []clusterv1.MachineAddress{
		{Type: clusterv1.MachineHostName, Address: "machine-0"},
		{Type: clusterv1.MachineInternalIP, Address: "172.30.0.100"},
		{Type: clusterv1.MachineInternalIP, Address: "fd00::1"},
	}
	if diff := cmp.Diff(want, Addresses(free())); diff != "" {
		t.Error(diff)
	}
}

// TestTransform shows that what the cache keeps is all that is read.
func TestTransform(t *testing.T) {
	full := changed(taken, annotated(metal3v1.PausedAnnotation), failing(metal3v1.ProvisioningError, "no image"), func(o *Object) {
		Provision(o, Provisioning{Image: teapotv1.Image{URL: "http://x", Checksum: "abc"}, UserData: "u", Cleaning: teapotv1.CleaningDisabled})
		o.Annotations[teapotv1.CostAnnotation] = "5"
		o.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = "much"
		o.Annotations[teapotv1.UncleanedForAnnotation] = "acme/namespace-0"
		o.ResourceVersion = "12"
		o.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
		o.Status.OperationHistory.Provision.Start = metav1.Now()
		o.Spec.DisablePowerOff, o.Status.PoweredOn = true, true
	})
	kept, err := Transform(full.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := kept.(*Object)
	before, after := Of(full), Of(trimmed)
	if diff := cmp.Diff(before.Hardware(), after.Hardware()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Addresses(full), Addresses(trimmed)); diff != "" {
		t.Error(diff)
	}
	if before.Bandwidth() != after.Bandwidth() || before.Disks(0, "HDD") != after.Disks(0, "HDD") {
		t.Error("the hardware is another")
	}
	before.details, after.details = nil, nil
	if diff := cmp.Diff(before, after, cmp.AllowUnexported(Host{})); diff != "" {
		t.Error(diff)
	}
	if trimmed.ManagedFields != nil || len(trimmed.Annotations) != 4 || trimmed.Status.HardwareDetails.CPU.Flags != nil {
		t.Errorf("too much is kept: %+v", trimmed)
	}
	if tombstone, err := Transform("other"); tombstone != "other" || err != nil {
		t.Errorf("got %v and %v", tombstone, err)
	}
}
