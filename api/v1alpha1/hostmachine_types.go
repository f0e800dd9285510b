package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// HostMachine is the machine behind a Machine of Cluster API. It makes one MachineClaim.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=hm,categories={teapot,cluster-api}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.metadata.labels['cluster\.x-k8s\.io/cluster-name']`
// +kubebuilder:printcolumn:name="Machine",type=string,JSONPath=`.metadata.ownerReferences[?(@.kind=="Machine")].name`
// +kubebuilder:printcolumn:name="Provisioned",type=boolean,JSONPath=`.status.initialization.provisioned`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.status.host.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Provider ID",type=string,priority=1,JSONPath=`.spec.providerID`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS label of at most 63 characters (a-z, 0-9 and '-', no dots), since it becomes the machine's host name and the value of labels"
type HostMachine struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	// +required
	Spec HostMachineSpec `json:"spec"`
	// status is what was observed. It may be lost and is rebuilt.
	// +optional
	Status HostMachineStatus `json:"status,omitempty,omitzero"`
}

// HostMachineList is a list of HostMachines.
//
// +kubebuilder:object:root=true
type HostMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HostMachine `json:"items"`
}

// HostMachineSpec is what is wanted of a machine. It is fixed once the machine exists, as Cluster
// API has it: a change is a new template and so new machines.
//
// +kubebuilder:validation:XValidation:rule="self.image.url.startsWith('oci://') || has(self.image.checksum)",fieldPath=".image.checksum",message="is needed with an http or https image, so that what runs is what was asked for; give the image's SHA-256 sum"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.providerID) || (has(self.providerID) && self.providerID == oldSelf.providerID)",fieldPath=".providerID",message="cannot be changed, since the Node carries it; leave it as it is"
// +kubebuilder:validation:XValidation:rule="self.image == oldSelf.image",fieldPath=".image",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
// +kubebuilder:validation:XValidation:rule="has(self.hostSelector) == has(oldSelf.hostSelector) && (!has(self.hostSelector) || self.hostSelector == oldSelf.hostSelector)",fieldPath=".hostSelector",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
// +kubebuilder:validation:XValidation:rule="has(self.hardware) == has(oldSelf.hardware) && (!has(self.hardware) || self.hardware == oldSelf.hardware)",fieldPath=".hardware",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
// +kubebuilder:validation:XValidation:rule="has(self.spread) == has(oldSelf.spread) && (!has(self.spread) || self.spread == oldSelf.spread)",fieldPath=".spread",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
// +kubebuilder:validation:XValidation:rule="has(self.automatedCleaningMode) == has(oldSelf.automatedCleaningMode) && (!has(self.automatedCleaningMode) || self.automatedCleaningMode == oldSelf.automatedCleaningMode)",fieldPath=".automatedCleaningMode",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
// +kubebuilder:validation:XValidation:rule="has(self.provisioningTimeout) == has(oldSelf.provisioningTimeout) && (!has(self.provisioningTimeout) || self.provisioningTimeout == oldSelf.provisioningTimeout)",fieldPath=".provisioningTimeout",message="cannot be changed on a machine; change the HostMachineTemplate, and new machines follow it"
type HostMachineSpec struct {
	// providerID is teapot://<id>, which Teapot writes once, before a host is known. The Node of
	// the machine carries the same.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^teapot://[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be teapot:// and an id of lower-case letters, digits and '-'; leave it out, and Teapot writes it"
	ProviderID string `json:"providerID,omitempty"`

	HostRequest `json:",inline"`
}

// HostMachineStatus is what was observed of a machine.
type HostMachineStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// initialization says what Cluster API waits for.
	// +optional
	Initialization HostMachineInitialization `json:"initialization,omitempty,omitzero"`
	// conditions: Ready, BootstrapTokenRemoved, Paused, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// addresses are the machine's names and addresses.
	// +optional
	// +listType=atomic
	Addresses []clusterv1.MachineAddress `json:"addresses,omitempty"`
	// failureDomain is where the machine is.
	// +optional
	FailureDomain string `json:"failureDomain,omitempty"`
	// host is the BareMetalHost behind the machine.
	// +optional
	Host *HostReference `json:"host,omitempty"`
}

// HostMachineInitialization says what Cluster API waits for.
// +kubebuilder:validation:MinProperties=1
type HostMachineInitialization struct {
	// provisioned is true once the host runs the image.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// HostMachineTemplate is what a MachineDeployment of Cluster API makes HostMachines from.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=hmt,categories={teapot,cluster-api}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="CPU",type=string,JSONPath=`.status.capacity.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.status.capacity.memory`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
type HostMachineTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec holds the template.
	// +required
	Spec HostMachineTemplateSpec `json:"spec"`
	// status is what a machine of this template has at least, for the autoscaler.
	// +optional
	Status HostMachineTemplateStatus `json:"status,omitempty,omitzero"`
}

// HostMachineTemplateList is a list of HostMachineTemplates.
//
// +kubebuilder:object:root=true
type HostMachineTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HostMachineTemplate `json:"items"`
}

// HostMachineTemplateSpec holds the template.
type HostMachineTemplateSpec struct {
	// template is what HostMachines are made from.
	// +required
	Template HostMachineTemplateResource `json:"template"`
}

// HostMachineTemplateResource is what HostMachines are made from.
type HostMachineTemplateResource struct {
	// metadata is copied to each HostMachine.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is copied to each HostMachine.
	// +required
	Spec HostMachineTemplateResourceSpec `json:"spec"`
}

// HostMachineTemplateResourceSpec is the spec of a HostMachine without what is one machine's alone.
//
// +kubebuilder:validation:XValidation:rule="self.image.url.startsWith('oci://') || has(self.image.checksum)",fieldPath=".image.checksum",message="is needed with an http or https image, so that what runs is what was asked for; give the image's SHA-256 sum"
type HostMachineTemplateResourceSpec struct {
	HostRequest `json:",inline"`
}

// HostMachineTemplateStatus is what a machine of the template has at least, so that an autoscaler
// can scale from zero.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine#inframachinetemplate-support-cluster-autoscaling-from-zero
type HostMachineTemplateStatus struct {
	// capacity is cpu, memory and ephemeral-storage of the smallest host that the template
	// would take.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`
	// nodeInfo is the operating system and architecture.
	// +optional
	NodeInfo NodeInfo `json:"nodeInfo,omitempty,omitzero"`
}

// NodeInfo is what a Node of the template would say of its system.
// +kubebuilder:validation:MinProperties=1
type NodeInfo struct {
	// architecture is amd64 or arm64, Go's words.
	// +optional
	// +kubebuilder:validation:Enum=amd64;arm64
	Architecture string `json:"architecture,omitempty"`
	// operatingSystem is linux.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	OperatingSystem string `json:"operatingSystem,omitempty"`
}
