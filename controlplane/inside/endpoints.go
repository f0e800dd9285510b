package inside

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	netutils "k8s.io/utils/net"
)

const (
	// kubernetesService is the Service, made by kube-apiserver, by which pods reach the API.
	kubernetesService = "kubernetes"
	// kubernetesPort is the name of its port.
	kubernetesPort = "https"
)

// endpoints returns the Endpoints and the EndpointSlice of the kubernetes Service, in
// the shape that kube-apiserver's own reconciler would give them
// (k8s.io/kubernetes/pkg/controlplane/reconcilers, v1.36.3). It is switched off: it
// would publish the addresses of the control-plane pods, which machines cannot reach.
func endpoints(in Input) []runtime.Object {
	address, port := in.address(), in.EndpointPort
	family := discoveryv1.AddressTypeIPv4
	if netutils.IsIPv6String(address) {
		family = discoveryv1.AddressTypeIPv6
	}
	meta := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: kubernetesService}

	list := &corev1.Endpoints{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Endpoints"},
		ObjectMeta: *meta.DeepCopy(),
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: address}},
			Ports:     []corev1.EndpointPort{{Name: kubernetesPort, Port: port, Protocol: corev1.ProtocolTCP}},
		}},
	}
	// Or else kube-controller-manager would make a second EndpointSlice from it.
	list.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}

	slice := &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta:  *meta.DeepCopy(),
		AddressType: family,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{address},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: new(kubernetesPort), Port: new(port), Protocol: new(corev1.ProtocolTCP)}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: kubernetesService}
	return []runtime.Object{list, slice}
}
