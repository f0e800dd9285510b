package controlplane

import (
	"crypto/sha256"
	"encoding/hex"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cluster-api/util/secret"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Names of the objects in a control plane's own namespace. The namespace is the
// tenant's alone, so the names need not carry the tenant's.
const (
	// ControlPlaneName is the Deployment of the control-plane pods, their Service, their
	// service account and their PodDisruptionBudget.
	ControlPlaneName = "control-plane"
	// EtcdName is the StatefulSet, its client Service and its service account.
	EtcdName = "etcd"
	// EtcdPeerName is the headless Service of etcd's members.
	EtcdPeerName = "etcd-peer"
	// AuthoritiesName is the Secret of the certificate authorities and the
	// service-account keys: what cannot be made anew.
	AuthoritiesName = "authorities"
	// ManagerKubeconfigName is the Secret of the kubeconfig that Teapot itself uses.
	ManagerKubeconfigName = "teapot-kubeconfig"
)

// Names of the containers, which are upstream's names of the components.
const (
	ContainerKonnectivityServer = "konnectivity-server"
	ContainerAPIServer          = "kube-apiserver"
	ContainerControllerManager  = "kube-controller-manager"
	ContainerScheduler          = "kube-scheduler"
	ContainerEtcd               = "etcd"
)

// Ports inside the pods. 6443, 10257 and 10259 are kubeadm's, 2379 to 2381 etcd's,
// 8132 konnectivity's customary agent port.
const (
	PortAPIServer          = 6443
	PortKonnectivityAgent  = 8132
	PortKonnectivityHealth = 8134
	PortControllerManager  = 10257
	PortScheduler          = 10259
	PortEtcdClient         = 2379
	PortEtcdPeer           = 2380
	PortEtcdMetrics        = 2381
)

// KubeconfigKey is the key of a kubeconfig in its Secret, the one of Cluster API's contract.
const KubeconfigKey = secret.KubeconfigDataName

// Namespace returns the name of the control plane's own namespace:
// tcp-<name>-<hash of namespace/name>. The hash keeps apart what has the same name
// in different namespaces; eight hexadecimal digits leave room for a name of 50
// characters in the 63 of a namespace.
func Namespace(owner types.NamespacedName) string {
	sum := sha256.Sum256([]byte(owner.String()))
	return "tcp-" + owner.Name + "-" + hex.EncodeToString(sum[:])[:8]
}

// UserKubeconfigName is the Secret, in the tenant's namespace, of the kubeconfig that users get.
func UserKubeconfigName(name string) string { return name + "-user-kubeconfig" }

// KubeconfigName is the Secret, in the tenant's namespace, of the kubeconfig that
// Cluster API's controllers use. cluster is the name of the owning Cluster, or else
// that of the control plane.
func KubeconfigName(cluster string) string { return secret.Name(cluster, secret.Kubeconfig) }

// CertificateAuthorityName is the Secret, in the tenant's namespace, of the
// certificate (never the key) of the cluster's authority.
func CertificateAuthorityName(cluster string) string { return secret.Name(cluster, secret.ClusterCA) }

// OwnerLabels are on everything that belongs to a control plane.
func OwnerLabels(owner types.NamespacedName) map[string]string {
	return map[string]string{
		teapotv1.ManagedByLabel:             teapotv1.ManagedByTeapot,
		teapotv1.ControlPlaneNamespaceLabel: owner.Namespace,
		teapotv1.ControlPlaneNameLabel:      owner.Name,
	}
}

// ComponentLabels are OwnerLabels and the component's name ("control-plane", "etcd");
// they select the component's pods.
func ComponentLabels(owner types.NamespacedName, component string) map[string]string {
	labels := OwnerLabels(owner)
	labels[teapotv1.ComponentLabel] = component
	return labels
}
