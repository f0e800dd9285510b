package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func wantMode(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != kubeconfigMode {
		t.Errorf("%s has mode %o, want %o", file, mode, kubeconfigMode)
	}
}

func TestKubeconfigPrint(t *testing.T) {
	for _, test := range []struct {
		name                          string
		server                        string
		args                          []string
		wantServer, wantTLSServerName string
		wantContext                   string
	}{
		{name: "as it is", server: "https://192.0.2.1:30443", wantServer: "https://192.0.2.1:30443", wantContext: "acme"},
		{name: "named", server: "https://192.0.2.1:30443", args: []string{"--context-name", "prod"}, wantServer: "https://192.0.2.1:30443", wantContext: "prod"},
		{
			name: "another address is checked against the first name", server: "https://api.acme.example.com:6443", args: []string{"--server", "https://127.0.0.1:16443/"},
			wantServer: "https://127.0.0.1:16443", wantTLSServerName: "api.acme.example.com", wantContext: "acme",
		},
		{
			name: "another port of the same host", server: "https://api.acme.example.com:6443", args: []string{"--server", "https://api.acme.example.com:443"},
			wantServer: "https://api.acme.example.com:443", wantContext: "acme",
		},
		{
			name: "a name given", server: "https://192.0.2.1:30443", args: []string{"--server", "https://127.0.0.1:16443", "--tls-server-name", "kubernetes.default.svc"},
			wantServer: "https://127.0.0.1:16443", wantTLSServerName: "kubernetes.default.svc", wantContext: "acme",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, userKubeconfig(test.server))
			code, stdout, stderr := run(t, api, append([]string{"kubeconfig", "acme"}, test.args...)...)
			wantCode(t, exitDone, code, stderr)
			config, err := clientcmd.Load([]byte(stdout))
			if err != nil {
				t.Fatal(err)
			}
			if config.CurrentContext != test.wantContext {
				t.Errorf("context %q, want %q", config.CurrentContext, test.wantContext)
			}
			cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
			if cluster.Server != test.wantServer || cluster.TLSServerName != test.wantTLSServerName {
				t.Errorf("server %q, tls-server-name %q; want %q, %q", cluster.Server, cluster.TLSServerName, test.wantServer, test.wantTLSServerName)
			}
		})
	}
}

