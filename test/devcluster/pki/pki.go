// Package pki makes the development cluster's keys and certificates. All keys
// are ECDSA P-256; nothing is meant to outlive a development cluster.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// validity is how long certificates last: longer than any development cluster.
const validity = 365 * 24 * time.Hour

// Pair is a certificate with its key, PEM encoded.
type Pair struct {
	Cert, Key []byte
}

// CA signs certificates.
type CA struct {
	Pair
	cert *x509.Certificate
	key  crypto.Signer
}

// Identity says for whom a certificate is.
type Identity struct {
	// CommonName is the user name of a client.
	CommonName string
	// Groups are the client's groups.
	Groups []string
	// Hosts are the DNS names and IP addresses of a server; with none, the
	// certificate serves clients only.
	Hosts []string
}

// NewCA makes a self-signed authority.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of %s: %w", name, err)
	}
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name}, key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	pair, err := encode(cert.Raw, key)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", name, err)
	}
	return &CA{Pair: pair, cert: cert, key: key}, nil
}

// Issue makes a key and a certificate for it.
func (ca *CA) Issue(id Identity) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of %s: %w", id.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Pair{}, fmt.Errorf("making a serial number: %w", err)
	}
	template := &x509.Certificate{
		Subject:      pkix.Name{CommonName: id.CommonName, Organization: id.Groups},
		SerialNumber: serial,
		// A minute's grace for clocks that are set while the cluster runs.
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(validity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if len(id.Hosts) > 0 {
		// etcd's peers and its gRPC gateway are clients as well.
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range id.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", id.CommonName, err)
	}
	return encode(der, key)
}

// encode turns certificate and key into PEM.
func encode(der []byte, key crypto.Signer) (Pair, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, err
	}
	certPEM, err := certutil.EncodeCertificates(cert)
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: certPEM, Key: keyPEM}, nil
}

// Kubeconfig returns a kubeconfig with everything inline and one context.
func Kubeconfig(name, server string, ca []byte, user string, pair Pair) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	return config
}
