package pki

import (
	"bytes"
	"strings"
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
			client, err := ClientOf(encoded)
			if err != nil || string(client.Cert) != string(given.Client.Cert) || string(client.Key) != string(given.Client.Key) {
				t.Errorf("the client in it is %s (%v)", client.Cert, err)
			}
			// What clientcmd would write of it.
			if plain, err := clientcmd.Write(*raw); err != nil || string(plain) != string(encoded) {
				t.Errorf("it is\n%s\nwant (%v)\n%s", encoded, err, plain)
			}
		})
	}
}

func TestClientOf(t *testing.T) {
	for _, tt := range []struct {
		name, kubeconfig, want, wantErr string
	}{
		{"fields in an order of somebody else's", "users: [{name: a, user: {client-key-data: a2V5, client-certificate-data: Y2VydA==}}]", "cert key", ""},
		{"over lines", "users:\n- name: a\n  user:\n    client-key-data: a2V5\n    client-certificate-data: \"Y2Vy\\\n      dA==\"\n", "cert key", ""},
		{"as Encode writes it", "users:\n- name: a\n  user:\n    client-certificate-data: Y2VydA==\n    client-key-data: a2V5\n", "cert key", ""},
		{"without a key", "users:\n- name: a\n  user:\n    client-certificate-data: Y2VydA==\n", "cert ", ""},
		{"two users", "users: [{name: a, user: {client-key-data: a2V5}}, {name: b, user: {client-key-data: a2V5}}]", " ", "it has 2 users"},
		{"nothing", "", " ", "it has 0 users"},
		{"no YAML", "{", " ", "decode kubeconfig"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := ClientOf([]byte(tt.kubeconfig))
			if got := string(client.Cert) + " " + string(client.Key); got != tt.want {
				t.Errorf("the client is %q, want %q", got, tt.want)
			}
			if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("the error is %v, want one with %q", err, tt.wantErr)
			}
		})
	}
}

func BenchmarkKubeconfig(b *testing.B) {
	long := bytes.Repeat([]byte("A certificate is some 800 bytes long.\n"), 22)
	given := Kubeconfig{Cluster: "acme", Server: "https://192.0.2.10:30443", CA: long, User: "acme-admin", Client: KeyPair{Cert: long, Key: long[:240]}}
	encoded, err := given.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			_, _ = given.Encode()
		}
	})
	b.Run("client", func(b *testing.B) {
		for b.Loop() {
			_, _ = ClientOf(encoded)
		}
	})
}
