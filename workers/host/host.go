package host

import (
	"strconv"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Metal3's kinds, under the names by which the rest of Teapot speaks of them.
type (
	Object     = metal3v1.BareMetalHost
	List       = metal3v1.BareMetalHostList
	Policy     = metal3v1.HostDeployPolicy
	PolicyList = metal3v1.HostDeployPolicyList
)

// AddToScheme adds Metal3's kinds to a scheme.
var AddToScheme = metal3v1.AddToScheme

// HolderKind is the kind that Teapot writes into consumerRef.
const HolderKind = "MachineClaim"

// UnhealthyAnnotation is on a host that Cluster API's Metal3 provider found to be broken
// (metal3-io/cluster-api-provider-metal3, baremetal/metal3machine_manager.go). Operators may set
// it by hand; no claim takes such a host.
const UnhealthyAnnotation = "capm3.metal3.io/unhealthy"

// Host is what Teapot reads of a BareMetalHost. It shares memory with the object that it was made
// from and changes nothing of it.
type Host struct {
	Key types.NamespacedName
	UID types.UID
	// Revision is the object's resource version.
	Revision string
	Labels   map[string]string
	// Holder is consumerRef; nil: nobody holds the host.
	Holder *corev1.ObjectReference
	// State is the provisioning state in Metal3's words.
	State string
	// Operational is the operational status in Metal3's words ("OK", "error", "delayed", …).
	Operational string
	// Error is the provisioner's message, and ErrorKind its class ("provisioning error", …).
	Error, ErrorKind string

	Deleting, Paused, Detached, Unhealthy, ExternallyProvisioned bool

	// Asked is the URL of the image that is asked for, Written the one that is on the disk.
	Asked, Written string
	// AskedData says that anything else is left of a use: a custom deploy, or user, meta or
	// network data.
	AskedData bool
	// EverWritten says that an image was written to the host, or begun to be, at any time.
	EverWritten bool
	// Online is whether the power should be on, PoweredOn whether it is, as last seen.
	Online, PoweredOn bool
	// KeepsPower says that the host's power must not be switched off (disablePowerOff).
	KeepsPower bool
	// CleaningDisabled says that nothing is erased when the host is given back.
	CleaningDisabled bool
	// UncleanedFor is whose data may be on the disk, as Tenant.String writes it; empty: nobody's.
	UncleanedFor string
	// FailureDomain is where the host is.
	FailureDomain string

	cost    string
	details *metal3v1.HardwareDetails
}

// Of reads a host.
func Of(o *Object) Host {
	h := Host{
		Key:                   types.NamespacedName{Namespace: o.Namespace, Name: o.Name},
		UID:                   o.UID,
		Revision:              o.ResourceVersion,
		Labels:                o.Labels,
		Holder:                o.Spec.ConsumerRef,
		State:                 string(o.Status.Provisioning.State),
		Operational:           string(o.Status.OperationalStatus),
		Error:                 o.Status.ErrorMessage,
		ErrorKind:             string(o.Status.ErrorType),
		Deleting:              !o.DeletionTimestamp.IsZero(),
		ExternallyProvisioned: o.Spec.ExternallyProvisioned,
		Written:               o.Status.Provisioning.Image.URL,
		AskedData:             o.Spec.CustomDeploy != nil || o.Spec.UserData != nil || o.Spec.MetaData != nil || o.Spec.NetworkData != nil,
		EverWritten:           !o.Status.OperationHistory.Provision.Start.IsZero(),
		Online:                o.Spec.Online,
		PoweredOn:             o.Status.PoweredOn,
		KeepsPower:            o.Spec.DisablePowerOff,
		CleaningDisabled:      o.Spec.AutomatedCleaningMode == metal3v1.CleaningModeDisabled,
		UncleanedFor:          o.Annotations[teapotv1.UncleanedForAnnotation],
		FailureDomain:         o.Labels[teapotv1.FailureDomainLabel],
		cost:                  o.Annotations[teapotv1.CostAnnotation],
		details:               o.Status.HardwareDetails,
	}
	if o.Spec.Image != nil {
		h.Asked = o.Spec.Image.URL
	}
	_, h.Paused = o.Annotations[metal3v1.PausedAnnotation]
	_, h.Detached = o.Annotations[metal3v1.DetachedAnnotation]
	h.Detached = h.Detached || o.Status.OperationalStatus == metal3v1.OperationalStatusDetached
	_, h.Unhealthy = o.Annotations[UnhealthyAnnotation]
	return h
}

// Available says that the host waits for an image.
func (h *Host) Available() bool {
	return h.State == string(metal3v1.StateAvailable) || h.State == string(metal3v1.StateReady)
}

// Provisioned says that the host runs this image, and is to go on doing so.
func (h *Host) Provisioned(image string) bool {
	return h.State == string(metal3v1.StateProvisioned) && h.Asked == image && h.Written == image
}

// Deprovisioning says that what is on the disk is being removed.
func (h *Host) Deprovisioning() bool { return h.State == string(metal3v1.StateDeprovisioning) }

// ProvisioningFailed says that the image could not be written. The operator deprovisions the host
// then and begins again, for ever.
func (h *Host) ProvisioningFailed() bool {
	return h.State == string(metal3v1.StateProvisioning) && h.ErrorKind == string(metal3v1.ProvisioningError)
}

// Stuck says in words why the operator makes no progress with the host; empty: it does.
func (h *Host) Stuck() string {
	switch {
	case h.Paused:
		return "paused (annotation " + metal3v1.PausedAnnotation + ")"
	case h.Detached:
		return "detached (annotation " + metal3v1.DetachedAnnotation + ")"
	case h.State == string(metal3v1.StateUnmanaged):
		return "unmanaged: it names no management controller"
	case h.State == string(metal3v1.StateExternallyProvisioned) || h.ExternallyProvisioned:
		return "externally provisioned: only its power is managed"
	default:
		return ""
	}
}

// Cost is the operator's own cost of the host, if it was given and is a number.
func (h *Host) Cost() (float64, bool) {
	if h.cost == "" {
		return 0, false
	}
	cost, err := strconv.ParseFloat(h.cost, 64)
	return cost, err == nil
}

// Holder is who may hold a host: a MachineClaim.
type Holder struct {
	types.NamespacedName
	UID types.UID
	// Host is the host that the claim's own annotation names.
	Host string
}

// HolderOf reads who a MachineClaim, whose metadata are enough, is to a host.
func HolderOf(claim metav1.Object) Holder {
	return Holder{
		NamespacedName: types.NamespacedName{Namespace: claim.GetNamespace(), Name: claim.GetName()},
		UID:            claim.GetUID(),
		Host:           claim.GetAnnotations()[teapotv1.HostAnnotation],
	}
}

// ClaimOf returns the MachineClaim that consumerRef names, if it names one.
func (h *Host) ClaimOf() (types.NamespacedName, bool) {
	if h.Holder == nil || h.Holder.Kind != HolderKind {
		return types.NamespacedName{}, false
	}
	if gv, err := schema.ParseGroupVersion(h.Holder.APIVersion); err != nil || gv.Group != teapotv1.GroupVersion.Group {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: h.Holder.Namespace, Name: h.Holder.Name}, true
}

// HeldBy says whether the claim holds the host: consumerRef names it and carries its UID, or the
// claim in turn names the host. The latter is so after `clusterctl move`, which makes objects
// anew with other UIDs.
func (h *Host) HeldBy(claim Holder) bool {
	name, ok := h.ClaimOf()
	return ok && name == claim.NamespacedName && (h.Holder.UID == claim.UID || claim.Host == h.Key.String())
}

// Addresses are the host's names and addresses as inspection saw them.
func Addresses(o *Object) []clusterv1.MachineAddress {
	details := o.Status.HardwareDetails
	if details == nil {
		return nil
	}
	var addresses []clusterv1.MachineAddress
	if details.Hostname != "" {
		addresses = append(addresses, clusterv1.MachineAddress{Type: clusterv1.MachineHostName, Address: details.Hostname})
	}
	for _, nic := range details.NIC {
		if nic.IP != "" {
			addresses = append(addresses, clusterv1.MachineAddress{Type: clusterv1.MachineInternalIP, Address: nic.IP})
		}
	}
	return addresses
}
