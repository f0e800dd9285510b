package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HostRequest is what is asked of a machine: what runs on it and what it must have. It names
// no management controller (BMC) and no way of booting. Field names are those of Metal3's
// HostClaim where it has them (metal3-io/baremetal-operator, apis/metal3.io/v1alpha1).
type HostRequest struct {
	// image is what is written to the machine's disk.
	// +required
	Image Image `json:"image"`

	// hostSelector narrows the choice to hosts with certain labels.
	// +optional
	HostSelector HostSelector `json:"hostSelector,omitempty,omitzero"`

	// hardware is the least that the machine must have. Default: any machine.
	// +optional
	Hardware HardwareRequirements `json:"hardware,omitempty,omitzero"`

	// spread keeps the machines of one pool apart: those of one WorkerPool, or else of one
	// MachineDeployment, or else all others of this namespace. Of hosts that suffice, one where
	// fewer of them are is taken, by the first entry, then by the next. Default: evenly over
	// failure domains, the hosts' label infrastructure.cluster.x-k8s.io/failure-domain.
	// +optional
	// +listType=map
	// +listMapKey=topologyKey
	// +kubebuilder:validation:MaxItems=4
	Spread []HostSpread `json:"spread,omitempty"`

	// automatedCleaningMode says what is erased before the next one gets the host: metadata
	// erases partition tables and what else the provisioner's metadata steps erase; disabled
	// erases nothing, needs the verb override, and keeps the host for claims of this namespace
	// until an operator frees it.
	// +optional
	// +kubebuilder:default=metadata
	AutomatedCleaningMode AutomatedCleaningMode `json:"automatedCleaningMode,omitempty"`

	// provisioningTimeout is how long one host may take from being claimed to running the image,
	// 5m to 24h. A host that takes longer is given back, and another one is tried. Default: 1h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s))+$') && duration(self) >= duration('5m') && duration(self) <= duration('24h')",message="must be a duration between 5m and 24h, for example 45m"
	ProvisioningTimeout string `json:"provisioningTimeout,omitempty"`
}

// HostSpread keeps machines apart. Hosts with the same value of a label are one domain.
type HostSpread struct {
	// topologyKey is the hosts' label, for example example.com/rack.
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.indexOf('/') <= 253 && self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="must be the key of a label, for example example.com/rack"
	TopologyKey string `json:"topologyKey"`
	// maxPerDomain is how many machines may be in one domain at any time, those that are being
	// replaced included. A host without the label is then not taken. Default: any number.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxPerDomain int32 `json:"maxPerDomain,omitempty"`
}

// AutomatedCleaningMode is Metal3's word for what is erased of a host that is given back.
// +kubebuilder:validation:Enum=metadata;disabled
type AutomatedCleaningMode string

// Cleaning modes.
const (
	CleaningMetadata AutomatedCleaningMode = "metadata"
	CleaningDisabled AutomatedCleaningMode = "disabled"
)

// Image is a disk image that a host is provisioned with.
type Image struct {
	// url is where the provisioner gets the image, by http, https or from a registry (oci).
	// +required
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^(https?|oci)://([[][0-9a-f:.]+[]]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?)(:[0-9]{1,5})?(/[!-~]*)?$')",message="must be an http, https or oci URL with a host and without user and password, for example https://images.example.com/node-v1.36.3.qcow2"
	URL string `json:"url"`

	// checksum is the image's SHA-256 or SHA-512 sum in hexadecimal. Needed but for oci images.
	// It cannot be a URL, so that nobody has the provisioner fetch what the author does not know
	// already, nor an MD5 sum, since two images can be made to have the same.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9a-f]{64}|[0-9a-f]{128})$')",message="must be the image's SHA-256 or SHA-512 sum: 64 or 128 hexadecimal digits in lower case"
	Checksum string `json:"checksum,omitempty"`

	// format is the format of the image. Default: what the provisioner finds it to be.
	// +optional
	Format ImageFormat `json:"format,omitempty"`
}

// ImageFormat is the format of a disk image.
// +kubebuilder:validation:Enum=raw;qcow2;vdi;vmdk
type ImageFormat string

