package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	portforwardconstants "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/portforward"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/teapot-cloud/teapot/controlplane"
)

var acme = types.NamespacedName{Namespace: "tenants", Name: "acme"}

// fakePod is a control-plane pod: a tenant's API, and the kubelet's port-forward to it.
type fakePod struct {
	name string
	// api serves TLS for kubernetes.default.svc and answers with the pod's name.
	api *httptest.Server
	// answers are what the API answers, by path.
	answers map[string]string
	mu      sync.Mutex
	tunnels []httpstream.Connection
}

// tenantCertificate is the certificate of all fake tenants' APIs. It is slow to make.
var tenantCertificate = sync.OnceValues(func() ([]byte, tls.Certificate) {
	cert, key, err := certutil.GenerateSelfSignedCertKey(inClusterServerName, nil, nil)
	if err != nil {
		panic(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		panic(err)
	}
	return cert, pair
})

// startPod starts a pod of acme and tells the API that it is ready.
func startPod(t *testing.T, api *fakeAPI, name string) *fakePod {
	t.Helper()
	return startAnsweringPod(t, api, name, nil)
}

func startAnsweringPod(t *testing.T, api *fakeAPI, name string, answers map[string]string) *fakePod {
	t.Helper()
	_, pair := tenantCertificate()
	p := &fakePod{name: name, answers: answers}
	p.api = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := p.answers[r.URL.Path]; ok {
			_, _ = fmt.Fprint(w, answer)
			return
		}
		_, _ = fmt.Fprint(w, name)
		if r.URL.Path == "/watch" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	p.api.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.api.StartTLS()
	t.Cleanup(func() {
		p.closeTunnels()
		p.api.CloseClientConnections()
		p.api.Close()
	})
	api.mu.Lock()
	api.backends[name] = p
	api.mu.Unlock()
	api.put(pod(name, corev1.ConditionTrue))
	return p
}

func pod(name string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: controlplane.Namespace(acme), Name: name,
			Labels: controlplane.ComponentLabels(acme, controlplane.ControlPlaneName),
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

func (p *fakePod) closeTunnels() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tunnel := range p.tunnels {
		_ = tunnel.Close()
	}
}

// forward is the server's end of port-forward, by SPDY or by SPDY in a WebSocket.
func (p *fakePod) forward(w http.ResponseWriter, r *http.Request) {
	streams := make(chan httpstream.Stream, 100)
	accept := func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	}
	var conn httpstream.Connection
	if websocket.IsWebSocketUpgrade(r) {
		upgrader := websocket.Upgrader{Subprotocols: []string{portforwardconstants.WebsocketsSPDYTunnelingPrefix + portforward.PortForwardProtocolV1Name}}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		if conn, err = spdy.NewServerConnection(portforward.NewTunnelingConnection("server", socket), accept); err != nil {
			return
		}
	} else {
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return
		}
		if conn = spdy.NewResponseUpgrader().UpgradeResponse(w, r, accept); conn == nil {
			return
		}
	}
	defer conn.Close()
	p.mu.Lock()
	p.tunnels = append(p.tunnels, conn)
	p.mu.Unlock()
	errorStreams := map[string]httpstream.Stream{}
	for {
		select {
		case <-conn.CloseChan():
			return
		case stream := <-streams:
			id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
			if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				errorStreams[id] = stream
				continue
			}
			go p.carry(stream, errorStreams[id])
		}
	}
}

func (p *fakePod) carry(data, errors httpstream.Stream) {
	defer errors.Close()
	defer data.Close()
	if port := data.Headers().Get(corev1.PortHeader); port != fmt.Sprint(controlplane.PortAPIServer) {
		_, _ = fmt.Fprintf(errors, "nothing listens on port %s", port)
		return
	}
	conn, err := net.Dial("tcp", p.api.Listener.Addr().String())
	if err != nil {
		_, _ = fmt.Fprint(errors, err)
		return
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, data)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, conn)
}

// portForward is the API server's part: whether, and to which pod.
func (f *fakeAPI) portForward(w http.ResponseWriter, r *http.Request, name string) {
	f.mu.Lock()
	backend, allowed := f.backends[name], f.mayForward
	f.mu.Unlock()
	switch {
	case !allowed:
		refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/portforward"}, name, nil)
		respond(w, http.StatusForbidden, refusal.ErrStatus)
		return
	case backend == nil:
		notFound(w, "pods", name)
		return
	}
	if f.spdyOnly && websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "no WebSockets here", http.StatusBadRequest)
		return
	}
	backend.forward(w, r)
}

// userKubeconfig is the Secret with the kubeconfig of acme's users.
func userKubeconfig(server string) *corev1.Secret {
	cert, _ := tenantCertificate()
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: acme.Namespace, Name: "acme-user-kubeconfig"},
		Data:       map[string][]byte{"value": kubeconfigText(server, cert)},
	}
}

func kubeconfigText(server string, authority []byte) []byte {
	config := clientcmdapi.NewConfig()
	config.Clusters["kubernetes"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: "tenant-token"}
	config.Contexts["admin@kubernetes"] = &clientcmdapi.Context{Cluster: "kubernetes", AuthInfo: "admin"}
	config.CurrentContext = "admin@kubernetes"
	text, err := clientcmd.Write(*config)
	if err != nil {
		panic(err)
	}
	return text
}
