package floor

import (
	"fmt"
	"time"

	"github.com/teapot-cloud/teapot/pki"
)

// keys are the floor's credentials: the data of its Secrets, by name, and the certificate
// of the authority that its API server is trusted by.
type keys struct {
	secrets map[string]map[string][]byte
	ca      []byte
}

// newKeys makes everything that the pod reads. The API server is reached by address.
func newKeys(namespace, address string, now time.Time) (keys, error) {
	authorities, err := pki.NewAuthorities(now)
	if err != nil {
		return keys{}, err
	}
	wanted, err := pki.Leaves(pki.Names{
		Host: address, Address: address,
		ServiceCIDR: "10.96.0.0/16", DNSDomain: "cluster.local",
		Namespace: namespace, APIServerService: "floor",
		// etcd is reached over loopback; these only fill its certificate.
		EtcdService: "etcd", EtcdPeerService: "etcd-peer", EtcdMembers: []string{"etcd-0"},
	})
	if err != nil {
		return keys{}, err
	}
	leaves := map[string]pki.KeyPair{}
	for _, leaf := range wanted {
		if leaves[leaf.Name], _, err = authorities.Ensure(leaf, pki.KeyPair{}, now); err != nil {
			return keys{}, err
		}
	}

	made := keys{ca: authorities.Cluster.Cert, secrets: map[string]map[string][]byte{
		"etcd": {
			"etcd-ca.crt": authorities.Etcd.Cert,
			"server.crt":  leaves[pki.EtcdServer].Cert, "server.key": leaves[pki.EtcdServer].Key,
			"peer.crt": leaves[pki.EtcdPeer].Cert, "peer.key": leaves[pki.EtcdPeer].Key,
		},
		"konnectivity-server": {
			"tls.crt": leaves[pki.KonnectivityServer].Cert, "tls.key": leaves[pki.KonnectivityServer].Key,
		},
		"kube-apiserver": {
			"ca.crt": authorities.Cluster.Cert, "front-proxy-ca.crt": authorities.FrontProxy.Cert, "etcd-ca.crt": authorities.Etcd.Cert,
			"sa.pub": authorities.ServiceAccount.Cert, "sa.key": authorities.ServiceAccount.Key,
			"apiserver.crt": leaves[pki.APIServer].Cert, "apiserver.key": leaves[pki.APIServer].Key,
			"apiserver-kubelet-client.crt": leaves[pki.APIServerKubeletClient].Cert, "apiserver-kubelet-client.key": leaves[pki.APIServerKubeletClient].Key,
			"apiserver-etcd-client.crt": leaves[pki.APIServerEtcdClient].Cert, "apiserver-etcd-client.key": leaves[pki.APIServerEtcdClient].Key,
			"front-proxy-client.crt": leaves[pki.FrontProxyClient].Cert, "front-proxy-client.key": leaves[pki.FrontProxyClient].Key,
		},
		"kube-controller-manager": {
			"ca.crt": authorities.Cluster.Cert, "ca.key": authorities.Cluster.Key,
			"front-proxy-ca.crt": authorities.FrontProxy.Cert, "sa.key": authorities.ServiceAccount.Key,
		},
		"kube-scheduler": {},
	}}
	for secret, leaf := range map[string]string{
		"konnectivity-server":     pki.KonnectivityServerClient,
		"kube-controller-manager": pki.ControllerManager,
		"kube-scheduler":          pki.Scheduler,
	} {
		made.secrets[secret]["kubeconfig"], err = pki.Kubeconfig{
			Cluster: "floor", Server: "https://127.0.0.1:6443", CA: authorities.Cluster.Cert,
			User: leaf, Client: leaves[leaf],
		}.Encode()
		if err != nil {
			return keys{}, fmt.Errorf("floor %s: %w", namespace, err)
		}
	}
	return made, nil
}
