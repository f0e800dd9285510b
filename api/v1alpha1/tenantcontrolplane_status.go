package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// TenantControlPlaneStatus is what was observed of a control plane.
type TenantControlPlaneStatus struct {
	// conditions say what works and what does not. Ready sums them up.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// version is the Kubernetes version that every replica runs; while a change of
	// version is under way it is the version of the older ones.
	// +optional
	Version string `json:"version,omitempty"`

	// versions are the Kubernetes versions that run, from the older to the newer, with the
	// number of replicas of each.
	// +optional
	// +listType=map
	// +listMapKey=version
	// +kubebuilder:validation:MaxItems=2
	Versions []clusterv1.StatusVersion `json:"versions,omitempty"`

	// initialization is for Cluster API, which waits for it once.
	// +optional
	Initialization InitializationStatus `json:"initialization,omitempty,omitzero"`

	// externalManagedControlPlane is always true: no control-plane pod is a Node of the
	// tenant's cluster, and without it Cluster API would drain and delete no Node.
	// +optional
	ExternalManagedControlPlane *bool `json:"externalManagedControlPlane,omitempty"`

	// namespace is the control plane's own namespace, where its pods are.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// endpoint is how machines and users reach the API.
	// +optional
	Endpoint *EndpointStatus `json:"endpoint,omitempty"`

	// hibernation is whether the control plane sleeps.
	// +optional
	Hibernation *HibernationStatus `json:"hibernation,omitempty"`

	// replicas is the number of control-plane pods.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// readyReplicas is the number of control-plane pods that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	// upToDateReplicas is the number of control-plane pods of the newest specification.
	// +optional
	UpToDateReplicas int32 `json:"upToDateReplicas,omitempty"`
	// availableReplicas is the number of control-plane pods that serve.
	// +optional
	AvailableReplicas int32 `json:"availableReplicas,omitempty"`
	// selector selects the control-plane pods, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`

	// etcdReadyMembers is the number of etcd members that are ready.
	// +optional
	EtcdReadyMembers int32 `json:"etcdReadyMembers,omitempty"`

	// secrets names the Secrets in this object's namespace that hold what a tenant needs.
	// +optional
	Secrets *SecretsStatus `json:"secrets,omitempty"`

	// certificatesExpire is when the first of the certificates ends, if none is renewed.
	// +optional
	CertificatesExpire *metav1.Time `json:"certificatesExpire,omitempty"`
}

// InitializationStatus says what came true for the first time.
type InitializationStatus struct {
	// controlPlaneInitialized is true once the API has answered, and stays so.
	// +optional
	ControlPlaneInitialized *bool `json:"controlPlaneInitialized,omitempty"`
}

// EndpointStatus is how machines and users reach the API.
type EndpointStatus struct {
	// url is the API's base URL, https://host:port.
	URL string `json:"url"`
	// host is an IP address or DNS name, the one in kubeconfigs.
	Host string `json:"host"`
	// address is the IP address that machines and pods dial, the one in the tenant's
	// kubernetes Endpoints.
	Address string `json:"address"`
	// port is the API's port.
	Port int32 `json:"port"`
	// gatewayURL is by which users come through the gateway, https://host:port, and gatewayServerName the
	// name that they must ask for (tls-server-name in a kubeconfig, where the host is not that name).
	// +optional
	GatewayURL string `json:"gatewayURL,omitempty"`
	// +optional
	GatewayServerName string `json:"gatewayServerName,omitempty"`
	// konnectivityPort is the port by which konnectivity agents come; 0 without konnectivity.
	// +optional
	KonnectivityPort int32 `json:"konnectivityPort,omitempty"`
}

// SecretsStatus names Secrets in the TenantControlPlane's namespace.
type SecretsStatus struct {
	// userKubeconfig holds (key value) what users work with.
	UserKubeconfig string `json:"userKubeconfig"`
	// kubeconfig holds (key value) what Cluster API and other controllers work with.
	Kubeconfig string `json:"kubeconfig"`
	// certificateAuthority holds (key tls.crt) the certificate that the API is trusted
	// by, without its key.
	CertificateAuthority string `json:"certificateAuthority"`
}
