package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/controlplane"
)

// secretFacts collects what can be said of Secrets without telling them. Their values are
// kept in memory until the archive is written, so that they are found wherever else they
// might be.
func (c *collector) secretFacts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	var list corev1.SecretList
	if err := c.client.List(ctx, &list, client.InNamespace(c.own)); err != nil {
		c.lack("secrets.txt, namespace "+c.own, err)
	}
	c.secrets = list.Items
	// The tenant's namespace has Secrets of others too, so these are asked for by name.
	names := []string{
		controlplane.UserKubeconfigName(c.key.Name), controlplane.KubeconfigName(c.key.Name), controlplane.CertificateAuthorityName(c.key.Name),
	}
	if c.tcp != nil && c.tcp.Status.Secrets != nil {
		s := c.tcp.Status.Secrets
		names = []string{s.UserKubeconfig, s.Kubeconfig, s.CertificateAuthority}
	}
	for _, name := range names {
		var secret corev1.Secret
		if err := c.client.Get(ctx, types.NamespacedName{Namespace: c.key.Namespace, Name: name}, &secret); err != nil {
			c.lack(fmt.Sprintf("secrets.txt, Secret %s/%s", c.key.Namespace, name), err)
			continue
		}
		c.secrets = append(c.secrets, secret)
	}
	if len(c.secrets) > 0 {
		c.files["secrets.txt"] = tableText(secretRows(c.secrets))
	}
	return nil
}

// secretRows says of each key of each Secret how large its value is, in bytes, and when the
// certificates in it end.
func secretRows(secrets []corev1.Secret) [][]string {
	rows := [][]string{{"NAMESPACE", "SECRET", "TYPE", "KEY", "BYTES", "CERTIFICATES END"}}
	for i := range secrets {
		secret := &secrets[i]
		for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
			value := secret.Data[key]
			end := ""
			if first := firstExpiry(value); !first.IsZero() {
				end = inFiles.since(first)
			}
			rows = append(rows, []string{secret.Namespace, secret.Name, string(secret.Type), key, fmt.Sprint(len(value)), end})
		}
	}
	return rows
}

// firstExpiry is when the first of the certificates in a value ends, in PEM or as clients'
// certificates of a kubeconfig; zero if there is none.
func firstExpiry(value []byte) time.Time {
	certificates, _ := certutil.ParseCertsPEM(value)
	if config, err := clientcmd.Load(value); err == nil {
		for _, user := range config.AuthInfos {
			more, _ := certutil.ParseCertsPEM(user.ClientCertificateData)
			certificates = append(certificates, more...)
		}
	}
	if len(certificates) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}
