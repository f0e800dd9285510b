package controlplane

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/teapot-cloud/teapot/pki"
)

// Credentials are the keys and certificates of a control plane.
type Credentials struct {
	// Authorities cannot be made anew once data exists that depends on them.
	Authorities pki.Authorities
	// Leaves by name (pki.APIServer, …); each can be issued anew at any time.
	Leaves map[string]pki.KeyPair
}

// Issued says that a certificate was made and why.
type Issued struct {
	Leaf string
	pki.Why
}

// SecretData is the data of the Secrets of a control plane as they were observed, by
// name: those of its own namespace and, since their names cannot clash with these, those
// of the tenant's.
type SecretData map[string]map[string][]byte

// place is where a leaf is kept: as two files of a Secret, or inside a kubeconfig.
type place struct {
	secret     string
	cert, key  string
	kubeconfig string
}

// places says for every leaf that the input needs where it is kept. What is not listed is
// not issued.
func places(in Input) map[string]place {
	where := map[string]place{
		pki.APIServer:              {secret: ControlPlaneName, cert: "apiserver.crt", key: "apiserver.key"},
		pki.APIServerKubeletClient: {secret: ControlPlaneName, cert: "apiserver-kubelet-client.crt", key: "apiserver-kubelet-client.key"},
		pki.APIServerEtcdClient:    {secret: ControlPlaneName, cert: "apiserver-etcd-client.crt", key: "apiserver-etcd-client.key"},
		pki.FrontProxyClient:       {secret: ControlPlaneName, cert: "front-proxy-client.crt", key: "front-proxy-client.key"},
		pki.EtcdServer:             {secret: EtcdName, cert: "server.crt", key: "server.key"},
		pki.EtcdPeer:               {secret: EtcdName, cert: "peer.crt", key: "peer.key"},
		pki.ControllerManager:      {secret: ControlPlaneName, kubeconfig: controllerManagerConf},
		pki.Scheduler:              {secret: ControlPlaneName, kubeconfig: schedulerConf},
		pki.Teapot:                 {secret: ManagerKubeconfigName, kubeconfig: KubeconfigKey},
		pki.Admin:                  {secret: UserKubeconfigName(in.Owner.Name), kubeconfig: KubeconfigKey},
		pki.ClusterAPI:             {secret: KubeconfigName(in.ClusterName), kubeconfig: KubeconfigKey},
	}
	if in.Konnectivity() {
		where[pki.KonnectivityServer] = place{secret: ControlPlaneName, cert: "konnectivity-server.crt", key: "konnectivity-server.key"}
		where[pki.KonnectivityServerClient] = place{secret: ControlPlaneName, kubeconfig: konnectivityServerConf}
	}
	return where
}

// TenantSecretNames are the Secrets that are kept in the tenant's namespace and hold a
// leaf.
func TenantSecretNames(in Input) []string {
	return []string{UserKubeconfigName(in.Owner.Name), KubeconfigName(in.ClusterName)}
}

// SecretOf refers to the Secret that a leaf is kept in.
func SecretOf(in Input, leaf string) *corev1.Secret {
	secret := in.secret(places(in)[leaf].secret, nil)
	if slices.Contains(TenantSecretNames(in), secret.Name) {
		secret.Namespace = in.Owner.Namespace
	}
	return secret
}

// OwnSecretNames are the Secrets of the control plane's own namespace that hold a leaf.
func OwnSecretNames() []string { return []string{ControlPlaneName, EtcdName, ManagerKubeconfigName} }

// find reads a leaf from the Secrets. What cannot be read counts as missing: the leaf is
// then issued anew.
func (p place) find(secrets SecretData) pki.KeyPair {
	data := secrets[p.secret]
	if p.kubeconfig == "" {
		return pki.KeyPair{Cert: data[p.cert], Key: data[p.key]}
	}
	client, err := pki.ClientOf(data[p.kubeconfig])
	if err != nil {
		return pki.KeyPair{}
	}
	return client
}

