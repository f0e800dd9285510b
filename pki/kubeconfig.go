package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig is a way to reach a control plane as a certain user.
type Kubeconfig struct {
	// Cluster is the name of the cluster's entry.
	Cluster string
	// Server is the API's base URL, https://host:port.
	Server string
	// TLSServerName is the name to expect in the server's certificate. Default: the host
	// of Server.
	TLSServerName string
	// CA is the certificate of the cluster's authority, in PEM.
	CA []byte
	// User is the name of the user's entry, and Client what the user shows.
	User   string
	Client KeyPair
	// Context is the name of the context. Default: User@Cluster, as kubeadm calls it.
	Context string
	// Namespace is the context's namespace. Default: none, which means "default".
	Namespace string
}

// Encode returns the kubeconfig file. All that it refers to is inside it.
func (k Kubeconfig) Encode() ([]byte, error) {
	context := k.Context
	if context == "" {
		context = k.User + "@" + k.Cluster
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[k.Cluster] = &clientcmdapi.Cluster{
		Server:                   k.Server,
		TLSServerName:            k.TLSServerName,
		CertificateAuthorityData: k.CA,
	}
	config.AuthInfos[k.User] = &clientcmdapi.AuthInfo{
		ClientCertificateData: k.Client.Cert,
		ClientKeyData:         k.Client.Key,
	}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: k.Cluster, AuthInfo: k.User, Namespace: k.Namespace}
	config.CurrentContext = context
	encoded, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig of %s: %w", context, err)
	}
	return encoded, nil
}
