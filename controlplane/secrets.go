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

// Files of the control-plane pods' Secret, by kubeadm's names where it has one.
const (
	controllerManagerConf  = "controller-manager.conf"
	schedulerConf          = "scheduler.conf"
	konnectivityServerConf = "konnectivity-server.conf"
	egressFile             = "egress.yaml"
)

// filesOf says which files each container sees. One Secret for the pod is what the kubelet
// fetches; a volume of its own for each container is what keeps the files apart.
func filesOf(in Input, container string) []string {
	switch container {
	case ContainerKonnectivityServer:
		return []string{"konnectivity-server.crt", "konnectivity-server.key", konnectivityServerConf}
	case ContainerAPIServer:
		files := []string{
			"ca.crt", "front-proxy-ca.crt", "etcd-ca.crt", "sa.pub", "sa.key",
			"apiserver.crt", "apiserver.key",
			"apiserver-kubelet-client.crt", "apiserver-kubelet-client.key",
			"apiserver-etcd-client.crt", "apiserver-etcd-client.key",
			"front-proxy-client.crt", "front-proxy-client.key",
			egressFile,
		}
		if usesOIDC(in) {
			files = append(files, authenticationFile)
		}
		return files
	case ContainerControllerManager:
		return []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "sa.key", controllerManagerConf}
	case ContainerScheduler:
		return []string{schedulerConf}
	default:
		return nil
	}
}

// credentialSecrets render what the pods read, a Secret for each kind of pod, and one for
// Teapot itself.
func credentialSecrets(in Input) ([]*corev1.Secret, error) {
	authorities, leaves := in.Credentials.Authorities, in.Credentials.Leaves
	egress, err := egressConfiguration(in)
	if err != nil {
		return nil, err
	}
	pod := map[string][]byte{
		"ca.crt":             authorities.Cluster.Cert,
		"ca.key":             authorities.Cluster.Key,
		"front-proxy-ca.crt": authorities.FrontProxy.Cert,
		"etcd-ca.crt":        authorities.Etcd.Cert,
		"sa.pub":             authorities.ServiceAccount.Cert,
		"sa.key":             authorities.ServiceAccount.Key,
		egressFile:           egress,
	}
	authentication, err := authenticationConfiguration(in)
	if err != nil {
		return nil, err
	}
	if authentication != nil {
		pod[authenticationFile] = authentication
	}
	etcd := map[string][]byte{"etcd-ca.crt": authorities.Etcd.Cert}
	data := map[string]map[string][]byte{ControlPlaneName: pod, EtcdName: etcd}
	loopback := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(PortAPIServer))
	for leaf, at := range places(in) {
		into := data[at.secret]
		switch {
		case into == nil: // a kubeconfig with a Secret of its own
		case at.kubeconfig == "":
			into[at.cert], into[at.key] = leaves[leaf].Cert, leaves[leaf].Key
		default:
			if into[at.kubeconfig], err = kubeconfig(in, loopback, "", leaf, leaf); err != nil {
				return nil, err
			}
		}
	}
	teapot, err := kubeconfig(in, in.MachinesURL(), in.Endpoint.Host, "teapot", pki.Teapot)
	if err != nil {
		return nil, err
	}
	return []*corev1.Secret{
		in.secret(EtcdName, etcd),
		in.secret(ControlPlaneName, pod),
		in.secret(ManagerKubeconfigName, map[string][]byte{KubeconfigKey: teapot}),
	}, nil
}

// MachinesURL is the way in as it is dialled: no name needs to be resolved.
func (in Input) MachinesURL() string {
	return "https://" + net.JoinHostPort(in.Endpoint.Address, strconv.Itoa(int(in.Endpoint.Port)))
}

// usersKubeconfig leads through the gateway, if there is one.
func usersKubeconfig(in Input) ([]byte, error) {
	server, serverName := in.Endpoint.URL(), ""
	if in.Gateway.ServerName != "" {
		server, serverName = in.Gateway.URL(), in.Gateway.ServerName
		if in.Gateway.Host == serverName {
			serverName = "" // it is resolved, and verified anyway
		}
	}
	return kubeconfig(in, server, serverName, in.Owner.Name+"-admin", pki.Admin)
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

// noKey stands in the authority's Secret where its key would. Cluster API's kubeadm bootstrap
// provider wants some data there (util/secret, EnsureAllExist: "missing key data") and does
// nothing with it: a worker gets the certificate alone.
const noKey = "the key of this authority is not given out\n"

// TenantSecrets render what the tenant's namespace gets: the kubeconfig of users, the one
// of Cluster API's controllers and the authority's certificate. Never an authority's key.
func TenantSecrets(in Input) ([]*corev1.Secret, error) {
	users, err := usersKubeconfig(in)
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
		in.secret(CertificateAuthorityName(in.ClusterName), map[string][]byte{
			corev1.TLSCertKey:       in.Credentials.Authorities.Cluster.Cert,
			corev1.TLSPrivateKeyKey: []byte(noKey),
		}),
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
