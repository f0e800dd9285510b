package konnectivity

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1beta1 "k8s.io/apiserver/pkg/apis/apiserver/v1beta1"
	"sigs.k8s.io/yaml"
)

// AbsentSocket is a socket that nothing serves. A control plane without konnectivity
// has its egress mapped to it: its API server then reaches nothing, rather than what
// the management cluster can.
const AbsentSocket = "/nonexistent/konnectivity-server.socket"

// EgressSelectorConfiguration returns the file of kube-apiserver's
// --egress-selector-config-file, which is read once, at start.
//
// kube-apiserver dials directly whatever the file does not map. So both ways that a
// tenant can aim are mapped to the socket: cluster (kubelets, pods, webhooks and
// aggregated APIs by Service) and controlplane (webhooks by URL, OIDC, audit). Only
// etcd, whose address the tenant does not choose, is dialled directly.
func EgressSelectorConfiguration(socket string) ([]byte, error) {
	tunnel := apiserverv1beta1.Connection{
		ProxyProtocol: apiserverv1beta1.ProtocolGRPC,
		Transport:     &apiserverv1beta1.Transport{UDS: &apiserverv1beta1.UDSTransport{UDSName: socket}},
	}
	configuration := apiserverv1beta1.EgressSelectorConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: apiserverv1beta1.SchemeGroupVersion.String(),
			Kind:       "EgressSelectorConfiguration",
		},
		EgressSelections: []apiserverv1beta1.EgressSelection{
			{Name: "cluster", Connection: tunnel},
			{Name: "controlplane", Connection: tunnel},
			{Name: "etcd", Connection: apiserverv1beta1.Connection{ProxyProtocol: apiserverv1beta1.ProtocolDirect}},
		},
	}
	encoded, err := yaml.Marshal(configuration)
	if err != nil {
		return nil, fmt.Errorf("encode egress selector configuration: %w", err)
	}
	return encoded, nil
}