// HostSelector selects hosts by their labels.
type HostSelector struct {
	// matchLabels are labels that a host must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be those of labels, for example example.com/rack"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are rules that a host's labels must fulfil.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []HostSelectorRequirement `json:"matchExpressions,omitempty"`
}

// HostSelectorRequirement is one rule about a label of a host.
//
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : !has(self.values) || self.values.size() == 0",fieldPath=".values",message="must be given with the operators In and NotIn, and left out with Exists and DoesNotExist"
type HostSelectorRequirement struct {
	// key is the label.
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.indexOf('/') <= 253 && self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="must be the key of a label, for example example.com/rack"
	Key string `json:"key"`
	// operator is In, NotIn, Exists or DoesNotExist.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator metav1.LabelSelectorOperator `json:"operator"`
	// values are what the label is compared with.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(v, v.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",message="each must be the value of a label: letters, digits, '-', '_' and '.', not at its ends"
	Values []string `json:"values,omitempty"`
}

// HardwareRequirements is the least that a machine must have, as inspection reports it.
type HardwareRequirements struct {
	// cpu is about the processors.
	// +optional
	CPU CPURequirements `json:"cpu,omitempty,omitzero"`
	// memory is the least memory, for example 64Gi.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !string(self).matches('[eE][^i]')",message="must be an amount of bytes: a number with one of the suffixes M, G, T, Mi, Gi and Ti, for example 64Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0)",message="must be at least 1Mi and at most 1Pi, for example 64Gi; leave it out for any"
	Memory *resource.Quantity `json:"memory,omitempty"`
	// disks is about the disks.
	// +optional
	Disks DiskRequirements `json:"disks,omitempty,omitzero"`
	// nics is about the network interfaces.
	// +optional
	NICs NICRequirements `json:"nics,omitempty,omitzero"`
	// gpus is about the accelerators, which hosts are labelled with: inspection by Metal3 does
	// not report them (labels gpu.teapot.dev/count and gpu.teapot.dev/model).
	// +optional
	GPUs GPURequirements `json:"gpus,omitempty,omitzero"`
}

// CPURequirements is what the processors must be.
type CPURequirements struct {
	// minCount is the least number of processors as the operating system counts them (threads).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8192
	MinCount int32 `json:"minCount,omitempty"`
	// architecture is x86_64 or aarch64.
	// +optional
	// +kubebuilder:validation:Enum=x86_64;aarch64
	Architecture string `json:"architecture,omitempty"`
}

// DiskRequirements is what the disks must be.
type DiskRequirements struct {
	// minCount is how many disks of that size and type there must be. Default: 1, if a size or
	// type is given.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MinCount int32 `json:"minCount,omitempty"`
	// minSize is the least size of such a disk, for example 480G.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !string(self).matches('[eE][^i]')",message="must be an amount of bytes: a number with one of the suffixes M, G, T, Mi, Gi and Ti, for example 480G"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0)",message="must be at least 1Mi and at most 1Pi, for example 480G; leave it out for any"
	MinSize *resource.Quantity `json:"minSize,omitempty"`
	// type is HDD, SSD or NVME. Default: any.
	// +optional
	// +kubebuilder:validation:Enum=HDD;SSD;NVME
	Type string `json:"type,omitempty"`
}

// NICRequirements is what the network interfaces must be.
type NICRequirements struct {
	// minCount is how many interfaces of that speed there must be. Default: 1, if a speed is given.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MinCount int32 `json:"minCount,omitempty"`
	// minSpeedGbps is the least speed of such an interface in Gbit/s.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MinSpeedGbps int32 `json:"minSpeedGbps,omitempty"`
}

// GPURequirements is what the accelerators must be.
type GPURequirements struct {
	// minCount is the least number of accelerators. Default: 1, if a model is given.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MinCount int32 `json:"minCount,omitempty"`
	// model is the value that the label gpu.teapot.dev/model must have, for example H100.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label gpu.teapot.dev/model; leave it out for any"
	Model string `json:"model,omitempty"`
}
