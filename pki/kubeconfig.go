package pki

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	// To write YAML of long strings takes most of the time in which a manager finds that nothing is to be
	// done, so they are put in afterwards.
	var long stand
	config := clientcmdapi.NewConfig()
	config.Clusters[k.Cluster] = &clientcmdapi.Cluster{
		Server:                   k.Server,
		TLSServerName:            k.TLSServerName,
		CertificateAuthorityData: long.in(k.CA),
	}
	config.AuthInfos[k.User] = &clientcmdapi.AuthInfo{
		ClientCertificateData: long.in(k.Client.Cert),
		ClientKeyData:         long.in(k.Client.Key),
	}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: k.Cluster, AuthInfo: k.User, Namespace: k.Namespace}
	config.CurrentContext = context
	encoded, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig of %s: %w", context, err)
	}
	return []byte(strings.NewReplacer(long.pairs...).Replace(string(encoded))), nil
}

// stand has something short stand for what is long, and pairs of both as base64 (RFC 4648), with upper-case
// letters that no name or URL of a kubeconfig has.
type stand struct{ pairs []string }

func (s *stand) in(long []byte) []byte {
	if len(long) == 0 {
		return nil
	}
	short := fmt.Appendf(nil, "TEAPOT STANDS %02d", len(s.pairs))
	s.pairs = append(s.pairs, base64.StdEncoding.EncodeToString(short), base64.StdEncoding.EncodeToString(long))
	return short
}

// ClientOf returns what the user of a kubeconfig file shows, if there is one user in it.
func ClientOf(encoded []byte) (KeyPair, error) {
	// As Encode writes it; to read YAML takes a hundred times as long.
	cert, hasCert := onlyData(encoded, "client-certificate-data: ")
	key, hasKey := onlyData(encoded, "client-key-data: ")
	if hasCert && hasKey {
		return KeyPair{Cert: cert, Key: key}, nil
	}
	config, err := clientcmd.Load(encoded)
	if err != nil {
		return KeyPair{}, fmt.Errorf("decode kubeconfig: %w", err)
	}
	users := slices.Collect(maps.Values(config.AuthInfos))
	if len(users) != 1 {
		return KeyPair{}, fmt.Errorf("decode kubeconfig: it has %d users, and must have one", len(users))
	}
	return KeyPair{Cert: users[0].ClientCertificateData, Key: users[0].ClientKeyData}, nil
}

// onlyData decodes what follows a field's name in the one line that has it.
func onlyData(encoded []byte, field string) ([]byte, bool) {
	_, after, found := bytes.Cut(encoded, []byte(field))
	if !found || bytes.Contains(after, []byte(field)) {
		return nil, false
	}
	line, _, _ := bytes.Cut(after, []byte("\n"))
	data, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(line))
	return data, err == nil
}
