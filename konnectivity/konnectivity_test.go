package konnectivity

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares with a file, or rewrites it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got; `go test -update` rewrites it):\n%s", file, diff)
	}
}

func TestServerArgs(t *testing.T) {
	got := Server{
		Socket:     "/run/konnectivity/server.sock",
		CertFile:   "/credentials/tls.crt",
		KeyFile:    "/credentials/tls.key",
		Kubeconfig: "/credentials/kubeconfig",
		AgentPort:  8132,
		HealthPort: 8134,
		Replicas:   3,
	}.Args()
	golden(t, "testdata/server.args", []byte(strings.Join(got, "\n")+"\n"))
}

func TestAgentArgs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given Agent
		want  []string
	}{
		{
			name:  "by default it uses what its pod mounts",
			given: Agent{Host: "192.0.2.10", Port: 30132},
			want: []string{
				"--proxy-server-host=192.0.2.10", "--proxy-server-port=30132",
				"--ca-cert=/var/run/secrets/konnectivity/ca.crt",
				"--service-account-token-path=/var/run/secrets/konnectivity/token",
			},
		},
		{
			name:  "outside a pod it is told where things are",
			given: Agent{Host: "2001:db8::10", Port: 8132, TokenFile: "/t/token", CAFile: "/t/ca"},
			want: []string{
				"--proxy-server-host=2001:db8::10", "--proxy-server-port=8132",
				"--ca-cert=/t/ca", "--service-account-token-path=/t/token",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.given.Args()
			for _, want := range tt.want {
				if !slices.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
		})
	}
}

func TestAgentObjects(t *testing.T) {
	objects, err := Agent{Host: "192.0.2.10", Port: 30132}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	var manifest bytes.Buffer
	for _, object := range objects {
		encoded, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		manifest.WriteString("---\n")
		manifest.Write(encoded)
	}
	golden(t, "testdata/agent.yaml", manifest.Bytes())
}

func TestAgentObjectsRefuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given Agent
		want  string
	}{
		{"no host", Agent{Port: 8132}, "not known"},
		{"a host with a port", Agent{Host: "192.0.2.10:8132", Port: 8132}, "without a port"},
		{"no port", Agent{Host: "192.0.2.10"}, "port 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.given.Objects()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// TestNoWayOut reads the configuration as kube-apiserver does.
func TestNoWayOut(t *testing.T) {
	for _, tt := range []struct{ name, socket, file string }{
		{"with konnectivity", "/run/konnectivity/server.sock", "testdata/egress.yaml"},
		{"without konnectivity", AbsentSocket, "testdata/egress-absent.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			encoded, err := EgressSelectorConfiguration(tt.socket)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.file, encoded)

			scheme := runtime.NewScheme()
			install.Install(scheme)
			decoded, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder().Decode(encoded, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]apiserver.Connection{}
			for _, selection := range decoded.(*apiserver.EgressSelectorConfiguration).EgressSelections {
				got[selection.Name] = selection.Connection
			}
			tunnel := apiserver.Connection{
				ProxyProtocol: apiserver.ProtocolGRPC,
				Transport:     &apiserver.Transport{UDS: &apiserver.UDSTransport{UDSName: tt.socket}},
			}
			want := map[string]apiserver.Connection{
				"cluster":      tunnel,
				"controlplane": tunnel,
				"etcd":         {ProxyProtocol: apiserver.ProtocolDirect},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
