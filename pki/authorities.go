package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/certs"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"
)

// Keys of the Secret that holds the authorities. Those that kubeadm has a file for
// carry the file's name; etcd's, which kubeadm keeps in a folder, are flattened.
const (
	ClusterCertKey           = "ca.crt"
	ClusterKeyKey            = "ca.key"
	FrontProxyCertKey        = "front-proxy-ca.crt"
	FrontProxyKeyKey         = "front-proxy-ca.key"
	EtcdCertKey              = "etcd-ca.crt"
	EtcdKeyKey               = "etcd-ca.key"
	ServiceAccountPublicKey  = "sa.pub"
	ServiceAccountPrivateKey = "sa.key"
)

// keyAlgorithm is used for every key: the smallest and fastest that every client of
// Kubernetes understands.
const keyAlgorithm = kubeadm.EncryptionAlgorithmECDSAP256

// KeyPair is a certificate (or public key) and its private key, both in PEM.
type KeyPair struct {
	Cert []byte
	Key  []byte
}

// Authorities is what a control plane's trust rests on. It cannot be made anew over
// existing data: machines, users and tokens trust these very keys.
type Authorities struct {
	// Cluster signs what the API server and its clients show.
	Cluster KeyPair
	// FrontProxy signs what the API server shows to aggregated API servers.
	FrontProxy KeyPair
	// Etcd signs what etcd, its peers and its clients show.
	Etcd KeyPair
	// ServiceAccount signs service-account tokens. Cert is the public key.
	ServiceAccount KeyPair
}

// NewAuthorities makes new authorities, valid for ten years from now, kubeadm's default.
func NewAuthorities(now time.Time) (Authorities, error) {
	var made Authorities
	for _, cert := range certs.GetDefaultCertList() {
		if cert.CAName != "" {
			continue
		}
		pair := made.byName(Signer(cert.Name))
		if pair == nil {
			return Authorities{}, fmt.Errorf("kubeadm names an authority %q that Teapot does not know", cert.Name)
		}
		config, err := cert.GetConfig(&kubeadm.InitConfiguration{})
		if err != nil {
			return Authorities{}, fmt.Errorf("describe authority %s: %w", cert.Name, err)
		}
		config.EncryptionAlgorithm = keyAlgorithm
		config.NotBefore = notBefore(now)
		config.NotAfter = now.Add(kubeadmconstants.CACertificateValidityPeriod).UTC()
		authority, key, err := pkiutil.NewCertificateAuthority(config)
		if err != nil {
			return Authorities{}, fmt.Errorf("make authority %s: %w", cert.Name, err)
		}
		if *pair, err = encode(authority, key); err != nil {
			return Authorities{}, fmt.Errorf("make authority %s: %w", cert.Name, err)
		}
	}
	var err error
	if made.ServiceAccount, err = newServiceAccountKeys(); err != nil {
		return Authorities{}, fmt.Errorf("make service-account keys: %w", err)
	}
	return made, nil
}

// Data returns the authorities as the data of a Secret; ParseAuthorities reads it.
func (a Authorities) Data() map[string][]byte {
	return map[string][]byte{
		ClusterCertKey:           a.Cluster.Cert,
		ClusterKeyKey:            a.Cluster.Key,
		FrontProxyCertKey:        a.FrontProxy.Cert,
		FrontProxyKeyKey:         a.FrontProxy.Key,
		EtcdCertKey:              a.Etcd.Cert,
		EtcdKeyKey:               a.Etcd.Key,
		ServiceAccountPublicKey:  a.ServiceAccount.Cert,
		ServiceAccountPrivateKey: a.ServiceAccount.Key,
	}
}

