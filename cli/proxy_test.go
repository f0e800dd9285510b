package cli

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// tenantClient is a client of acme's API through a proxy. Every request is a connection
// of its own.
func tenantClient() *http.Client {
	cert, _ := tenantCertificate()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: inClusterServerName},
		DisableKeepAlives: true,
	}}
}

func fetch(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// proxyURL waits for the line that a proxy prints.
func proxyURL(t *testing.T, i *invocation) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^https://127\.0\.0\.1:\d+$`)
	eventually(t, "the proxy says its URL\n"+i.stderr.String(), func() bool { return line.MatchString(i.stdout.String()) })
	return line.FindString(i.stdout.String())
}

func TestProxyOutlivesItsPod(t *testing.T) {
	for name, spdyOnly := range map[string]bool{"by WebSocket": false, "by SPDY": true} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t, controlPlane("acme", ready), userKubeconfig("https://192.0.2.1:30443"))
			api.spdyOnly = spdyOnly
			first := startPod(t, api, "first")
			file := filepath.Join(t.TempDir(), "acme.kubeconfig")
			i := start(t, api, "", "proxy", "acme", "--kubeconfig-out", file)
			url := proxyURL(t, i)
			client := tenantClient()

			// Many connections at a time, in one tunnel.
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					if body, err := fetch(client, url); err != nil || body != "first" {
						t.Errorf("got %q, %v", body, err)
					}
				})
			}
			group.Wait()
			if n := len(first.tunnels); n != 1 {
				t.Errorf("%d tunnels, want 1", n)
			}

			// A long request, as of kubectl get --watch.
			long, err := client.Get(url + "/watch")
			if err != nil {
				t.Fatal(err)
			}
			defer long.Body.Close()

			// A rolling change: a new pod is ready, the old one is not, and then gone.
			startPod(t, api, "second")
			api.put(pod("first", corev1.ConditionFalse))
			eventually(t, "new connections go to the second pod", func() bool {
				body, err := fetch(client, url)
				if err != nil {
					t.Errorf("a connection failed during the change: %v", err)
				}
				return body == "second"
			})
			start := make([]byte, len("first"))
			if _, err := io.ReadFull(long.Body, start); err != nil {
				t.Errorf("the long request did not outlive readiness: %v", err)
			}
			api.remove("pods", controlplane.Namespace(acme), "first")
			if _, err := io.ReadAll(long.Body); err == nil {
				t.Error("the long request did not end with its pod")
			}

			// Without warning: the tunnel breaks, the pod is replaced.
			api.backends["second"].closeTunnels()
			if body, err := fetch(client, url); err != nil || body != "second" {
				t.Errorf("after the tunnel broke: %q, %v", body, err)
			}

			config, err := clientcmd.LoadFromFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if cluster := config.Clusters["acme"]; cluster == nil || cluster.Server != url || cluster.TLSServerName != inClusterServerName {
				t.Errorf("kubeconfig: %+v", config.Clusters)
			}
			wantMode(t, file)
		})
	}
}

func TestProxyRunsCommand(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme", ready), userKubeconfig("https://192.0.2.1:30443"))
	startPod(t, api, "pod")
	directory := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", directory)
	code, stdout, stderr := run(t, api, "proxy", "acme", "--", "sh", "-c", `stat -c %a "$KUBECONFIG"; cat "$KUBECONFIG"; exit 7`)
	wantCode(t, 7, code, stderr)
	wantText(t, stdout, "600\n", "server: https://127.0.0.1:", "tls-server-name: kubernetes.default.svc", "current-context: acme", "token: tenant-token")
	if stderr != "" {
		t.Errorf("the command's standard error is not its own: %s", stderr)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	code, _, stderr = run(t, api, "proxy", "acme", "--", "no-such-command")
	wantCode(t, exitFailed, code, stderr)
	wantText(t, stderr, "error: run no-such-command: ")
}

// A port-forward wakes nothing: who asks for one is told how to, at once.
func TestProxyOfWhatSleeps(t *testing.T) {
	for _, phase := range []teapotv1.HibernationPhase{teapotv1.HibernationAsleep, teapotv1.HibernationHibernating} {
		api := newFakeAPI(t, hibernating(phase, ""), throughGateway("https://192.0.2.9:30999", "acme.tenants.teapot.internal"))
		code, stdout, stderr := run(t, api, "proxy", "acme", "--", "true")
		wantCode(t, exitFailed, code, stderr)
		wantText(t, stderr, `tenantcontrolplane "acme" in namespace "tenants" `+asleepSince(&teapotv1.HibernationStatus{Phase: phase}), "and a port-forward wakes nothing.\nWake it with: teapot resume acme -n tenants --wait\n",
			"Or come through the gateway, which wakes it: teapot kubeconfig acme -n tenants")
		if stdout != "" {
			t.Errorf("standard output: %s", stdout)
		}
	}
	// What was asked to wake has pods in a moment, and what the kubeconfig says of a gateway is no matter.
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAsleep, "", generation(2, 1)), throughGateway("https://192.0.2.9:30999", "acme.tenants.teapot.internal"))
	startPod(t, api, "pod")
	code, stdout, stderr := run(t, api, "proxy", "acme", "--", "sh", "-c", `cat "$KUBECONFIG"`)
	wantCode(t, exitDone, code, stderr)
	wantText(t, stdout, "server: https://127.0.0.1:", "tls-server-name: kubernetes.default.svc\n")
}