func TestKubeconfigErrors(t *testing.T) {
	waiting := controlPlane("acme", condition("EndpointReady", "False", "NoNodeAddress", "no node has an address"))
	for _, test := range []struct {
		name   string
		setup  func(*fakeAPI)
		args   []string
		code   int
		stderr []string
	}{
		{name: "no such control plane", args: []string{"globex"}, code: exitFailed, stderr: []string{`tenantcontrolplane "globex" not found in namespace "tenants" (context "test")`}},
		{name: "not ready yet", args: []string{"acme"}, code: exitFailed, stderr: []string{"has no kubeconfig yet", "EndpointReady is False (NoNodeAddress): no node has an address", "teapot wait acme -n tenants"}},
		{
			name: "may not read Secrets", args: []string{"acme"}, code: exitFailed,
			setup: func(api *fakeAPI) {
				api.refuse = func(r *http.Request) *apierrors.StatusError {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "acme-user-kubeconfig", nil)
				}
			},
			stderr: []string{`you lack the right to get secrets`, `namespace "tenants"`},
		},
		{name: "no name", code: exitUsage, stderr: []string{"the name of a control plane is missing: teapot kubeconfig NAME"}},
		{name: "two names", args: []string{"acme", "globex"}, code: exitUsage, stderr: []string{"one control plane at a time"}},
		{name: "file without equals sign", args: []string{"acme", "--merge", "file"}, code: exitUsage, stderr: []string{"--merge=file"}},
		{name: "merge and output", args: []string{"acme", "--merge", "--output", "file"}, code: exitUsage, stderr: []string{"exclude each other"}},
		{name: "output format", args: []string{"acme", "-o", "yaml"}, code: exitUsage, stderr: []string{"is the name of a file here"}},
		{name: "server without scheme", args: []string{"acme", "--server", "127.0.0.1:1"}, code: exitUsage, stderr: []string{`--server "127.0.0.1:1"`, "https"}},
		{name: "another kind", args: []string{"pod/acme"}, code: exitUsage, stderr: []string{`"pod/acme"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, waiting)
			if test.setup != nil {
				test.setup(api)
			}
			code, stdout, stderr := run(t, api, append([]string{"kubeconfig"}, test.args...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr...)
			if stdout != "" {
				t.Errorf("standard output: %s", stdout)
			}
		})
	}
}

// existing is a kubeconfig with a context of another cluster, and relative paths.
func existing(name string) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://other.example.com", CertificateAuthority: "certs/ca.pem"}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificate: "certs/me.pem", ClientKey: "certs/me.key"}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "work"}
	config.CurrentContext = name
	return config
}

func TestKubeconfigMerge(t *testing.T) {
	api := newFakeAPI(t, userKubeconfig("https://192.0.2.1:30443"))
	write := func(t *testing.T, config *clientcmdapi.Config) string {
		file := filepath.Join(t.TempDir(), "directory", "config")
		if config != nil {
			if err := clientcmd.WriteToFile(*config, file); err != nil {
				t.Fatal(err)
			}
		}
		return file
	}
	read := func(t *testing.T, file string) *clientcmdapi.Config {
		t.Helper()
		wantMode(t, file)
		config, err := readKubeconfig(file)
		if err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
			t.Errorf("temporary files or locks are left: %v, %v", entries, err)
		}
		return config
	}

	t.Run("a new file", func(t *testing.T) {
		file := write(t, nil)
		code, _, stderr := run(t, api, "kubeconfig", "acme", "--merge="+file)
		wantCode(t, exitDone, code, stderr)
		if config := read(t, file); config.CurrentContext != "acme" || len(config.Contexts) != 1 {
			t.Errorf("got %+v", config)
		}
	})
	t.Run("beside others", func(t *testing.T) {
		file := write(t, existing("other"))
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, api, "kubeconfig", "acme", "--merge="+file)
		wantCode(t, exitDone, code, stderr)
		wantText(t, stderr, "kubectl --context acme")
		config := read(t, file)
		if config.CurrentContext != "other" || config.Contexts["other"].Namespace != "work" ||
			config.Clusters["other"].CertificateAuthority != "certs/ca.pem" || config.AuthInfos["other"].ClientKey != "certs/me.key" {
			t.Errorf("what was there has changed: %+v", config)
		}
		if config.Clusters["acme"].Server != "https://192.0.2.1:30443" || config.AuthInfos["acme"].Token != "tenant-token" {
			t.Errorf("what was added is wrong: %+v", config)
		}
	})
	t.Run("set current, again, and another address", func(t *testing.T) {
		file := write(t, existing("other"))
		code, _, stderr := run(t, api, "kubeconfig", "acme", "--merge="+file, "--set-current")
		wantCode(t, exitDone, code, stderr)
		chosen := read(t, file)
		chosen.Contexts["acme"].Namespace = "chosen"
		if err := writeKubeconfig(file, chosen); err != nil {
			t.Fatal(err)
		}
		code, _, stderr = run(t, api, "kubeconfig", "acme", "--merge="+file, "--server", "https://127.0.0.1:1")
		wantCode(t, exitDone, code, stderr)
		if config := read(t, file); config.Contexts["acme"].Namespace != "chosen" || config.CurrentContext != "acme" || config.Clusters["acme"].Server != "https://127.0.0.1:1" || config.Clusters["acme"].TLSServerName != "192.0.2.1" {
			t.Errorf("got %+v", config)
		}
	})
	t.Run("a context of another cluster", func(t *testing.T) {
		file := write(t, existing("acme"))
		before, _ := os.ReadFile(file)
		code, _, stderr := run(t, api, "kubeconfig", "acme", "--merge="+file)
		wantCode(t, exitFailed, code, stderr)
		wantText(t, stderr, `context "acme" belongs to another cluster`, "--context-name", "--force")
		if after, _ := os.ReadFile(file); string(after) != string(before) {
			t.Errorf("the file was changed:\n%s", after)
		}
		code, _, stderr = run(t, api, "kubeconfig", "acme", "--merge="+file, "--force")
		wantCode(t, exitDone, code, stderr)
		if config := read(t, file); config.Clusters["acme"].Server != "https://192.0.2.1:30443" || config.Contexts["acme"].Namespace != "" {
			t.Errorf("got %+v", config.Clusters["acme"])
		}
	})
	t.Run("the file that kubectl uses, through a link", func(t *testing.T) {
		file := write(t, existing("other"))
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KUBECONFIG", link)
		if got := defaultKubeconfigFile(nil); got != link {
			t.Fatalf("default file %s, want %s", got, link)
		}
		config, err := clientcmd.Load(userKubeconfig("https://192.0.2.1:30443").Data["value"])
		if err != nil {
			t.Fatal(err)
		}
		config, err = singleContext(config, "acme", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mergeKubeconfig(link, config, false, false); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link was replaced: %v, %v", info, err)
		}
		if len(read(t, file).Contexts) != 2 {
			t.Error("the file behind the link was not changed")
		}
	})
	t.Run("while another program writes", func(t *testing.T) {
		file := write(t, existing("other"))
		if err := os.WriteFile(file+".lock", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, api, "kubeconfig", "acme", "--merge="+file)
		wantCode(t, exitFailed, code, stderr)
		wantText(t, stderr, file+".lock exists")
	})
}

func TestKubeconfigOutput(t *testing.T) {
	api := newFakeAPI(t, userKubeconfig("https://192.0.2.1:30443"))
	file := filepath.Join(t.TempDir(), "acme.kubeconfig")
	for range 2 { // again is no conflict
		code, stdout, stderr := run(t, api, "kubeconfig", "acme", "-o", file)
		wantCode(t, exitDone, code, stderr)
		if stdout != "" {
			t.Errorf("standard output: %s", stdout)
		}
		wantMode(t, file)
	}
	if err := clientcmd.WriteToFile(*existing("other"), file); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, api, "kubeconfig", "acme", "-o", file)
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, `has cluster "other"`, "--merge="+file, "--force")
	code, _, stderr = run(t, api, "kubeconfig", "acme", "-o", file, "--force")
	wantCode(t, exitDone, code, stderr)
	if config, err := readKubeconfig(file); err != nil || len(config.Contexts) != 1 || config.CurrentContext != "acme" {
		t.Errorf("got %+v, %v", config, err)
	}
}
