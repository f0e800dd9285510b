package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
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

// throughGateway is the Secret with a kubeconfig that leads through the gateway: to an address, with the
// name to ask for, or to a name that resolves.
func throughGateway(server, name string) *corev1.Secret {
	secret := userKubeconfig(server)
	config, err := clientcmd.Load(secret.Data["value"])
	if err != nil {
		panic(err)
	}
	config.Clusters["kubernetes"].TLSServerName = name
	if secret.Data["value"], err = clientcmd.Write(*config); err != nil {
		panic(err)
	}
	return secret
}

func TestKubeconfigThroughGateway(t *testing.T) {
	const gateway, name = "https://192.0.2.9:30999", "acme.tenants.teapot.internal"
	awake, asleep := hibernating(teapotv1.HibernationAwake, ""), hibernating(teapotv1.HibernationAsleep, "")
	for _, test := range []struct {
		description          string
		tcp                  *teapotv1.TenantControlPlane
		secret               *corev1.Secret
		args                 string
		wantServer, wantName string
		code                 int
		stderr               string
	}{
		{description: "as it is", tcp: awake, secret: throughGateway(gateway, name), wantServer: gateway, wantName: name},
		{description: "a tunnel to the gateway asks for the same name", tcp: awake, secret: throughGateway(gateway, name), args: "--server https://127.0.0.1:1", wantServer: "https://127.0.0.1:1", wantName: name},
		{description: "so does one where the name resolves", tcp: awake, secret: throughGateway("https://"+name+":443", ""), args: "--server https://127.0.0.1:1", wantServer: "https://127.0.0.1:1", wantName: name},
		{description: "past the gateway", tcp: awake, secret: throughGateway(gateway, name), args: "--direct", wantServer: "https://192.0.2.1:30443"},
		{description: "past it, where the name resolves", tcp: awake, secret: throughGateway("https://"+name, ""), args: "--direct", wantServer: "https://192.0.2.1:30443"},
		{description: "past it, by another name", tcp: awake, secret: throughGateway(gateway, name), args: "--direct --tls-server-name kubernetes", wantServer: "https://192.0.2.1:30443", wantName: "kubernetes"},
		{description: "past it, while nothing answers there", tcp: asleep, secret: throughGateway(gateway, name), args: "--direct", wantServer: "https://192.0.2.1:30443", stderr: "acme sleeps since 2025-11-21T12:00:00Z; wake it with: teapot resume acme -n tenants --wait"},
		{description: "where there is no gateway", tcp: awake, secret: userKubeconfig("https://192.0.2.1:30443"), args: "--direct", wantServer: "https://192.0.2.1:30443"},
		{description: "without an address", tcp: controlPlane("acme", condition(teapotv1.EndpointReadyCondition, "False", "NoNodeAddress", "no node")), secret: throughGateway(gateway, name), args: "--direct", code: exitFailed, stderr: "has no address yet (status.endpoint):\n  EndpointReady is False (NoNodeAddress): no node"},
		{description: "both", tcp: awake, secret: throughGateway(gateway, name), args: "--direct --server https://127.0.0.1:1", code: exitUsage, stderr: "--direct and --server exclude each other"},
	} {
		t.Run(test.description, func(t *testing.T) {
			code, stdout, stderr := run(t, newFakeAPI(t, test.tcp, test.secret), append([]string{"kubeconfig", "acme"}, strings.Fields(test.args)...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.stderr)
			if test.code != exitDone {
				return
			}
			config, err := clientcmd.Load([]byte(stdout))
			if err != nil {
				t.Fatal(err)
			}
			if cluster := config.Clusters["acme"]; cluster.Server != test.wantServer || cluster.TLSServerName != test.wantName || len(cluster.CertificateAuthorityData) == 0 {
				t.Errorf("server %q, tls-server-name %q; want %q, %q", cluster.Server, cluster.TLSServerName, test.wantServer, test.wantName)
			}
		})
	}
}

// A context that was merged before there was a gateway is the same cluster's, and is led through it.
func TestKubeconfigMergeThroughGateway(t *testing.T) {
	const name = "acme.tenants.teapot.internal"
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAwake, ""), userKubeconfig("https://192.0.2.1:30443"))
	file := filepath.Join(t.TempDir(), "config")
	for _, step := range []struct {
		secret           *corev1.Secret
		args             []string
		wantServer, want string
	}{
		{userKubeconfig("https://192.0.2.1:30443"), nil, "https://192.0.2.1:30443", ""},
		{throughGateway("https://192.0.2.9:30999", name), nil, "https://192.0.2.9:30999", name},
		{throughGateway("https://192.0.2.9:30999", name), []string{"--direct"}, "https://192.0.2.1:30443", ""},
	} {
		api.put(step.secret)
		code, _, stderr := run(t, api, append([]string{"kubeconfig", "acme", "--merge=" + file}, step.args...)...)
		wantCode(t, exitDone, code, stderr)
		config, err := readKubeconfig(file)
		if err != nil {
			t.Fatal(err)
		}
		if cluster := config.Clusters["acme"]; cluster.Server != step.wantServer || cluster.TLSServerName != step.want || len(config.Clusters) != 1 {
			t.Errorf("server %q, tls-server-name %q; want %q, %q", cluster.Server, cluster.TLSServerName, step.wantServer, step.want)
		}
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
