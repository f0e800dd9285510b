// Package floor writes by hand what joins a machine to a tenant's cluster. It is what Teapot's
// way of doing it is measured against (power_on_to_ready in test/bench): somebody who knows the
// control plane and sits at the machine would write no less.
package floor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pubkeypin"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// Join is what a machine needs to know to join.
type Join struct {
	// Endpoint is host:port of the API, by the machines' way in.
	Endpoint string
	// Token is a bootstrap token.
	Token string
	// CAHashes pin the authorities of the API's certificate, in kubeadm's form.
	CAHashes []string
}

// tokenLife is how long a token of Prepare is valid, which bounds a run of tests.
const tokenLife = time.Hour

// Prepare makes a bootstrap token in a tenant's cluster. The configuration is that of an
// administrator who comes by the machines' way in.
func Prepare(ctx context.Context, tenant *rest.Config) (*Join, error) {
	server, err := url.Parse(tenant.Host)
	if err != nil {
		return nil, fmt.Errorf("parsing the API's address: %w", err)
	}
	authorities, err := certutil.ParseCertsPEM(tenant.CAData)
	if err != nil {
		return nil, fmt.Errorf("parsing the API's authority: %w", err)
	}
	client, err := kubernetes.NewForConfig(tenant)
	if err != nil {
		return nil, err
	}
	token, err := bootstraputil.GenerateBootstrapToken()
	if err != nil {
		return nil, err
	}
	id, secret, err := split(token)
	if err != nil {
		return nil, err
	}
	_, err = client.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: bootstraputil.BootstrapTokenSecretName(id)},
		Type:       bootstrapapi.SecretTypeBootstrapToken,
		StringData: map[string]string{
			bootstrapapi.BootstrapTokenIDKey:               id,
			bootstrapapi.BootstrapTokenSecretKey:           secret,
			bootstrapapi.BootstrapTokenExpirationKey:       time.Now().Add(tokenLife).UTC().Format(time.RFC3339),
			bootstrapapi.BootstrapTokenUsageSigningKey:     "true",
			bootstrapapi.BootstrapTokenUsageAuthentication: "true",
			bootstrapapi.BootstrapTokenExtraGroupsKey:      "system:bootstrappers:kubeadm:default-node-token",
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("making a bootstrap token: %w", err)
	}
	return &Join{Endpoint: server.Host, Token: token, CAHashes: hashes(authorities)}, nil
}

func split(token string) (id, secret string, err error) {
	parts := bootstraputil.BootstrapTokenRegexp.FindStringSubmatch(token)
	if len(parts) != 3 {
		return "", "", fmt.Errorf("the generated bootstrap token has not the form of one")
	}
	return parts[1], parts[2], nil
}

func hashes(authorities []*x509.Certificate) []string {
	var result []string
	for _, authority := range authorities {
		result = append(result, pubkeypin.Hash(authority))
	}
	return result
}

// userData is JSON, which is YAML too. Cgroups of v1, which the computer of a test may have, are
// an error to kubeadm.
const userData = `#cloud-config
write_files:
- path: /run/join.json
  permissions: "0600"
  content: |
    %s
runcmd:
- kubeadm join --config /run/join.json
`

// Drive returns a config drive with which a machine of the image of package image joins as soon
// as it has power. The provider id is optional.
func (j *Join) Drive(name, providerID string) (room.ConfigDrive, error) {
	registration := map[string]any{"name": name, "ignorePreflightErrors": []string{"SystemVerification"}}
	if providerID != "" {
		registration["kubeletExtraArgs"] = []map[string]string{{"name": "provider-id", "value": providerID}}
	}
	config, err := json.Marshal(map[string]any{
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
		"discovery": map[string]any{"bootstrapToken": map[string]any{
			"apiServerEndpoint": j.Endpoint, "token": j.Token, "caCertHashes": j.CAHashes,
		}},
		"nodeRegistration": registration,
	})
	if err != nil {
		return room.ConfigDrive{}, err
	}
	metaData, err := json.Marshal(map[string]string{"uuid": name, "name": name, "hostname": name, "local-hostname": name})
	if err != nil {
		return room.ConfigDrive{}, err
	}
	return room.ConfigDrive{MetaData: metaData, UserData: fmt.Appendf(nil, userData, config)}, nil
}