// A proxy whose control plane falls asleep says so of the connections that it closes.
func TestProxyFallsAsleep(t *testing.T) {
	api := newFakeAPI(t, hibernating(teapotv1.HibernationAwake, ""), userKubeconfig("https://192.0.2.1:30443"))
	startPod(t, api, "pod")
	i := start(t, api, "", "proxy", "acme")
	url := proxyURL(t, i)
	api.put(hibernating(teapotv1.HibernationAsleep, ""))
	api.remove("pods", controlplane.Namespace(acme), "pod")
	// A connection that comes before the proxy knows that the pod is gone ends with it.
	eventually(t, "it says why", func() bool {
		if body, err := fetch(tenantClient(), url); err == nil && body != "pod" {
			t.Errorf("answered %q", body)
		}
		return strings.Contains(i.stderr.String(), "sleeps since 2025-11-21T12:00:00Z, and a port-forward wakes nothing")
	})
}

func TestProxyWaitsForAPod(t *testing.T) {
	api := newFakeAPI(t, controlPlane("acme"))
	i := start(t, api, "", "proxy", "acme")
	eventually(t, "it says what it waits for", func() bool {
		return strings.Contains(i.stderr.String(), "Waiting for a control-plane pod of tenants/acme to be ready in namespace "+controlplane.Namespace(acme))
	})
	startPod(t, api, "pod")
	if body, err := fetch(tenantClient(), proxyURL(t, i)); err != nil || body != "pod" {
		t.Errorf("got %q, %v", body, err)
	}
	wantText(t, i.stderr.String(), "teapot kubeconfig acme -n tenants --server https://127.0.0.1:")
}

func TestProxyErrors(t *testing.T) {
	notReady := controlPlane("acme", condition("DatastoreReady", "False", "WaitingForStorage", "claim data-etcd-0 is not bound"))
	for _, test := range []struct {
		name  string
		setup func(*fakeAPI)
		args  []string
		code  int
		want  []string
	}{
		{
			name: "may not port-forward",
			setup: func(api *fakeAPI) {
				startPod(t, api, "pod")
				api.mayForward = false
			},
			code: exitFailed,
			want: []string{`you may not port-forward to tenantcontrolplane "acme": the right to create pods/portforward in namespace "` + controlplane.Namespace(acme) + `" is missing`, "teapot kubeconfig acme -n tenants"},
		},
		{
			name: "may not list pods",
			setup: func(api *fakeAPI) {
				api.refuse = func(r *http.Request) *apierrors.StatusError {
					if strings.HasSuffix(r.URL.Path, "/pods") {
						return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
					}
					return nil
				}
			},
			code: exitFailed,
			want: []string{"the right to list and watch pods in namespace", "teapot kubeconfig acme -n tenants"},
		},
		{
			name: "no pod becomes ready",
			args: []string{"--timeout", "100ms"},
			code: exitFailed,
			want: []string{"timed out after 100ms waiting for a control-plane pod", "DatastoreReady is False (WaitingForStorage): claim data-etcd-0 is not bound"},
		},
		{
			name: "the pod cannot be reached",
			setup: func(api *fakeAPI) {
				api.put(pod("lost", corev1.ConditionTrue))
			},
			args: []string{"--timeout", "100ms"},
			code: exitFailed,
			want: []string{"Trying again: port-forward to pod lost failed", "error: port-forward to pod lost failed"},
		},
		{name: "command without dashes", args: []string{"kubectl"}, code: exitUsage, want: []string{"teapot proxy acme -- kubectl"}},
		{name: "no command after dashes", args: []string{"--"}, code: exitUsage, want: []string{"the command after -- is missing"}},
		{name: "port out of range", args: []string{"--port", "70000"}, code: exitUsage, want: []string{"--port 70000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPI(t, notReady)
			if test.setup != nil {
				test.setup(api)
			}
			code, _, stderr := run(t, api, append([]string{"proxy", "acme"}, test.args...)...)
			wantCode(t, test.code, code, stderr)
			wantText(t, stderr, test.want...)
		})
	}
}

func TestReplaceProxyKubeconfig(t *testing.T) {
	cert, _ := tenantCertificate()
	load := func(server string) []byte { return kubeconfigText(server, cert) }
	config, err := clientcmd.Load(load("https://192.0.2.1:30443"))
	if err != nil {
		t.Fatal(err)
	}
	local, err := localKubeconfig(config, "acme", 1234)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	for range 2 { // the second time over what the first one wrote
		if err := replaceProxyKubeconfig(file, local); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, load("https://production.example.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replaceProxyKubeconfig(file, local); err == nil || !strings.Contains(err.Error(), "which no proxy wrote") {
		t.Errorf("a file of somebody else's was replaced: %v", err)
	}
}
