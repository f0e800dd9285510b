// Package v1alpha1 stands for the API types of metal3-io/ironic-standalone-operator,
// whose module the Go module proxy does not have. The baremetal-operator reads an object
// of kind Ironic only if its environment sets IRONIC_NAME; the development cluster sets
// IRONIC_ENDPOINT instead. So there is here what the operator's code names, and no more:
// with IRONIC_NAME it would not find what a real object holds.
package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// IronicStatusReady is the type of the condition that the operator waits for.
const IronicStatusReady = "Ready"

// AddToScheme makes the kind known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	version := schema.GroupVersion{Group: "ironic.metal3.io", Version: "v1alpha1"}
	scheme.AddKnownTypes(version, &Ironic{})
	metav1.AddToGroupVersion(scheme, version)
	return nil
}

// Ironic is a deployment of Ironic.
type Ironic struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   IronicSpec   `json:"spec,omitempty"`
	Status IronicStatus `json:"status,omitempty"`
}

// IronicSpec names the Secrets of the deployment.
type IronicSpec struct {
	APICredentialsName string    `json:"apiCredentialsName,omitempty"`
	TLS                IronicTLS `json:"tls,omitempty"`
}

// IronicTLS names the Secret of the serving certificate.
type IronicTLS struct {
	CertificateName string `json:"certificateName,omitempty"`
}

// IronicStatus has the deployment's conditions.
type IronicStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeepCopyObject makes Ironic a runtime.Object.
func (i *Ironic) DeepCopyObject() runtime.Object {
	out := *i
	out.ObjectMeta = *i.ObjectMeta.DeepCopy()
	out.Status.Conditions = slices.Clone(i.Status.Conditions)
	return &out
}