// PlanCredentials keeps every certificate that is still right for the input's names and
// issues the others. It says what it issued, and why.
func PlanCredentials(in Input, authorities pki.Authorities, observed SecretData, now time.Time) (Credentials, []Issued, error) {
	leaves, err := pki.Leaves(certificateNames(in))
	if err != nil {
		return Credentials{}, nil, err
	}
	credentials := Credentials{Authorities: authorities, Leaves: map[string]pki.KeyPair{}}
	var issued []Issued
	where := places(in)
	for _, leaf := range leaves {
		at, ok := where[leaf.Name]
		if !ok {
			continue
		}
		pair, why, err := authorities.Ensure(leaf, at.find(observed), now)
		if err != nil {
			return Credentials{}, nil, err
		}
		if why.Reason != "" {
			issued = append(issued, Issued{Leaf: leaf.Name, Why: why})
		}
		credentials.Leaves[leaf.Name] = pair
	}
	return credentials, issued, nil
}

func certificateNames(in Input) pki.Names {
	members := make([]string, Size(in.Spec).EtcdMembers)
	for ordinal := range members {
		members[ordinal] = EtcdName + "-" + strconv.Itoa(ordinal)
	}
	return pki.Names{
		Host:             in.Endpoint.Host,
		Address:          in.Endpoint.Address,
		Gateway:          in.Gateway.ServerName,
		SubjectAltNames:  in.Spec.Endpoint.SubjectAltNames,
		ServiceCIDR:      in.Spec.Network.ServiceCIDR,
		DNSDomain:        in.Spec.Network.DNSDomain,
		Namespace:        in.Namespace(),
		APIServerService: ControlPlaneName,
		EtcdService:      EtcdName,
		EtcdAddress:      in.EtcdClientIP,
		EtcdPeerService:  EtcdPeerName,
		EtcdMembers:      members,
	}
}

// Expiry returns when the first certificate ends, the authorities' included, and when
// the next one is due for renewal (two thirds of its life, see pki).
func (c Credentials) Expiry() (first time.Time, renewal time.Time, err error) {
	certificates := [][]byte{c.Authorities.Cluster.Cert, c.Authorities.FrontProxy.Cert, c.Authorities.Etcd.Cert}
	leavesFrom := len(certificates)
	for _, leaf := range c.Leaves {
		certificates = append(certificates, leaf.Cert)
	}
	for i, certificate := range certificates {
		end, err := pki.NotAfter(certificate)
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
		if first.IsZero() || end.Before(first) {
			first = end
		}
		if i < leavesFrom {
			continue
		}
		due, err := pki.RenewalTime(certificate)
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
		if renewal.IsZero() || due.Before(renewal) {
			renewal = due
		}
	}
	return first, renewal, nil
}

// URL is the API's base URL by which machines come.
func (e Endpoint) URL() string {
	return "https://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// restartHash changes with every file that a component of the control-plane pod reads
// only at its start. Serving certificates, the client authority and the API server's own
// client certificates are reloaded while it runs and are not part of it.
func (c Credentials) restartHash(in Input) (string, error) {
	egress, err := egressConfiguration(in)
	if err != nil {
		return "", err
	}
	parts := [][]byte{
		c.Authorities.Cluster.Cert, c.Authorities.FrontProxy.Cert, c.Authorities.Etcd.Cert,
		c.Authorities.ServiceAccount.Cert, c.Authorities.ServiceAccount.Key,
		egress,
	}
	for _, leaf := range []string{pki.ControllerManager, pki.Scheduler, pki.KonnectivityServer, pki.KonnectivityServerClient} {
		parts = append(parts, c.Leaves[leaf].Cert)
	}
	return hash(parts...), nil
}

// etcdRestartHash changes with the authority, which etcd reads only at its start; its own
// certificates it reads at each handshake.
func (c Credentials) etcdRestartHash() (string, error) {
	if len(c.Authorities.Etcd.Cert) == 0 {
		return "", fmt.Errorf("etcd's authority is missing")
	}
	return hash(c.Authorities.Etcd.Cert), nil
}

func hash(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
