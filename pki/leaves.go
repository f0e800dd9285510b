package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/certs"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"

	"github.com/teapot-cloud/teapot/konnectivity"
)

// Signer is the authority that signs a leaf, by kubeadm's name.
type Signer string

// The authorities that sign.
const (
	SignerCluster    Signer = "ca"
	SignerFrontProxy Signer = "front-proxy-ca"
	SignerEtcd       Signer = "etcd-ca"
)

// Names of the leaves. The first seven are kubeadm's.
const (
	APIServer              = "apiserver"
	APIServerKubeletClient = "apiserver-kubelet-client"
	FrontProxyClient       = "front-proxy-client"
	EtcdServer             = "etcd-server"
	EtcdPeer               = "etcd-peer"
	EtcdHealthcheckClient  = "etcd-healthcheck-client"
	APIServerEtcdClient    = "apiserver-etcd-client"

	// KonnectivityServer is what the konnectivity server shows to agents.
	KonnectivityServer = "konnectivity-server"
	// KonnectivityServerClient is what the konnectivity server shows to the API server
	// when it asks whose token an agent brought.
	KonnectivityServerClient = "konnectivity-server-client"
	// ControllerManager and Scheduler are what these components show to the API server.
	ControllerManager = "controller-manager"
	Scheduler         = "scheduler"
	// Admin is for people. Its rights come from kubeadm's binding inside the tenant's
	// cluster, so a tenant who removes that binding takes them away.
	Admin = "admin"
	// ClusterAPI is for Cluster API's controllers, apart from people's so that audit logs
	// tell them apart.
	ClusterAPI = "cluster-api"
	// Teapot is for our manager. Its group is built into kube-apiserver and passes
	// authorization by, so that a tenant cannot lock the manager out; this is the
	// break-glass way in, and it never leaves the control plane's own namespace.
	Teapot = "teapot"
)

// KonnectivityServerUser is who the konnectivity server is in the tenant's cluster. It
// may review tokens there and nothing else (see package konnectivity).
const KonnectivityServerUser = konnectivity.ServerUser

// Leaf describes a certificate that an authority signs.
type Leaf struct {
	// Name is unique among the leaves.
	Name string
	// Signer is the authority that signs it.
	Signer Signer
	// CommonName is the name of the user, for a client's certificate.
	CommonName string
	// Organizations are the groups of the user, for a client's certificate.
	Organizations []string
	// Usages say whether it is a server's, a client's or both.
	Usages []x509.ExtKeyUsage
	// SANs are the names and addresses that a server's certificate is valid for: no two
	// alike, sorted.
	SANs certutil.AltNames
}

// Leaves lists every leaf of a control plane, always in the same order. It fails if a
// name is neither a DNS name nor an IP address.
func Leaves(n Names) ([]Leaf, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	var leaves []Leaf
	for _, cert := range certs.GetDefaultCertList() {
		if cert.CAName == "" {
			continue
		}
		leaf, err := kubeadmLeaf(cert, n)
		if err != nil {
			return nil, fmt.Errorf("describe certificate %s: %w", cert.Name, err)
		}
		leaves = append(leaves, leaf)
	}
	return append(leaves,
		Leaf{
			Name:       KonnectivityServer,
			Signer:     SignerCluster,
			CommonName: KonnectivityServer,
			Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			SANs:       altNames(n.konnectivity()),
		},
		client(KonnectivityServerClient, KonnectivityServerUser),
		client(ControllerManager, kubeadmconstants.ControllerManagerUser),
		client(Scheduler, kubeadmconstants.SchedulerUser),
		client(Admin, "kubernetes-admin", kubeadmconstants.ClusterAdminsGroupAndClusterRoleBinding),
		client(ClusterAPI, "cluster-api", kubeadmconstants.ClusterAdminsGroupAndClusterRoleBinding),
		client(Teapot, "teapot", kubeadmconstants.SystemPrivilegedGroup),
	), nil
}

// kubeadmLeaf asks kubeadm for the signer, subject and usages of one of its
// certificates. The names that a server's certificate is valid for are ours: kubeadm
// knows of machines, not of Services.
func kubeadmLeaf(cert *certs.KubeadmCert, n Names) (Leaf, error) {
	config, err := cert.GetConfig(&kubeadm.InitConfiguration{
		// kubeadm calls etcd's certificates after the machine that it runs on.
		NodeRegistration: kubeadm.NodeRegistrationOptions{Name: n.EtcdService},
		LocalAPIEndpoint: kubeadm.APIEndpoint{AdvertiseAddress: loopback},
		ClusterConfiguration: kubeadm.ClusterConfiguration{
			Networking: kubeadm.Networking{ServiceSubnet: n.ServiceCIDR, DNSDomain: n.DNSDomain},
		},
	})
	if err != nil {
		return Leaf{}, err
	}
	leaf := Leaf{
		Name:          cert.Name,
		Signer:        Signer(cert.CAName),
		CommonName:    config.CommonName,
		Organizations: config.Organization,
		Usages:        config.Usages,
	}
	switch cert.Name {
	case APIServer:
		names, err := n.apiServer()
		if err != nil {
			return Leaf{}, err
		}
		leaf.SANs = altNames(names)
	case EtcdServer:
		leaf.SANs = altNames(n.etcdServer())
	case EtcdPeer:
		leaf.SANs = altNames(n.etcdPeer())
	}
	return leaf, nil
}

// client is a certificate for a client of the API server.
func client(name, user string, groups ...string) Leaf {
	return Leaf{
		Name:          name,
		Signer:        SignerCluster,
		CommonName:    user,
		Organizations: groups,
		Usages:        []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// config is what kubeadm's signing code takes.
func (l Leaf) config() *pkiutil.CertConfig {
	return &pkiutil.CertConfig{
		Config: certutil.Config{
			CommonName:   l.CommonName,
			Organization: l.Organizations,
			AltNames: certutil.AltNames{
				DNSNames: slices.Clone(l.SANs.DNSNames),
				IPs:      slices.Clone(l.SANs.IPs),
			},
			Usages: l.Usages,
		},
		EncryptionAlgorithm: keyAlgorithm,
	}
}

// altNames sorts names into DNS names and IP addresses, drops empty ones and those
// that appear twice.
func altNames(names []string) certutil.AltNames {
	var sans certutil.AltNames
	for _, name := range sets.List(sets.New(names...)) {
		if name == "" {
			continue
		}
		if ip := net.ParseIP(name); ip != nil {
			sans.IPs = append(sans.IPs, ip)
			continue
		}
		sans.DNSNames = append(sans.DNSNames, name)
	}
	pkiutil.RemoveDuplicateAltNames(&sans)
	return sans
}
