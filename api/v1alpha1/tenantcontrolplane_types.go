package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TenantControlPlane is one hosted Kubernetes control plane: kube-apiserver,
// controller-manager, scheduler, konnectivity and etcd as pods of the management
// cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=tcp,categories=teapot
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint.url`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Namespace of pods",type=string,priority=1,JSONPath=`.status.namespace`
// +kubebuilder:printcolumn:name="Certificates expire",type=string,format=date-time,priority=1,JSONPath=`.status.certificatesExpire`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name: must be at most 50 characters, since the name of the control plane's own namespace is made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS label (a-z, 0-9 and '-', no dots), since host names are made from it"
type TenantControlPlane struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	// +required
	Spec TenantControlPlaneSpec `json:"spec"`
	// status is what was observed. It may be lost and is rebuilt.
	// +optional
	Status TenantControlPlaneStatus `json:"status,omitempty,omitzero"`
}

// TenantControlPlaneList is a list of TenantControlPlanes.
//
// +kubebuilder:object:root=true
type TenantControlPlaneList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TenantControlPlane `json:"items"`
}

// TenantControlPlaneSpec is what is wanted of a control plane.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.endpoint.konnectivityPort) || !has(self.addons) || !has(self.addons.konnectivity) || !has(self.addons.konnectivity.enabled) || self.addons.konnectivity.enabled",fieldPath=".endpoint.konnectivityPort",message="has no meaning without konnectivity; leave it out, or set spec.addons.konnectivity.enabled to true"
type TenantControlPlaneSpec struct {
	// version is the Kubernetes version of the control plane, with a leading v, for
	// example v1.36.3. This Teapot runs v1.35 and v1.36.
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^v[0-9]+([.](0|[1-9][0-9]*)){2}$')",message="must be a released version of Kubernetes in the form vMAJOR.MINOR.PATCH, for example v1.36.3"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^v[0-9]+([.](0|[1-9][0-9]*)){2}$') || self.matches('^v1[.](35|36)[.]')",message="this Teapot runs Kubernetes v1.35 and v1.36; ask for one of these, for example v1.36.3"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^v1([.][0-9]{1,9}){2}$') || !oldSelf.matches('^v1([.][0-9]{1,9}){2}$') || int(self.split('.')[1]) == int(oldSelf.split('.')[1]) || int(self.split('.')[1]) == int(oldSelf.split('.')[1]) + 1",messageExpression="'cannot go from ' + oldSelf + ' to ' + self + ': etcd data is not readable by an older minor version and upgrades go one minor at a time; ask for a version of the same minor or the next'",message="cannot go back to an older minor version, nor skip one; ask for a version of the same minor or the next"
	Version string `json:"version"`

	// replicas is the number of control-plane pods, each with a kube-apiserver, a
	// controller-manager and a scheduler.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	Replicas *int32 `json:"replicas,omitempty"`

	// endpoint is how the tenant's machines and users reach the API.
	// +optional
	// +kubebuilder:default={}
	Endpoint EndpointSpec `json:"endpoint,omitempty,omitzero"`

	// network is the tenant cluster's own addressing. It cannot be changed later.
	// +optional
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed after creation; make a new control plane"
	Network NetworkSpec `json:"network,omitempty,omitzero"`

	// datastore is where the tenant's state is kept.
	// +optional
	// +kubebuilder:default={}
	Datastore DatastoreSpec `json:"datastore,omitempty,omitzero"`

	// components holds settings of the single components.
	// +optional
	Components ComponentsSpec `json:"components,omitempty,omitzero"`

	// addons are what Teapot installs inside the tenant's cluster.
	// +optional
	// +kubebuilder:default={}
	Addons AddonsSpec `json:"addons,omitempty,omitzero"`

	// runtimeClassName is the RuntimeClass of the management cluster under which the
	// control-plane and etcd pods run, for example kata. Default: the node's own runtime.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a RuntimeClass (lower-case letters, digits, '-' and '.'), for example kata; leave it out for the default"
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// deletionPolicy says what becomes of the tenant's data when this object is
	// deleted: Delete removes everything; Retain keeps etcd's volumes and the keys in
	// the control plane's own namespace, labelled teapot.dev/retained.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// paused stops all reconciling of this control plane, its deletion included.
	// What runs goes on running.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// DeletionPolicy says what becomes of a tenant's data.
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

// Values of DeletionPolicy.
const (
	DeletionPolicyDelete DeletionPolicy = "Delete"
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// EndpointType is the kind of Service that leads machines and users to the API.
// +kubebuilder:validation:Enum=NodePort;LoadBalancer;ClusterIP
type EndpointType string

// Values of EndpointType.
const (
	EndpointNodePort     EndpointType = "NodePort"
	EndpointLoadBalancer EndpointType = "LoadBalancer"
	EndpointClusterIP    EndpointType = "ClusterIP"
)

// EndpointSpec is how the tenant's machines and users reach the API.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'NodePort' || !has(self.port) || (self.port >= 30000 && self.port <= 32767)",fieldPath=".port",message="must be between 30000 and 32767 for type NodePort (the range of node ports); leave it out to have one chosen"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'NodePort' || !has(self.konnectivityPort) || (self.konnectivityPort >= 30000 && self.konnectivityPort <= 32767)",fieldPath=".konnectivityPort",message="must be between 30000 and 32767 for type NodePort (the range of node ports); leave it out to have one chosen"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || (has(self.port) ? self.port : (self.type == 'NodePort' ? 0 : 6443)) != (has(self.konnectivityPort) ? self.konnectivityPort : (self.type == 'NodePort' ? -1 : 8132))",fieldPath=".konnectivityPort",message="must differ from spec.endpoint.port (left out, they are 8132 and 6443); choose another port for one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'ClusterIP' || !has(self.host)",fieldPath=".host",message="cannot be set for type ClusterIP, whose address is that of its Service; leave it out, or use type NodePort or LoadBalancer"
// +kubebuilder:validation:XValidation:rule="has(self.type) == has(oldSelf.type) && (!has(self.type) || self.type == oldSelf.type)",fieldPath=".type",message="cannot be changed after creation, since machines know the old address; make a new control plane"
type EndpointSpec struct {
	// type is the kind of Service. NodePort and LoadBalancer are for control planes
	// with machines; ClusterIP is reached from inside the management cluster only.
	// +optional
	// +kubebuilder:default=NodePort
	Type EndpointType `json:"type,omitempty"`

	// host is the IP address or DNS name by which machines and users reach the API.
	// Default: for NodePort the manager's --node-port-address, or else an internal
	// address of a node of the management cluster, kept once chosen; for LoadBalancer the address that
	// the load balancer gives.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="isIP(self) || (self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') && !self.matches('^[0-9.]+$'))",message="must be an IP address or a DNS name in lower case, without scheme and port; the port is spec.endpoint.port"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast()",message="must be an address that machines can dial, not an unspecified, loopback, link-local or multicast one"
	Host string `json:"host,omitempty"`

	// port is the port of the API: a node port for NodePort (default: one is chosen),
	// otherwise the Service's port (default 6443).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// konnectivityPort is the port by which konnectivity agents come: a node port for
	// NodePort (default: one is chosen), otherwise the Service's port (default 8132).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	KonnectivityPort *int32 `json:"konnectivityPort,omitempty"`

	// subjectAltNames are further DNS names and IP addresses that the API server's
	// certificate is valid for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(n, isIP(n) || (n.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') && !n.matches('^[0-9.]+$')))",message="each must be an IP address or a DNS name in lower case, without scheme and port; a name may begin with '*.'"
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
}

// NetworkSpec is the tenant cluster's own addressing.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceCIDR) || !has(self.podCIDR) || !isCIDR(self.serviceCIDR) || !isCIDR(self.podCIDR) || cidr(self.serviceCIDR).ip().family() != cidr(self.podCIDR).ip().family() || !(cidr(self.serviceCIDR).containsIP(cidr(self.podCIDR).ip()) || cidr(self.podCIDR).containsIP(cidr(self.serviceCIDR).ip()))",fieldPath=".podCIDR",message="must not overlap spec.network.serviceCIDR; choose ranges that have no address in common"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceCIDR) || !has(self.podCIDR) || !isCIDR(self.serviceCIDR) || !isCIDR(self.podCIDR) || cidr(self.serviceCIDR).ip().family() == cidr(self.podCIDR).ip().family()",fieldPath=".podCIDR",message="must be of the address family of spec.network.serviceCIDR; make both IPv4 or both IPv6"
type NetworkSpec struct {
	// serviceCIDR is the range of Service addresses.
	// +optional
	// +kubebuilder:default="10.96.0.0/16"
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self).masked() == cidr(self)",message="must be a range of addresses without bits after its prefix, for example 10.96.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).ip().isGlobalUnicast()",message="must not be a range of unspecified, loopback, link-local or multicast addresses; choose a private range, for example 10.96.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 12 && cidr(self).prefixLength() <= 24 : cidr(self).prefixLength() >= 108 && cidr(self).prefixLength() <= 120)",message="must be between /12 and /24 (IPv4) or between /108 and /120 (IPv6), the sizes that kube-apiserver can serve and that have room for cluster DNS"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// podCIDR is the range of pod addresses; each machine gets a /24 (IPv4) or /64
	// (IPv6) of it.
	// +optional
	// +kubebuilder:default="10.244.0.0/16"
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self).masked() == cidr(self)",message="must be a range of addresses without bits after its prefix, for example 10.244.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).ip().isGlobalUnicast()",message="must not be a range of unspecified, loopback, link-local or multicast addresses; choose a private range, for example 10.244.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 22 : cidr(self).prefixLength() >= 48 && cidr(self).prefixLength() <= 62)",message="must be between /8 and /22 (IPv4) or between /48 and /62 (IPv6), so that there is a /24 or /64 for at least four machines"
	PodCIDR string `json:"podCIDR,omitempty"`

	// dnsDomain is the cluster's DNS domain. The issuer of service-account tokens is
	// https://kubernetes.default.svc.<dnsDomain>.
	// +optional
	// +kubebuilder:default="cluster.local"
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="must be a DNS domain in lower case with labels of at most 63 characters, without a dot at its end, for example cluster.local"
	DNSDomain string `json:"dnsDomain,omitempty"`
}

// DatastoreSpec is where the tenant's state is kept.
type DatastoreSpec struct {
	// etcd asks for an etcd of the tenant's own.
	// +optional
	// +kubebuilder:default={}
	Etcd EtcdSpec `json:"etcd,omitempty,omitzero"`
}

// EtcdSpec is an etcd of the tenant's own.
//
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",fieldPath=".storageClassName",message="cannot be changed after creation; make a new control plane"
type EtcdSpec struct {
	// members is the number of etcd members: 1, or 3 to survive the loss of one.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Enum=1;3
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed after creation; make a new control plane"
	Members int32 `json:"members,omitempty"`

	// storageSize is the size of each member's volume.
	// +optional
	// +kubebuilder:default="8Gi"
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !string(self).matches('[eE][^i]')",message="must be an amount of bytes: a number, mostly with one of the suffixes Mi, Gi and Ti, for example 8Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('1Gi')) >= 0",message="must be at least 1Gi, so that there is room for etcd's log and snapshots"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !isQuantity(string(oldSelf)) || quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0",message="cannot be changed after creation; make a new control plane"
	StorageSize resource.Quantity `json:"storageSize,omitempty,omitzero"`

	// storageClassName is the StorageClass of the volumes. Default: the management
	// cluster's default class. Volumes must honour fsGroup, since etcd runs as an
	// ordinary user.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a StorageClass (lower-case letters, digits, '-' and '.'), for example standard; leave it out for the default"
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// ComponentsSpec holds settings of the single components.
type ComponentsSpec struct {
	// apiServer is kube-apiserver.
	// +optional
	APIServer ComponentSpec `json:"apiServer,omitempty,omitzero"`
	// controllerManager is kube-controller-manager.
	// +optional
	ControllerManager ComponentSpec `json:"controllerManager,omitempty,omitzero"`
	// scheduler is kube-scheduler.
	// +optional
	Scheduler ComponentSpec `json:"scheduler,omitempty,omitzero"`
	// etcd is each member of the etcd.
	// +optional
	Etcd ComponentSpec `json:"etcd,omitempty,omitzero"`
	// konnectivityServer is the konnectivity-server beside each kube-apiserver.
	// +optional
	KonnectivityServer ComponentSpec `json:"konnectivityServer,omitempty,omitzero"`
}

// ComponentSpec holds settings of one component.
type ComponentSpec struct {
	// resources are the container's requests and limits. What is not named here keeps
	// its default (docs/operations.md, "Sizing").
	// +optional
	Resources ResourcesSpec `json:"resources,omitempty,omitzero"`
}

// ResourcesSpec is the part of a container's resources that a control plane may set.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || !isQuantity(string(self.requests.cpu)) || !isQuantity(string(self.limits.cpu)) || quantity(string(self.requests.cpu)).compareTo(quantity(string(self.limits.cpu))) <= 0",fieldPath=".requests.cpu",message="must not exceed limits.cpu; lower the request or raise the limit"
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || !isQuantity(string(self.requests.memory)) || !isQuantity(string(self.limits.memory)) || quantity(string(self.requests.memory)).compareTo(quantity(string(self.limits.memory))) <= 0",fieldPath=".requests.memory",message="must not exceed limits.memory; lower the request or raise the limit"
type ResourcesSpec struct {
	// requests are the least that the scheduler sets aside.
	// +optional
	Requests ResourceAmounts `json:"requests,omitempty,omitzero"`
	// limits are the most that the container may use.
	// +optional
	Limits ResourceAmounts `json:"limits,omitempty,omitzero"`
}

// ResourceAmounts are amounts of CPU and memory.
type ResourceAmounts struct {
	// cpu in cores, for example 250m.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !string(self).matches('[eE][^i]')",message="must be an amount of cores: a number, or one with the suffix m for thousandths, for example 250m"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))",message="must be greater than zero; leave it out for the default"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory in bytes, for example 512Mi.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !string(self).matches('[eE][^i]')",message="must be an amount of bytes: a number, mostly with one of the suffixes Ki, Mi and Gi, for example 512Mi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))",message="must be greater than zero; leave it out for the default"
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// AddonsSpec is what Teapot installs inside the tenant's cluster.
type AddonsSpec struct {
	// coreDNS is the cluster's DNS.
	// +optional
	// +kubebuilder:default={}
	CoreDNS AddonSpec `json:"coreDNS,omitempty,omitzero"`
	// kubeProxy makes Services work on the machines.
	// +optional
	// +kubebuilder:default={}
	KubeProxy AddonSpec `json:"kubeProxy,omitempty,omitzero"`
	// konnectivity carries the API server's calls to machines, pods and webhooks.
	// Without it those calls fail: they are never made from the management cluster.
	// +optional
	// +kubebuilder:default={}
	Konnectivity AddonSpec `json:"konnectivity,omitempty,omitzero"`
}

// AddonSpec switches an add-on on or off.
type AddonSpec struct {
	// enabled says whether the add-on is installed. Setting it to false on a running
	// control plane removes what Teapot installed.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
}
