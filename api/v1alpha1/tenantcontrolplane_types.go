package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
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
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.hibernation.phase`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.hibernation.since`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint.url`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="State reason",type=string,priority=1,JSONPath=`.status.hibernation.reason`
// +kubebuilder:printcolumn:name="Next change",type=string,format=date-time,priority=1,JSONPath=`.status.hibernation.nextChange.time`
// +kubebuilder:printcolumn:name="To",type=string,priority=1,JSONPath=`.status.hibernation.nextChange.phase`
// +kubebuilder:printcolumn:name="Namespace of pods",type=string,priority=1,JSONPath=`.status.namespace`
// +kubebuilder:printcolumn:name="Certificates expire",type=string,format=date-time,priority=1,JSONPath=`.status.certificatesExpire`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
// +kubebuilder:validation:XValidation:rule="!has(self.spec.datastore) || !has(self.spec.datastore.adoptFrom) || self.spec.datastore.adoptFrom.startsWith('tcp-' + self.metadata.name + '-')",fieldPath=".spec.datastore.adoptFrom",message="must be the namespace that a control plane of the same namespace and name retained, tcp-<name>-<hash>; the condition NamespaceReady names it if there is one"
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
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.endpoint.host) || !isIP(self.endpoint.host) || !has(self.network) || !has(self.network.serviceCIDR) || !isCIDR(self.network.serviceCIDR.split(',')[0]) || ip(self.endpoint.host).family() == cidr(self.network.serviceCIDR.split(',')[0]).ip().family()",fieldPath=".endpoint.host",message="must be of the address family of spec.network.serviceCIDR, of its first range if it has two, since pods inside dial it; give an address of that family, or a DNS name"
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

	// controlPlaneEndpoint is the host and port by which machines come. Teapot writes it
	// for Cluster API, which reads it here; what anybody else writes is written over. What
	// is asked for is in spec.endpoint.
	// +optional
	ControlPlaneEndpoint clusterv1.APIEndpoint `json:"controlPlaneEndpoint,omitempty,omitzero"`

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

	// scheduling says on which nodes of the management cluster the pods run.
	// +optional
	Scheduling SchedulingSpec `json:"scheduling,omitempty,omitzero"`

	// imageRepository is where the control plane's images come from: registry.k8s.io or a
	// mirror with the same paths. Default: the manager's --image-repository.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$')",message="must be a registry with an optional port and path, without scheme, tag and '/' at its end, for example registry.example.com/mirror"
	ImageRepository string `json:"imageRepository,omitempty"`

	// deletionPolicy says what becomes of the tenant's data when this object is
	// deleted: Delete removes everything; Retain keeps etcd's volumes and the keys in
	// the control plane's own namespace, labelled teapot.dev/retained.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// hibernation is when the control plane sleeps: no pods and, unless asked otherwise, no hosts.
	// Left out, it does not.
	// +optional
	Hibernation *HibernationSpec `json:"hibernation,omitempty"`

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
	// +kubebuilder:validation:XValidation:rule="isIP(self) || (self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$') && !self.matches('^[0-9.]+$'))",message="must be an IP address or a DNS name in lower case with labels of at most 63 characters, without scheme and port; the port is spec.endpoint.port"
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

	// gateway says whether users come through the shared gateway, by the name
	// <name>.<namespace>.<the gateway's domain>; machines come by the address in any case. Default: they
	// do if Teapot was installed with a gateway. Without it no user's request wakes a control plane that
	// sleeps, and nobody knows of users who are connected.
	// +optional
	Gateway GatewayAccess `json:"gateway,omitempty"`

	// subjectAltNames are further DNS names and IP addresses that the API server's
	// certificate is valid for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(n, isIP(n) || (n.matches('^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$') && !n.matches('^[0-9.]+$')))",message="each must be an IP address or a DNS name in lower case with labels of at most 63 characters, without scheme and port; a name may begin with '*.'"
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
}

// NetworkSpec is the tenant cluster's own addressing. Dual stack is asked for as kubeadm's
// serviceSubnet and podSubnet do: two ranges, separated by a comma. The first family is the
// one of the endpoint's address.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceCIDR) || !has(self.podCIDR) || !self.serviceCIDR.split(',').all(c, isCIDR(c)) || !self.podCIDR.split(',').all(c, isCIDR(c)) || ((cidr(self.serviceCIDR.split(',')[0]).ip().family() != cidr(self.podCIDR.split(',')[0]).ip().family() || !(cidr(self.serviceCIDR.split(',')[0]).containsIP(cidr(self.podCIDR.split(',')[0]).ip()) || cidr(self.podCIDR.split(',')[0]).containsIP(cidr(self.serviceCIDR.split(',')[0]).ip()))) && (self.serviceCIDR.split(',').size() < 2 || self.podCIDR.split(',').size() < 2 || (cidr(self.serviceCIDR.split(',')[1]).ip().family() != cidr(self.podCIDR.split(',')[1]).ip().family() || !(cidr(self.serviceCIDR.split(',')[1]).containsIP(cidr(self.podCIDR.split(',')[1]).ip()) || cidr(self.podCIDR.split(',')[1]).containsIP(cidr(self.serviceCIDR.split(',')[1]).ip())))))",fieldPath=".podCIDR",message="must not overlap spec.network.serviceCIDR; choose ranges that have no address in common"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceCIDR) || !has(self.podCIDR) || !self.serviceCIDR.split(',').all(c, isCIDR(c)) || !self.podCIDR.split(',').all(c, isCIDR(c)) || self.serviceCIDR.split(',').map(c, cidr(c).ip().family()) == self.podCIDR.split(',').map(c, cidr(c).ip().family())",fieldPath=".podCIDR",message="must be of the address family of spec.network.serviceCIDR; make both IPv4, both IPv6, or both of two ranges in the same order"
type NetworkSpec struct {
	// serviceCIDR is the range of Service addresses, or two ranges of different families
	// separated by a comma.
	// +optional
	// +kubebuilder:default="10.96.0.0/16"
	// +kubebuilder:validation:MaxLength=62
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, isCIDR(c) && cidr(c).masked() == cidr(c))",message="must be a range of addresses without bits after its prefix, for example 10.96.0.0/16, or two for dual stack, for example 10.96.0.0/16,fd00:96::/112"
	// +kubebuilder:validation:XValidation:rule="!self.split(',').all(c, isCIDR(c)) || self.split(',').size() == 1 || (self.split(',').size() == 2 && cidr(self.split(',')[0]).ip().family() != cidr(self.split(',')[1]).ip().family())",message="must be one range, or one of IPv4 and one of IPv6; leave out what is too much"
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, !isCIDR(c) || cidr(c).ip().isGlobalUnicast())",message="must not be a range of unspecified, loopback, link-local or multicast addresses; choose a private range, for example 10.96.0.0/16"
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, !isCIDR(c) || (cidr(c).ip().family() == 4 ? cidr(c).prefixLength() >= 12 && cidr(c).prefixLength() <= 24 : cidr(c).prefixLength() >= 108 && cidr(c).prefixLength() <= 120))",message="must be between /12 and /24 (IPv4) or between /108 and /120 (IPv6), the sizes that kube-apiserver can serve and that have room for cluster DNS"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// podCIDR is the range of pod addresses, or two ranges of different families separated
	// by a comma; each machine gets a /24 (IPv4) or /64 (IPv6) of each.
	// +optional
	// +kubebuilder:default="10.244.0.0/16"
	// +kubebuilder:validation:MaxLength=62
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, isCIDR(c) && cidr(c).masked() == cidr(c))",message="must be a range of addresses without bits after its prefix, for example 10.244.0.0/16, or two for dual stack, for example 10.244.0.0/16,fd00:244::/56"
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, !isCIDR(c) || cidr(c).ip().isGlobalUnicast())",message="must not be a range of unspecified, loopback, link-local or multicast addresses; choose a private range, for example 10.244.0.0/16"
	// +kubebuilder:validation:XValidation:rule="self.split(',').all(c, !isCIDR(c) || (cidr(c).ip().family() == 4 ? cidr(c).prefixLength() >= 8 && cidr(c).prefixLength() <= 22 : cidr(c).prefixLength() >= 48 && cidr(c).prefixLength() <= 62))",message="must be between /8 and /22 (IPv4) or between /48 and /62 (IPv6), so that there is a /24 or /64 for at least four machines"
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

	// adoptFrom is the namespace of data that an earlier control plane of the same
	// namespace and name retained (deletionPolicy Retain): its volumes and keys are taken
	// over. Without it a control plane whose name has retained data is not made.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	AdoptFrom string `json:"adoptFrom,omitempty"`
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
//
// +kubebuilder:validation:XValidation:rule="!has(self.apiServer) || !has(self.apiServer.extraArgs) || !self.apiServer.extraArgs.exists(a, a.name in ['advertise-address', 'allow-privileged', 'anonymous-auth', 'api-audiences', 'authentication-config', 'authorization-mode', 'bind-address', 'client-ca-file', 'egress-selector-config-file', 'enable-admission-plugins', 'enable-bootstrap-token-auth', 'endpoint-reconciler-type', 'etcd-cafile', 'etcd-certfile', 'etcd-keyfile', 'etcd-servers', 'kubelet-client-certificate', 'kubelet-client-key', 'kubelet-preferred-address-types', 'oidc-ca-file', 'oidc-signing-algs', 'profiling', 'proxy-client-cert-file', 'proxy-client-key-file', 'requestheader-allowed-names', 'requestheader-client-ca-file', 'requestheader-extra-headers-prefix', 'requestheader-group-headers', 'requestheader-username-headers', 'secure-port', 'service-account-issuer', 'service-account-key-file', 'service-account-signing-key-file', 'service-cluster-ip-range', 'shutdown-delay-duration', 'shutdown-watch-termination-grace-period', 'tls-cert-file', 'tls-private-key-file'])",fieldPath=".apiServer.extraArgs",message="must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
// +kubebuilder:validation:XValidation:rule="!has(self.apiServer) || !has(self.apiServer.extraArgs) || !self.apiServer.extraArgs.exists(a, a.name.startsWith('oidc-')) || (self.apiServer.extraArgs.exists(a, a.name == 'oidc-issuer-url' && a.value.matches('^https://[^/?#@ ]+(/[^?# ]*)?$')) && self.apiServer.extraArgs.exists(a, a.name == 'oidc-client-id' && a.value.size() > 0))",fieldPath=".apiServer.extraArgs",message="flags that begin with oidc- need both oidc-issuer-url, an https:// URL without user, query and fragment, and oidc-client-id; add what is missing"
// +kubebuilder:validation:XValidation:rule="!has(self.apiServer) || !has(self.apiServer.extraArgs) || !self.apiServer.extraArgs.exists(a, a.name.startsWith('oidc-') && !(a.name in ['oidc-client-id', 'oidc-groups-claim', 'oidc-groups-prefix', 'oidc-issuer-url', 'oidc-required-claim', 'oidc-username-claim', 'oidc-username-prefix']))",fieldPath=".apiServer.extraArgs",message="of flags that begin with oidc- only oidc-client-id, oidc-groups-claim, oidc-groups-prefix, oidc-issuer-url, oidc-required-claim, oidc-username-claim and oidc-username-prefix can be set; leave the others out"
// +kubebuilder:validation:XValidation:rule="!has(self.apiServer) || !has(self.apiServer.extraArgs) || !self.apiServer.extraArgs.exists(a, a.name == 'oidc-required-claim' && !a.value.matches('^[^=, ]+=[^,]*(,[^=, ]+=[^,]*)*$'))",fieldPath=".apiServer.extraArgs",message="oidc-required-claim must be claim=value, or several of these separated by commas without spaces"
// +kubebuilder:validation:XValidation:rule="!has(self.controllerManager) || !has(self.controllerManager.extraArgs) || !self.controllerManager.extraArgs.exists(a, a.name in ['allocate-node-cidrs', 'authentication-kubeconfig', 'authorization-kubeconfig', 'bind-address', 'client-ca-file', 'cluster-cidr', 'cluster-name', 'cluster-signing-cert-file', 'cluster-signing-key-file', 'controllers', 'kubeconfig', 'leader-elect', 'profiling', 'requestheader-client-ca-file', 'root-ca-file', 'secure-port', 'service-account-private-key-file', 'service-cluster-ip-range', 'use-service-account-credentials'])",fieldPath=".controllerManager.extraArgs",message="must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
// +kubebuilder:validation:XValidation:rule="!has(self.scheduler) || !has(self.scheduler.extraArgs) || !self.scheduler.extraArgs.exists(a, a.name in ['authentication-kubeconfig', 'authorization-kubeconfig', 'bind-address', 'kubeconfig', 'leader-elect', 'profiling', 'secure-port'])",fieldPath=".scheduler.extraArgs",message="must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
// +kubebuilder:validation:XValidation:rule="!has(self.etcd) || !has(self.etcd.extraArgs) || !self.etcd.extraArgs.exists(a, a.name in ['advertise-client-urls', 'cert-file', 'client-cert-auth', 'data-dir', 'election-timeout', 'feature-gates', 'force-new-cluster', 'heartbeat-interval', 'initial-advertise-peer-urls', 'initial-cluster', 'initial-cluster-state', 'initial-cluster-token', 'key-file', 'listen-client-urls', 'listen-metrics-urls', 'listen-peer-urls', 'name', 'peer-cert-file', 'peer-client-cert-auth', 'peer-key-file', 'peer-skip-client-san-verification', 'peer-trusted-ca-file', 'snapshot-count', 'trusted-ca-file', 'unsafe-no-fsync', 'wal-dir', 'watch-progress-notify-interval'])",fieldPath=".etcd.extraArgs",message="must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
// +kubebuilder:validation:XValidation:rule="!has(self.konnectivityServer) || !has(self.konnectivityServer.extraArgs) || !self.konnectivityServer.extraArgs.exists(a, a.name in ['admin-bind-address', 'admin-port', 'agent-namespace', 'agent-port', 'agent-service-account', 'authentication-audience', 'cluster-cert', 'cluster-key', 'delete-existing-uds-file', 'health-port', 'keepalive-time', 'kubeconfig', 'lease-namespace', 'logtostderr', 'mode', 'server-count', 'server-port', 'uds-name'])",fieldPath=".konnectivityServer.extraArgs",message="must not name a flag that Teapot sets or relies on; leave it out (docs/operations.md, Extra arguments, lists them)"
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

	// extraArgs are further command-line flags, added after Teapot's own. Flags beyond those
	// that docs/operations.md lists for tenants ("Extra arguments") need the verb override.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	ExtraArgs []ExtraArg `json:"extraArgs,omitempty"`
}

// ExtraArg is one command-line flag, --name=value, in the form of kubeadm's v1beta4.
type ExtraArg struct {
	// name is that of the flag, without dashes before it.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a flag without dashes before it, for example max-requests-inflight"
	Name string `json:"name"`
	// value is what the flag is set to; true or false for a switch.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]*$')",message="must be of printable ASCII characters on one line"
	Value string `json:"value"`
}

// SchedulingSpec says on which nodes of the management cluster the pods of a control plane
// and its etcd run.
type SchedulingSpec struct {
	// nodeSelector are labels that a node must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be those of labels, for example node-role.example.com/tenants"
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations are taints of nodes that the pods tolerate.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// topologyKeys are labels of nodes over whose values the pods are spread as far as
	// possible (whenUnsatisfiable: ScheduleAnyway). Default: kubernetes.io/hostname.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="each must be the key of a label of nodes, for example topology.kubernetes.io/zone"
	TopologyKeys []string `json:"topologyKeys,omitempty"`

	// priorityClassName is the PriorityClass of the pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a PriorityClass (lower-case letters, digits, '-' and '.'); leave it out for the default"
	PriorityClassName string `json:"priorityClassName,omitempty"`
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

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="must be the value of a label: letters, digits, '-', '_' and '.', not at its ends"
type LabelValue string

// Toleration tolerates taints of nodes, with the fields of a pod's.
//
// +kubebuilder:validation:XValidation:rule="has(self.key) || has(self.operator) && self.operator == 'Exists'",fieldPath=".operator",message="must be Exists in a toleration without key, which tolerates everything"
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || self.operator != 'Exists' || !has(self.value)",fieldPath=".value",message="must be left out with operator Exists; or use operator Equal"
// +kubebuilder:validation:XValidation:rule="!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",fieldPath=".tolerationSeconds",message="needs effect NoExecute; set it, or leave tolerationSeconds out"
type Toleration struct {
	// key is that of the taint; left out it means all.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.indexOf('/') <= 253 && self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="must be the key of a taint, for example node-role.example.com/tenants"
	Key string `json:"key,omitempty"`
	// operator compares the value: Equal (default), or Exists for any value.
	// +optional
	// +kubebuilder:validation:Enum=Exists;Equal
	Operator corev1.TolerationOperator `json:"operator,omitempty"`
	// value is that of the taint.
	// +optional
	Value LabelValue `json:"value,omitempty"`
	// effect is that of the taint; left out it means all.
	// +optional
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect corev1.TaintEffect `json:"effect,omitempty"`
	// tolerationSeconds is for how long a taint of effect NoExecute is tolerated. Default: for
	// ever.
	// +optional
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
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
