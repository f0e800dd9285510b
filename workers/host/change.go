package host

import (
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Take makes the claim the holder of a host that nobody holds, or writes the claim's newer UID
// into a host that it holds already. The UID of its namespace is noted, since nothing else says
// whose data are on the disk once the namespace is gone.
func Take(o *Object, claim Holder, namespace types.UID) {
	metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.HolderNamespaceAnnotation, string(namespace))
	o.Spec.ConsumerRef = &corev1.ObjectReference{
		APIVersion: teapotv1.GroupVersion.String(), Kind: HolderKind,
		Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
	}
}

// Provisioning is what a host is provisioned with.
type Provisioning struct {
	Image teapotv1.Image
	// UserData, MetaData and NetworkData are names of Secrets beside the host; empty: none.
	UserData, MetaData, NetworkData string
	// Cleaning is what is erased when the host is given back.
	Cleaning teapotv1.AutomatedCleaningMode
}

// Provision asks for an image, and for power, without which none is written. A host whose
// operator disabled cleaning stays so; a claim can disable it for the time of its own use.
func Provision(o *Object, p Provisioning) {
	image := &metal3v1.Image{URL: p.Image.URL}
	if p.Image.Checksum != "" {
		image.Checksum, image.ChecksumType = p.Image.Checksum, metal3v1.AutoChecksum
	}
	if p.Image.Format != "" {
		image.DiskFormat = ptr.To(string(p.Image.Format))
	}
	o.Spec.Image, o.Spec.CustomDeploy = image, nil
	o.Spec.UserData = beside(o, p.UserData)
	o.Spec.MetaData = beside(o, p.MetaData)
	o.Spec.NetworkData = beside(o, p.NetworkData)
	o.Spec.Online = true
	if p.Cleaning == teapotv1.CleaningDisabled && o.Spec.AutomatedCleaningMode != metal3v1.CleaningModeDisabled {
		metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.CleaningModeAnnotation, string(o.Spec.AutomatedCleaningMode))
		o.Spec.AutomatedCleaningMode = metal3v1.CleaningModeDisabled
	}
}

func beside(o *Object, secret string) *corev1.SecretReference {
	if secret == "" {
		return nil
	}
	return &corev1.SecretReference{Namespace: o.Namespace, Name: secret}
}

// SetPower switches a host on or off.
func SetPower(o *Object, on bool) { o.Spec.Online = on }

// Deprovision takes away all that a claim asked for, so that the host is deprovisioned and
// cleaned. A host that was written to and is not cleaned is marked with the namespace of its
// holder in the same write.
func Deprovision(o *Object) {
	h := Of(o)
	if h.CleaningDisabled && (h.Asked != "" || h.Written != "" || !h.Available()) {
		markUncleaned(o)
	}
	o.Spec.Image, o.Spec.CustomDeploy = nil, nil
	o.Spec.UserData, o.Spec.MetaData, o.Spec.NetworkData = nil, nil, nil
	if !o.Spec.DisablePowerOff {
		o.Spec.Online = false
	}
}

// Free ends the claim's hold of a host that is Released. A person who disabled cleaning while the
// host was being cleaned got it past a failure, not clean: that is marked, too.
func Free(o *Object) {
	if h := Of(o); h.CleaningDisabled && h.EverWritten {
		markUncleaned(o)
	}
	if mode, changed := o.Annotations[teapotv1.CleaningModeAnnotation]; changed {
		o.Spec.AutomatedCleaningMode = metal3v1.AutomatedCleaningMode(mode)
		delete(o.Annotations, teapotv1.CleaningModeAnnotation)
	}
	delete(o.Annotations, teapotv1.HolderNamespaceAnnotation)
	o.Spec.ConsumerRef = nil
}

// markUncleaned keeps the host for the tenant whose data may be on it. A mark that is there stays:
// then the data of its tenant were never erased either, and who may get the host is for an
// operator to say. Of a host that an older Teapot took the namespace's UID is not known: nobody
// gets it.
func markUncleaned(o *Object) {
	if o.Spec.ConsumerRef == nil || o.Annotations[teapotv1.UncleanedForAnnotation] != "" {
		return
	}
	of := Tenant{Namespace: o.Spec.ConsumerRef.Namespace, UID: types.UID(o.Annotations[teapotv1.HolderNamespaceAnnotation])}
	metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.UncleanedForAnnotation, of.String())
}
