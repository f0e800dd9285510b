package pki

import (
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestKubeconfig(t *testing.T) {
	authorities := newAuthorities(t)
	given := Kubeconfig{
		Cluster:       "acme",
		Server:        "https://192.0.2.10:30443",
		TLSServerName: "acme.example.com",
		CA:            authorities.Cluster.Cert,
		User:          "acme-admin",
		Client:        newLeaf(t, authorities, Admin),
	}
	for _, tt := range []struct {
		name          string
		given         func(*Kubeconfig)
		wantContext   string
		wantNamespace string
	}{
		{"the context is called after user and cluster", func(*Kubeconfig) {}, "acme-admin@acme", "default"},
		{"the context has a name", func(k *Kubeconfig) { k.Context = "acme" }, "acme", "default"},
		{"the context has a namespace", func(k *Kubeconfig) { k.Namespace = "web" }, "acme-admin@acme", "web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kubeconfig := given
			tt.given(&kubeconfig)
			encoded, err := kubeconfig.Encode()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := clientcmd.Load(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if raw.CurrentContext != tt.wantContext {
				t.Errorf("the context is %q, want %q", raw.CurrentContext, tt.wantContext)
			}
			config := clientcmd.NewDefaultClientConfig(*raw, nil)
			if namespace, _, err := config.Namespace(); err != nil || namespace != tt.wantNamespace {
				t.Errorf("the namespace is %q (%v), want %q", namespace, err, tt.wantNamespace)
			}
			rest, err := config.ClientConfig()
			if err != nil {
				t.Fatal(err)
			}
			if rest.Host != given.Server || rest.ServerName != given.TLSServerName ||
				string(rest.CAData) != string(given.CA) ||
				string(rest.CertData) != string(given.Client.Cert) || string(rest.KeyData) != string(given.Client.Key) {
				t.Errorf("a client would use %v", rest)
			}
		})
	}
}