// ParseAuthorities reads the data of a Secret that Data made. An error names the key
// of the Secret that is wrong and what to do; nothing is repaired here, since a new
// key would lock out everything that trusts the old one.
func ParseAuthorities(data map[string][]byte) (Authorities, error) {
	a := Authorities{
		Cluster:        KeyPair{Cert: data[ClusterCertKey], Key: data[ClusterKeyKey]},
		FrontProxy:     KeyPair{Cert: data[FrontProxyCertKey], Key: data[FrontProxyKeyKey]},
		Etcd:           KeyPair{Cert: data[EtcdCertKey], Key: data[EtcdKeyKey]},
		ServiceAccount: KeyPair{Cert: data[ServiceAccountPublicKey], Key: data[ServiceAccountPrivateKey]},
	}
	for _, authority := range []struct {
		pair             KeyPair
		certKey, keyKey  string
		checkCertificate func(certKey string, pem []byte) (crypto.PublicKey, error)
	}{
		{a.Cluster, ClusterCertKey, ClusterKeyKey, authorityPublicKey},
		{a.FrontProxy, FrontProxyCertKey, FrontProxyKeyKey, authorityPublicKey},
		{a.Etcd, EtcdCertKey, EtcdKeyKey, authorityPublicKey},
		{a.ServiceAccount, ServiceAccountPublicKey, ServiceAccountPrivateKey, serviceAccountPublicKey},
	} {
		public, err := authority.checkCertificate(authority.certKey, authority.pair.Cert)
		if err != nil {
			return Authorities{}, err
		}
		if len(authority.pair.Key) == 0 {
			return Authorities{}, unusable(authority.keyKey, "is missing")
		}
		key, err := parseKey(authority.pair.Key)
		if err != nil {
			return Authorities{}, unusable(authority.keyKey, "is not a private key in PEM")
		}
		if !samePublicKey(public, key.Public()) {
			return Authorities{}, unusable(authority.keyKey, "does not belong to "+authority.certKey)
		}
	}
	return a, nil
}

// UnusableError says that one key of the authorities' Secret cannot be used.
type UnusableError struct{ Key, Problem string }

func (e *UnusableError) Error() string {
	return fmt.Sprintf("key %q %s: restore the Secret from a backup; it is never made anew, "+
		"since machines, users and tokens trust the keys that were in it", e.Key, e.Problem)
}

func unusable(key, problem string) error { return &UnusableError{Key: key, Problem: problem} }

func authorityPublicKey(certKey string, pem []byte) (crypto.PublicKey, error) {
	if len(pem) == 0 {
		return nil, unusable(certKey, "is missing")
	}
	cert, err := parseCertificate(pem)
	if err != nil {
		return nil, unusable(certKey, "is not a certificate in PEM")
	}
	if !cert.IsCA {
		return nil, unusable(certKey, "is not a certificate authority")
	}
	return cert.PublicKey, nil
}

func serviceAccountPublicKey(certKey string, pem []byte) (crypto.PublicKey, error) {
	if len(pem) == 0 {
		return nil, unusable(certKey, "is missing")
	}
	keys, err := keyutil.ParsePublicKeysPEM(pem)
	if err != nil {
		return nil, unusable(certKey, "is not a public key in PEM")
	}
	// The first key is the one that signs; further ones would only verify.
	return keys[0], nil
}

// byName returns the authority of kubeadm's name, or nil if there is none.
func (a *Authorities) byName(name Signer) *KeyPair {
	switch name {
	case SignerCluster:
		return &a.Cluster
	case SignerFrontProxy:
		return &a.FrontProxy
	case SignerEtcd:
		return &a.Etcd
	default:
		return nil
	}
}

func newServiceAccountKeys() (KeyPair, error) {
	key, err := pkiutil.NewPrivateKey(keyAlgorithm)
	if err != nil {
		return KeyPair{}, err
	}
	private, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return KeyPair{}, err
	}
	public, err := pkiutil.EncodePublicKeyPEM(key.Public())
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: public, Key: private}, nil
}

// notBefore is the start of a certificate made now: a little earlier, as kubeadm does
// it, for machines whose clocks are behind.
func notBefore(now time.Time) time.Time {
	return now.Add(-kubeadmconstants.CertificateBackdate).UTC()
}

func encode(cert *x509.Certificate, key crypto.Signer) (KeyPair, error) {
	private, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: pkiutil.EncodeCertPEM(cert), Key: private}, nil
}

// parseCertificate reads the first certificate of a PEM text.
func parseCertificate(pem []byte) (*x509.Certificate, error) {
	all, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func parseKey(pem []byte) (crypto.Signer, error) {
	key, err := keyutil.ParsePrivateKeyPEM(pem)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	derA, errA := x509.MarshalPKIXPublicKey(a)
	derB, errB := x509.MarshalPKIXPublicKey(b)
	return errA == nil && errB == nil && bytes.Equal(derA, derB)
}

// NotAfter returns when a certificate in PEM ends.
func NotAfter(certPEM []byte) (time.Time, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return time.Time{}, fmt.Errorf("read certificate: %w", err)
	}
	return cert.NotAfter, nil
}
