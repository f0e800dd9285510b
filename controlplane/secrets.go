package controlplane

import (
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/teapot-cloud/teapot/pki"
)

// AuthoritiesSecret renders the Secret of what cannot be made anew. It is created, never
// applied: whoever creates it first has decided.
func AuthoritiesSecret(in Input, authorities pki.Authorities) *corev1.Secret {
	return in.secret(AuthoritiesName, authorities.Data())
}

func (in Input) secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: in.meta(name),
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}

// credentialSecrets render one Secret for each container, with what that container reads
// and nothing else, and one for Teapot itself.
func credentialSecrets(in Input) ([]*corev1.Secret, error) {
	authorities, leaves := in.Credentials.Authorities, in.Credentials.Leaves
	loopback := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(PortAPIServer))
	internal := func(user, leaf string) ([]byte, error) {
		return kubeconfig(in, loopback, "", user, leaf)
	}

	controllerManager, err := internal("system:kube-controller-manager", pki.ControllerManager)
	if err != nil {
		return nil, err
	}
	scheduler, err := internal("system:kube-scheduler", pki.Scheduler)
	if err != nil {
		return nil, err
	}
	teapot, err := kubeconfig(in, in.MachinesURL(), in.Endpoint.Host, "teapot", pki.Teapot)
	if err != nil {
		return nil, err
	}
	secrets := []*corev1.Secret{
		in.secret(ContainerEtcd, map[string][]byte{
			"etcd-ca.crt": authorities.Etcd.Cert,
			"server.crt":  leaves[pki.EtcdServer].Cert,
			"server.key":  leaves[pki.EtcdServer].Key,
			"peer.crt":    leaves[pki.EtcdPeer].Cert,
			"peer.key":    leaves[pki.EtcdPeer].Key,
		}),
		in.secret(ContainerAPIServer, map[string][]byte{
			"ca.crt":                       authorities.Cluster.Cert,
			"front-proxy-ca.crt":           authorities.FrontProxy.Cert,
			"etcd-ca.crt":                  authorities.Etcd.Cert,
			"sa.pub":                       authorities.ServiceAccount.Cert,
			"sa.key":                       authorities.ServiceAccount.Key,
			"apiserver.crt":                leaves[pki.APIServer].Cert,
			"apiserver.key":                leaves[pki.APIServer].Key,
			"apiserver-kubelet-client.crt": leaves[pki.APIServerKubeletClient].Cert,
			"apiserver-kubelet-client.key": leaves[pki.APIServerKubeletClient].Key,
			"apiserver-etcd-client.crt":    leaves[pki.APIServerEtcdClient].Cert,
			"apiserver-etcd-client.key":    leaves[pki.APIServerEtcdClient].Key,
			"front-proxy-client.crt":       leaves[pki.FrontProxyClient].Cert,
			"front-proxy-client.key":       leaves[pki.FrontProxyClient].Key,
		}),
		in.secret(ContainerControllerManager, map[string][]byte{
			"ca.crt":             authorities.Cluster.Cert,
			"ca.key":             authorities.Cluster.Key,
			"front-proxy-ca.crt": authorities.FrontProxy.Cert,
			"sa.key":             authorities.ServiceAccount.Key,
			"kubeconfig":         controllerManager,
		}),
		in.secret(ContainerScheduler, map[string][]byte{"kubeconfig": scheduler}),
		in.secret(ManagerKubeconfigName, map[string][]byte{KubeconfigKey: teapot}),
	}
	if in.Konnectivity() {
		server, err := internal(pki.KonnectivityServerUser, pki.KonnectivityServerClient)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, in.secret(ContainerKonnectivityServer, map[string][]byte{
			"tls.crt":    leaves[pki.KonnectivityServer].Cert,
			"tls.key":    leaves[pki.KonnectivityServer].Key,
			"kubeconfig": server,
		}))
	}
	return secrets, nil
}

// MachinesURL is the way in as it is dialled: no name needs to be resolved.
func (in Input) MachinesURL() string {
	return "https://" + net.JoinHostPort(in.Endpoint.Address, strconv.Itoa(int(in.Endpoint.Port)))
}

func kubeconfig(in Input, server, serverName, user, leaf string) ([]byte, error) {
	if serverName != "" && serverName == in.Endpoint.Address {
		serverName = "" // the address is what is verified anyway
	}
	encoded, err := pki.Kubeconfig{
		Cluster:       in.ClusterName,
		Server:        server,
		TLSServerName: serverName,
		CA:            in.Credentials.Authorities.Cluster.Cert,
		User:          user,
		Client:        in.Credentials.Leaves[leaf],
	}.Encode()
	if err != nil {
		return nil, fmt.Errorf("control plane %s: %w", in.Owner, err)
	}
	return encoded, nil
}

// TenantSecrets render what the tenant's namespace gets: the kubeconfig of users, the one
// of Cluster API's controllers and the authority's certificate. Never an authority's key.
func TenantSecrets(in Input) ([]*corev1.Secret, error) {
	users, err := kubeconfig(in, in.Endpoint.URL(), "", in.Owner.Name+"-admin", pki.Admin)
	if err != nil {
		return nil, err
	}
	controllers, err := kubeconfig(in, in.Endpoint.URL(), "", in.ClusterName+"-controllers", pki.ClusterAPI)
	if err != nil {
		return nil, err
	}
	secrets := []*corev1.Secret{
		in.secret(UserKubeconfigName(in.Owner.Name), map[string][]byte{KubeconfigKey: users}),
		in.secret(KubeconfigName(in.ClusterName), map[string][]byte{KubeconfigKey: controllers}),
		in.secret(CertificateAuthorityName(in.ClusterName), map[string][]byte{"tls.crt": in.Credentials.Authorities.Cluster.Cert}),
	}
	for i, secret := range secrets {
		secret.Namespace = in.Owner.Namespace
		if i > 0 {
			// Cluster API's contract: its controllers read only Secrets of this type and label.
			secret.Type = clusterv1.ClusterSecretType
			secret.Labels[clusterv1.ClusterNameLabel] = in.ClusterName
		}
	}
	return secrets, nil
}
