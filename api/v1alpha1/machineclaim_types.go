package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// MachineClaim is a request for one machine. Teapot finds a BareMetalHost that suffices and that a
// HostDeployPolicy allows this namespace, has it provisioned, and gives it back clean when the
// claim is deleted.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=mc,categories=teapot
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.host.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="For",type=date,JSONPath=`.status.phaseSince`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Power",type=boolean,JSONPath=`.status.poweredOn`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS label of at most 63 characters (a-z, 0-9 and '-', no dots), since it becomes the machine's host name and the value of labels"
type MachineClaim struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	// +required
	Spec MachineClaimSpec `json:"spec"`
	// status is what was observed. It may be lost and is rebuilt.
	// +optional
	Status MachineClaimStatus `json:"status,omitempty,omitzero"`
}

// MachineClaimList is a list of MachineClaims.
//
// +kubebuilder:object:root=true
type MachineClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MachineClaim `json:"items"`
}

// MachineClaimSpec is what is wanted of a machine. What decides on the host and on what runs there is fixed
// once the claim exists, since another image or other user data would mean to wipe the machine.
//
// +kubebuilder:validation:XValidation:rule="self.image.url.startsWith('oci://') || has(self.image.checksum)",fieldPath=".image.checksum",message="is needed with an http or https image, so that what runs is what was asked for; give the image's SHA-256 sum"
// +kubebuilder:validation:XValidation:rule="self.image == oldSelf.image",fieldPath=".image",message="cannot be changed, since the machine would be wiped; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.userData) == has(oldSelf.userData) && (!has(self.userData) || self.userData == oldSelf.userData)",fieldPath=".userData",message="cannot be changed, since a machine reads it once; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.metaData) == has(oldSelf.metaData) && (!has(self.metaData) || self.metaData == oldSelf.metaData)",fieldPath=".metaData",message="cannot be changed, since a machine reads it once; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.networkData) == has(oldSelf.networkData) && (!has(self.networkData) || self.networkData == oldSelf.networkData)",fieldPath=".networkData",message="cannot be changed, since a machine reads it once; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.hostSelector) == has(oldSelf.hostSelector) && (!has(self.hostSelector) || self.hostSelector == oldSelf.hostSelector)",fieldPath=".hostSelector",message="cannot be changed; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.hardware) == has(oldSelf.hardware) && (!has(self.hardware) || self.hardware == oldSelf.hardware)",fieldPath=".hardware",message="cannot be changed; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.failureDomain) == has(oldSelf.failureDomain) && (!has(self.failureDomain) || self.failureDomain == oldSelf.failureDomain)",fieldPath=".failureDomain",message="cannot be changed; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.spread) == has(oldSelf.spread) && (!has(self.spread) || self.spread == oldSelf.spread)",fieldPath=".spread",message="cannot be changed; make a new claim"
// +kubebuilder:validation:XValidation:rule="has(self.automatedCleaningMode) == has(oldSelf.automatedCleaningMode) && (!has(self.automatedCleaningMode) || self.automatedCleaningMode == oldSelf.automatedCleaningMode)",fieldPath=".automatedCleaningMode",message="cannot be changed, since the host is told of it when it is provisioned; make a new claim"
type MachineClaimSpec struct {
	HostRequest `json:",inline"`

	// userData is the Secret of this namespace with what the machine's first-boot software runs
	// (cloud-init), in its key value or userData.
	// +optional
	UserData *SecretReference `json:"userData,omitempty"`
	// metaData is the Secret of this namespace with the machine's meta data (YAML or JSON), in its
	// key metaData or value. Teapot adds what identifies the machine.
	// +optional
	MetaData *SecretReference `json:"metaData,omitempty"`
	// networkData is the Secret of this namespace with the machine's network configuration, in its
	// key networkData or value.
	// +optional
	NetworkData *SecretReference `json:"networkData,omitempty"`

	// failureDomain is where the machine must be: the value of the host's label
	// infrastructure.cluster.x-k8s.io/failure-domain. Default: spread over all.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label infrastructure.cluster.x-k8s.io/failure-domain; leave it out for any"
	FailureDomain string `json:"failureDomain,omitempty"`

	// poweredOn says whether the machine's power is on. Default: true.
	// +optional
	// +kubebuilder:default=true
	PoweredOn *bool `json:"poweredOn,omitempty"`
}

// SecretReference names a Secret of the same namespace. Another namespace cannot be named, since
// its Secrets may not be the author's to read.
type SecretReference struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a Secret of this namespace (lower-case letters, digits, '-' and '.')"
	Name string `json:"name"`
}

// MachineClaimPhase sums up where a claim is in its life. Conditions say more.
type MachineClaimPhase string

// Phases, in the order of a claim's life.
const (
	// ClaimPending: no host is held.
	ClaimPending MachineClaimPhase = "Pending"
	// ClaimBound: a host is held, and is not being provisioned yet.
	ClaimBound MachineClaimPhase = "Bound"
	// ClaimProvisioning: the image is being written.
	ClaimProvisioning MachineClaimPhase = "Provisioning"
	// ClaimProvisioned: the host runs the image.
	ClaimProvisioned MachineClaimPhase = "Provisioned"
	// ClaimReleasing: the host is being deprovisioned and cleaned.
	ClaimReleasing MachineClaimPhase = "Releasing"
	// ClaimFailed: given up; the condition Ready says why.
	ClaimFailed MachineClaimPhase = "Failed"
)

// MachineClaimStatus is what was observed of a claim.
type MachineClaimStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, HostBound, Provisioned, Stalled, Paused.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// phase sums up where the claim is in its life.
	// +optional
	Phase MachineClaimPhase `json:"phase,omitempty"`
	// phaseSince is since when.
	// +optional
	PhaseSince *metav1.Time `json:"phaseSince,omitempty"`
	// host is the BareMetalHost that this claim holds.
	// +optional
	Host *HostReference `json:"host,omitempty"`
	// hostState is the host's provisioning state in Metal3's words, for example inspecting.
	// +optional
	HostState string `json:"hostState,omitempty"`
	// hardware is what the host has.
	// +optional
	Hardware *HardwareSummary `json:"hardware,omitempty"`
	// failureDomain is where the host is.
	// +optional
	FailureDomain string `json:"failureDomain,omitempty"`
	// addresses are the host's names and addresses.
	// +optional
	// +listType=atomic
	Addresses []clusterv1.MachineAddress `json:"addresses,omitempty"`
	// poweredOn is whether the host's power is on, as last seen.
	// +optional
	PoweredOn bool `json:"poweredOn,omitempty"`
}

// HostReference names a BareMetalHost.
type HostReference struct {
	// namespace is the host's.
	// +required
	Namespace string `json:"namespace"`
	// name is the host's.
	// +required
	Name string `json:"name"`
}

// HardwareSummary is what a host has.
type HardwareSummary struct {
	// cpus is the number of processors (threads).
	// +optional
	CPUs int32 `json:"cpus,omitempty"`
	// architecture is x86_64 or aarch64.
	// +optional
	Architecture string `json:"architecture,omitempty"`
	// memory is the amount of memory.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
	// disks is the number of disks.
	// +optional
	Disks int32 `json:"disks,omitempty"`
	// nics is the number of network interfaces.
	// +optional
	NICs int32 `json:"nics,omitempty"`
	// gpus is the number of accelerators.
	// +optional
	GPUs int32 `json:"gpus,omitempty"`
	// gpuModel is their model.
	// +optional
	GPUModel string `json:"gpuModel,omitempty"`
}
