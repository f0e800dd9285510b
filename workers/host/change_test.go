package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

var image = teapotv1.Image{URL: "https://images.example.com/node.qcow2", Checksum: strings.Repeat("a", 64), Format: "qcow2"}

func TestProvision(t *testing.T) {
	o := changed(taken)
	Provision(o, Provisioning{Image: image, UserData: "u", MetaData: "m", Cleaning: teapotv1.CleaningMetadata})
	want := changed(taken).Spec
	want.Image = &metal3v1.Image{URL: image.URL, Checksum: image.Checksum, ChecksumType: "auto", DiskFormat: ptr.To("qcow2")}
	want.UserData = &corev1.SecretReference{Namespace: "machines", Name: "u"}
	want.MetaData = &corev1.SecretReference{Namespace: "machines", Name: "m"}
	want.Online = true
	if diff := cmp.Diff(want, o.Spec); diff != "" {
		t.Error(diff)
	}
}

// use lives one use of a host as the operator would, and returns what the next one finds.
func use(o *Object, mode teapotv1.AutomatedCleaningMode, meanwhile func(*Object)) *Object {
	Take(o, acme, acmeUID)
	Provision(o, Provisioning{Image: image, UserData: "u", Cleaning: mode})
	o.Status.Provisioning.State, o.Status.Provisioning.Image.URL, o.Status.PoweredOn = metal3v1.StateProvisioned, image.URL, true
	o.Status.OperationHistory.Provision.Start = metav1.Now()
	Deprovision(o)
	if meanwhile != nil {
		meanwhile(o)
	}
	o.Status.Provisioning.State, o.Status.Provisioning.Image.URL, o.Status.PoweredOn = metal3v1.StateAvailable, "", false
	Free(o)
	return o
}

func TestUncleaned(t *testing.T) {
	disabled := func(o *Object) { o.Spec.AutomatedCleaningMode = metal3v1.CleaningModeDisabled }
	for _, test := range []struct {
		name      string
		before    *Object
		mode      teapotv1.AutomatedCleaningMode
		meanwhile func(*Object)
		uncleaned string
		after     metal3v1.AutomatedCleaningMode
	}{
		{"a use that is cleaned after leaves no mark", free(), teapotv1.CleaningMetadata, nil, "", metal3v1.CleaningModeMetadata},
		{"a claim that disables cleaning keeps the host for its namespace, and the host is as it was", free(), teapotv1.CleaningDisabled, nil, "acme/namespace-0", metal3v1.CleaningModeMetadata},
		{"a host whose operator disabled cleaning is kept as well, and stays so", changed(disabled), teapotv1.CleaningMetadata, nil, "acme/namespace-0", metal3v1.CleaningModeDisabled},
		{"both", changed(disabled), teapotv1.CleaningDisabled, nil, "acme/namespace-0", metal3v1.CleaningModeDisabled},
		{"a person who disables cleaning to get past its failure", free(), teapotv1.CleaningMetadata, disabled, "acme/namespace-0", metal3v1.CleaningModeDisabled},
		{"a mark of another namespace is not written over", changed(disabled, func(o *Object) {
			o.Annotations[teapotv1.UncleanedForAnnotation] = "first"
		}), teapotv1.CleaningMetadata, nil, "first", metal3v1.CleaningModeDisabled},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := use(test.before, test.mode, test.meanwhile)
			if got := o.Annotations[teapotv1.UncleanedForAnnotation]; got != test.uncleaned {
				t.Errorf("it is kept for %q, want %q", got, test.uncleaned)
			}
			if got := o.Spec.AutomatedCleaningMode; got != test.after {
				t.Errorf("its cleaning mode is %q, want %q", got, test.after)
			}
			if _, left := o.Annotations[teapotv1.CleaningModeAnnotation]; left {
				t.Error("the note of its cleaning mode is left")
			}
			if _, left := o.Annotations[teapotv1.HolderNamespaceAnnotation]; left {
				t.Error("the UID of its holder's namespace is left")
			}
			if h := Of(o); h.InUse() || h.Holder != nil {
				t.Errorf("something is left of the use: %+v", o.Spec)
			}
		})
	}
	t.Run("one that an older Teapot took is kept for nobody", func(t *testing.T) {
		o := changed(disabled, taken, inState(metal3v1.StateProvisioned))
		delete(o.Annotations, teapotv1.HolderNamespaceAnnotation)
		Deprovision(o)
		inState(metal3v1.StateAvailable)(o)
		Free(o)
		h := Of(o)
		if h.UncleanedFor != "acme" || h.Claimable(tenant) != Unclean || h.KeptFor() != (Tenant{}) {
			t.Errorf("it is kept for %q", h.UncleanedFor)
		}
	})
	t.Run("one that was never written to leaves no mark", func(t *testing.T) {
		o := changed(disabled)
		Take(o, acme, acmeUID)
		Deprovision(o)
		Free(o)
		if got := o.Annotations[teapotv1.UncleanedForAnnotation]; got != "" {
			t.Errorf("it is kept for %q", got)
		}
	})
}

