package controlplane

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// NamespaceObject renders the control plane's own namespace. It is created, never
// adopted: the annotation with the owner's UID tells ours from another's.
func NamespaceObject(in Input) *corev1.Namespace {
	labels := OwnerLabels(in.Owner)
	// https://kubernetes.io/docs/concepts/security/pod-security-standards/
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        in.Namespace(),
			Labels:      labels,
			Annotations: map[string]string{teapotv1.ControlPlaneUIDAnnotation: string(in.UID)},
		},
	}
}

// Base renders what must exist before anything can be named in a certificate: the
// Services, and beside them the service accounts and network policies that no pod of
// the namespace should ever be without.
func Base(in Input) []client.Object {
	objects := []client.Object{
		controlPlaneService(in),
		etcdClientService(in),
		etcdPeerService(in),
		serviceAccount(in, ControlPlaneName),
		serviceAccount(in, EtcdName),
	}
	for _, policy := range networkPolicies(in) {
		objects = append(objects, policy)
	}
	return objects
}

func (in Input) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: in.Namespace(), Name: name, Labels: OwnerLabels(in.Owner)}
}

func serviceAccount(in Input, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   in.meta(name),
		AutomountServiceAccountToken: ptr.To(false),
	}
}

// Names of the ports of the control plane's Service.
const (
	portNameAPI          = "https"
	portNameKonnectivity = "konnectivity"
)

// controlPlaneService is the tenant's way in by address. Its node ports are left to the
// API server unless asked for: it allocates them without collisions. Once machines may know
// them, they stay.
func controlPlaneService(in Input) *corev1.Service {
	spec := in.Spec.Endpoint
	service := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: in.meta(ControlPlaneName),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceType(spec.Type),
			Selector: ComponentLabels(in.Owner, ControlPlaneName),
			// Both families where the management cluster has both: a tenant's first may be either.
			IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicyPreferDualStack),
			// While the only pod is not ready, clients get through the moment that it listens, and do
			// not wait for its readiness to get about. Of several, one that is not ready might be asked
			// after another was: who asks too early is told 403 by an API server without its roles.
			PublishNotReadyAddresses: !in.Serving.ControlPlane && ptr.Deref(in.Spec.Replicas, 1) == 1,
		},
	}
	port := func(name string, wanted *int32, known, target int32) corev1.ServicePort {
		p := corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: target, TargetPort: intstr.FromInt32(target)}
		switch {
		case wanted == nil && spec.Type == teapotv1.EndpointNodePort:
			p.NodePort = known
		case wanted == nil:
		case spec.Type == teapotv1.EndpointNodePort:
			p.NodePort = *wanted
		default:
			p.Port = *wanted
		}
		return p
	}
	service.Spec.Ports = []corev1.ServicePort{port(portNameAPI, spec.Port, in.Known.Port, PortAPIServer)}
	if in.Konnectivity() {
		service.Spec.Ports = append(service.Spec.Ports, port(portNameKonnectivity, spec.KonnectivityPort, in.Known.KonnectivityPort, PortKonnectivityAgent))
	}
	return service
}

func etcdClientService(in Input) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: in.meta(EtcdName),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: ComponentLabels(in.Owner, EtcdName),
			// As for the control plane. It matters more here: kube-apiserver's etcd client backs
			// off for seconds when its first try is refused.
			PublishNotReadyAddresses: !in.Serving.Etcd,
			Ports: []corev1.ServicePort{{
				Name: "client", Protocol: corev1.ProtocolTCP, Port: PortEtcdClient, TargetPort: intstr.FromInt32(PortEtcdClient),
			}},
		},
	}
}

// etcdPeerService gives each member a name. Members that are not ready are published:
// none is ready before it has found the others.
func etcdPeerService(in Input) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: in.meta(EtcdPeerName),
		Spec: corev1.ServiceSpec{
			Type:                     corev1.ServiceTypeClusterIP,
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 ComponentLabels(in.Owner, EtcdName),
			Ports: []corev1.ServicePort{{
				Name: "peer", Protocol: corev1.ProtocolTCP, Port: PortEtcdPeer, TargetPort: intstr.FromInt32(PortEtcdPeer),
			}},
		},
	}
}

// networkPolicies deny everything and then allow exactly the flows of a control plane:
// anybody to the API server and konnectivity; control-plane pods to etcd; etcd's members
// to one another and, to find one another, to the cluster's DNS.
func networkPolicies(in Input) []*networkingv1.NetworkPolicy {
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	port := func(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: ptr.To(intstr.FromInt32(number))}
	}
	pods := func(component string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{teapotv1.ComponentLabel: component}}
	}
	from := func(component string) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{PodSelector: pods(component)}}
	}
	policy := func(name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
			ObjectMeta: in.meta(name),
			Spec:       spec,
		}
	}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

	wayIn := []networkingv1.NetworkPolicyPort{port(tcp, PortAPIServer)}
	if in.Konnectivity() {
		wayIn = append(wayIn, port(tcp, PortKonnectivityAgent))
	}
	etcdEgress := []networkingv1.NetworkPolicyEgressRule{}
	etcdIngress := []networkingv1.NetworkPolicyIngressRule{
		{From: from(ControlPlaneName), Ports: []networkingv1.NetworkPolicyPort{port(tcp, PortEtcdClient)}},
	}
	if Size(in.Spec).EtcdMembers > 1 {
		peers := []networkingv1.NetworkPolicyPort{port(tcp, PortEtcdPeer)}
		etcdIngress = append(etcdIngress, networkingv1.NetworkPolicyIngressRule{From: from(EtcdName), Ports: peers})
		etcdEgress = append(etcdEgress,
			networkingv1.NetworkPolicyEgressRule{To: from(EtcdName), Ports: peers},
			networkingv1.NetworkPolicyEgressRule{
				To: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: metav1.NamespaceSystem}},
				}},
				Ports: []networkingv1.NetworkPolicyPort{port(udp, 53), port(tcp, 53)},
			})
	}
	return []*networkingv1.NetworkPolicy{
		policy("default-deny", networkingv1.NetworkPolicySpec{PolicyTypes: both}),
		policy(ControlPlaneName, networkingv1.NetworkPolicySpec{
			PodSelector: *pods(ControlPlaneName),
			PolicyTypes: both,
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: wayIn}},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{To: from(EtcdName), Ports: []networkingv1.NetworkPolicyPort{port(tcp, PortEtcdClient)}},
			},
		}),
		policy(EtcdName, networkingv1.NetworkPolicySpec{
			PodSelector: *pods(EtcdName),
			PolicyTypes: both,
			Ingress:     etcdIngress,
			Egress:      etcdEgress,
		}),
	}
}
