package cli

import (
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The kubeconfig comes from a namespace of the tenant's: nothing in it may act here.
func TestNoKubeconfigActsHere(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)
		ok     bool
	}{
		{"as Teapot makes it", func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo) {}, true},
		{"a program", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.Exec = &clientcmdapi.ExecConfig{Command: "sh"}
		}, false},
		{"a provider", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) {
			u.AuthProvider = &clientcmdapi.AuthProviderConfig{}
		}, false},
		{"a token's file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.TokenFile = "/etc/shadow" }, false},
		{"a key's file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.ClientKey = "/etc/shadow" }, false},
		{"a certificate's file", func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.ClientCertificate = "/etc/shadow" }, false},
		{"an authority's file", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.CertificateAuthority = "/etc/shadow" }, false},
		{"trust in anybody", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.InsecureSkipTLSVerify = true }, false},
		{"a proxy", func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.ProxyURL = "http://192.0.2.9" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, err := clientcmd.Load(kubeconfigText("https://192.0.2.7:1", nil))
			if err != nil {
				t.Fatal(err)
			}
			test.change(config.Clusters["kubernetes"], config.AuthInfos["admin"])
			if reaches(config) == test.ok {
				t.Errorf("it is found to be harmful: %v", test.ok)
			}
			secret := userKubeconfig("https://192.0.2.7:1")
			if secret.Data["value"], err = clientcmd.Write(*config); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := run(t, newFakeAPI(t, secret), "kubeconfig", "acme")
			if test.ok != (code == exitDone) || !test.ok && (stdout != "" || !strings.Contains(stderr, "delete it, and Teapot makes it anew")) {
				t.Errorf("exit %d; stdout: %s; stderr: %s", code, stdout, stderr)
			}
		})
	}
}
