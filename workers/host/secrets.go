package host

import (
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Data is one kind of what a machine reads when it first boots.
type Data string

// Kinds of data; the value is the key under which Metal3 looks for it in a Secret.
const (
	UserData    Data = "userData"
	MetaData    Data = "metaData"
	NetworkData Data = "networkData"
)

var suffixes = map[Data]string{UserData: "-user-data", MetaData: "-meta-data", NetworkData: "-network-data"}

// Secret is the Secret beside a host that holds data of the claim. Metal3 reads none from the
// claim's namespace. It goes with the host, and before that when the host is given back.
func Secret(o *Object, claim types.NamespacedName, kind Data, content []byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: SecretName(claim, kind), Labels: SecretLabels(claim),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: metal3v1.GroupVersion.String(), Kind: "BareMetalHost", Name: o.Name, UID: o.UID,
			}},
		},
		Data: map[string][]byte{string(kind): content},
	}
}

// SecretName is the name of the Secret beside a host. A namespace and a claim's name are DNS
// labels, so it is short enough, and no two claims have the same.
func SecretName(claim types.NamespacedName, kind Data) string {
	return claim.Namespace + "." + claim.Name + suffixes[kind]
}

// SecretLabels name the claim that a Secret is of.
func SecretLabels(claim types.NamespacedName) map[string]string {
	return map[string]string{
		teapotv1.ManagedByLabel:      teapotv1.ManagedByTeapot,
		teapotv1.ClaimNamespaceLabel: claim.Namespace,
		teapotv1.ClaimNameLabel:      claim.Name,
	}
}