func TestReleased(t *testing.T) {
	for _, test := range []struct {
		name string
		host *Object
		want string
	}{
		{"one that is back", changed(taken), ""},
		{"one with an image", changed(taken, func(o *Object) { o.Spec.Image = &metal3v1.Image{URL: "x"} }), "its image is still asked for"},
		{"one that is to be on", changed(taken, func(o *Object) { o.Spec.Online = true }), "its image is still asked for"},
		{"one that must not be switched off", changed(taken, func(o *Object) { o.Spec.Online, o.Status.PoweredOn, o.Spec.DisablePowerOff = true, true, true }), ""},
		{"one that runs still", changed(taken, inState(metal3v1.StateProvisioned)), "it is provisioned"},
		{"one that is cleaned", changed(taken, inState(metal3v1.StateDeprovisioning)), "it is deprovisioning"},
		{"one that cannot be cleaned", changed(taken, inState(metal3v1.StateDeprovisioning), failing(metal3v1.ProvisioningError, "erasing failed")), "provisioning error: erasing failed"},
		{"one that is on still", changed(taken, func(o *Object) { o.Status.PoweredOn = true }), "its power is on"},
		{"one with an image on its disk", changed(taken, func(o *Object) { o.Status.Provisioning.Image.URL = "x" }), "it is available"},
		{"one that is new to the operator", changed(taken, inState("")), "it is in no state yet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := Of(test.host)
			if released, waits := h.Released(); released != (test.want == "") || waits != test.want {
				t.Errorf("got %v, %q, want %q", released, waits, test.want)
			}
		})
	}
	t.Run("power stays where it must", func(t *testing.T) {
		o := changed(taken, func(o *Object) { o.Spec.Online, o.Spec.DisablePowerOff = true, true })
		if Deprovision(o); !o.Spec.Online {
			t.Error("a host with disablePowerOff is switched off")
		}
	})
}

func TestSecrets(t *testing.T) {
	longest := types.NamespacedName{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("x", 63)}
	for _, claim := range []types.NamespacedName{acme.NamespacedName, longest} {
		for kind, suffix := range map[Data]string{UserData: "-user-data", MetaData: "-meta-data", NetworkData: "-network-data"} {
			secret := Secret(free(), claim, kind, []byte("content"))
			if wrong := validation.IsDNS1123Subdomain(secret.Name); wrong != nil || secret.Name != claim.Namespace+"."+claim.Name+suffix {
				t.Errorf("name %s: %v", secret.Name, wrong)
			}
			if secret.Labels[teapotv1.ClaimNamespaceLabel] != claim.Namespace || secret.Labels[teapotv1.ClaimNameLabel] != claim.Name || secret.Labels[teapotv1.ManagedByLabel] != "teapot" {
				t.Errorf("labels are %v", secret.Labels)
			}
			if string(secret.Data[string(kind)]) != "content" || secret.OwnerReferences[0].UID != "host-0" || secret.Namespace != "machines" {
				t.Errorf("Secret is %+v", secret)
			}
		}
	}
}
