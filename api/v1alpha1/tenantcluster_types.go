package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// TenantCluster is what Cluster API's Cluster needs of its infrastructure. There is nothing to make
// for a cluster of hosts as such; it reports the failure domains of the hosts that this namespace may
// claim. The endpoint comes from the TenantControlPlane.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-cluster
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=tc,categories={teapot,cluster-api}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.metadata.ownerReferences[?(@.kind=="Cluster")].name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Failure domains",type=string,JSONPath=`.status.failureDomains[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
type TenantCluster struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	// +optional
	Spec TenantClusterSpec `json:"spec,omitempty,omitzero"`
	// status is what was observed. It may be lost and is rebuilt.
	// +optional
	Status TenantClusterStatus `json:"status,omitempty,omitzero"`
}

// TenantClusterList is a list of TenantClusters.
//
// +kubebuilder:object:root=true
type TenantClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TenantCluster `json:"items"`
}

// TenantClusterSpec is what is wanted of a cluster's infrastructure.
//
// +kubebuilder:validation:XValidation:rule="!has(self.controlPlaneEndpoint) || has(self.controlPlaneEndpoint.host) == has(self.controlPlaneEndpoint.port)",fieldPath=".controlPlaneEndpoint",message="must have both host and port; leave it out with a TenantControlPlane, which says where its API is"
type TenantClusterSpec struct {
	// controlPlaneEndpoint is where the API is. Cluster API copies it from the Cluster's control
	// plane; with a TenantControlPlane it is left out.
	// +optional
	ControlPlaneEndpoint clusterv1.APIEndpoint `json:"controlPlaneEndpoint,omitempty,omitzero"`
}

// TenantClusterStatus is what was observed of a cluster's infrastructure.
type TenantClusterStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// initialization says what Cluster API waits for.
	// +optional
	Initialization TenantClusterInitialization `json:"initialization,omitempty,omitzero"`
	// failureDomains are those of the hosts that this namespace may claim.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	FailureDomains []clusterv1.FailureDomain `json:"failureDomains,omitempty"`
	// conditions: Ready, Paused.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TenantClusterInitialization says what Cluster API waits for.
// +kubebuilder:validation:MinProperties=1
type TenantClusterInitialization struct {
	// provisioned is true once there is nothing to wait for.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// TenantClusterTemplate is what a ClusterClass of Cluster API makes TenantClusters from.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=tct,categories={teapot,cluster-api}
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1alpha1"
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
type TenantClusterTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec holds the template.
	// +required
	Spec TenantClusterTemplateSpec `json:"spec"`
}

// TenantClusterTemplateList is a list of TenantClusterTemplates.
//
// +kubebuilder:object:root=true
type TenantClusterTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TenantClusterTemplate `json:"items"`
}

// TenantClusterTemplateSpec holds the template.
type TenantClusterTemplateSpec struct {
	// template is what TenantClusters are made from.
	// +required
	Template TenantClusterTemplateResource `json:"template"`
}

// TenantClusterTemplateResource is what TenantClusters are made from.
type TenantClusterTemplateResource struct {
	// metadata is copied to each TenantCluster.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is copied to each TenantCluster.
	// +optional
	Spec TenantClusterTemplateResourceSpec `json:"spec,omitempty,omitzero"`
}

// TenantClusterTemplateResourceSpec is the spec of a TenantCluster without what is one cluster's
// alone, its endpoint. Nothing is left; Cluster API wants the field.
type TenantClusterTemplateResourceSpec struct{}
