package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// TenantControlPlaneTemplate is what a ClusterClass of Cluster API makes TenantControlPlanes
// from.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane#controlplanetemplate-controlplanetemplatelist-resource-definition
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=tcpt,categories={teapot,cluster-api}
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
type TenantControlPlaneTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec holds the template.
	// +required
	Spec TenantControlPlaneTemplateSpec `json:"spec"`
}

// TenantControlPlaneTemplateList is a list of TenantControlPlaneTemplates.
//
// +kubebuilder:object:root=true
type TenantControlPlaneTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TenantControlPlaneTemplate `json:"items"`
}

// TenantControlPlaneTemplateSpec holds the template.
type TenantControlPlaneTemplateSpec struct {
	// template is what TenantControlPlanes are made from.
	// +required
	Template TenantControlPlaneTemplateResource `json:"template"`
}

// TenantControlPlaneTemplateResource is what TenantControlPlanes are made from.
type TenantControlPlaneTemplateResource struct {
	// metadata is copied to each TenantControlPlane.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is copied to each TenantControlPlane.
	// +optional
	Spec TenantControlPlaneTemplateResourceSpec `json:"spec,omitempty,omitzero"`
}

// TenantControlPlaneTemplateResourceSpec is the spec of a TenantControlPlane without what
// comes from the Cluster's topology (version, replicas) and what is one control plane's
// alone (paused, the data that it adopts).
//
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.endpoint.konnectivityPort) || !has(self.addons) || !has(self.addons.konnectivity) || !has(self.addons.konnectivity.enabled) || self.addons.konnectivity.enabled",fieldPath=".endpoint.konnectivityPort",message="has no meaning without konnectivity; leave it out, or set spec.addons.konnectivity.enabled to true"
// +kubebuilder:validation:XValidation:rule="!has(self.datastore) || !has(self.datastore.adoptFrom)",fieldPath=".datastore.adoptFrom",message="cannot be set in a template, since data is adopted by one control plane; leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.endpoint) || !has(self.endpoint.host) || !isIP(self.endpoint.host) || !has(self.network) || !has(self.network.serviceCIDR) || !isCIDR(self.network.serviceCIDR.split(',')[0]) || ip(self.endpoint.host).family() == cidr(self.network.serviceCIDR.split(',')[0]).ip().family()",fieldPath=".endpoint.host",message="must be of the address family of spec.network.serviceCIDR, of its first range if it has two, since pods inside dial it; give an address of that family, or a DNS name"
type TenantControlPlaneTemplateResourceSpec struct {
	// endpoint is how the tenant's machines and users reach the API.
	// +optional
	Endpoint EndpointSpec `json:"endpoint,omitempty,omitzero"`

	// network is the tenant cluster's own addressing.
	// +optional
	Network NetworkSpec `json:"network,omitempty,omitzero"`

	// datastore is where the tenant's state is kept.
	// +optional
	Datastore DatastoreSpec `json:"datastore,omitempty,omitzero"`

	// components holds settings of the single components.
	// +optional
	Components ComponentsSpec `json:"components,omitempty,omitzero"`

	// addons are what Teapot installs inside the tenant's cluster.
	// +optional
	Addons AddonsSpec `json:"addons,omitempty,omitzero"`

	// runtimeClassName is the RuntimeClass under which the pods run.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a RuntimeClass (lower-case letters, digits, '-' and '.'), for example kata; leave it out for the default"
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// scheduling says on which nodes of the management cluster the pods run.
	// +optional
	Scheduling SchedulingSpec `json:"scheduling,omitempty,omitzero"`

	// imageRepository is where the control plane's images come from.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$')",message="must be a registry with an optional port and path, without scheme, tag and '/' at its end, for example registry.example.com/mirror"
	ImageRepository string `json:"imageRepository,omitempty"`

	// deletionPolicy says what becomes of the tenant's data when the control plane is
	// deleted.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}
