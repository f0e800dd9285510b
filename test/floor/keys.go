package floor

import (
	"fmt"
	"time"

	"github.com/teapot-cloud/teapot/konnectivity"
	"github.com/teapot-cloud/teapot/pki"
)

// keys are what the pod reads: the data of its Secret, and the certificate of the
// authority that its API server is trusted by.
type keys struct {
	secret map[string][]byte
	ca     []byte
	// client is of the group that passes authorization by.
	client pki.KeyPair
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
		Namespace: namespace, APIServerService: Name,
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

	files := map[string][]byte{
		"ca.crt": authorities.Cluster.Cert, "ca.key": authorities.Cluster.Key,
		"front-proxy-ca.crt": authorities.FrontProxy.Cert, "etcd-ca.crt": authorities.Etcd.Cert,
		"sa.pub": authorities.ServiceAccount.Cert, "sa.key": authorities.ServiceAccount.Key,
	}
	for file, leaf := range map[string]string{
		"server":                   pki.EtcdServer,
		"peer":                     pki.EtcdPeer,
		"apiserver":                pki.APIServer,
		"apiserver-kubelet-client": pki.APIServerKubeletClient,
		"apiserver-etcd-client":    pki.APIServerEtcdClient,
		"front-proxy-client":       pki.FrontProxyClient,
		"konnectivity-server":      pki.KonnectivityServer,
	} {
		files[file+".crt"], files[file+".key"] = leaves[leaf].Cert, leaves[leaf].Key
	}
	for file, leaf := range map[string]string{
		"controller-manager.conf":  pki.ControllerManager,
		"scheduler.conf":           pki.Scheduler,
		"konnectivity-server.conf": pki.KonnectivityServerClient,
	} {
		files[file], err = pki.Kubeconfig{
			Cluster: Name, Server: "https://127.0.0.1:6443", CA: authorities.Cluster.Cert,
			User: leaf, Client: leaves[leaf],
		}.Encode()
		if err != nil {
			return keys{}, fmt.Errorf("floor %s: %w", namespace, err)
		}
	}
	files["egress.yaml"], err = konnectivity.EgressSelectorConfiguration("@konnectivity-server")
	if err != nil {
		return keys{}, fmt.Errorf("floor %s: %w", namespace, err)
	}
	return keys{secret: files, ca: authorities.Cluster.Cert, client: leaves[pki.Teapot]}, nil
}
