package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/gateway/routes"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

const within = time.Minute // for what happens at once on a machine that is not overloaded

// gateway is one under test.
type gateway struct {
	*Server
	metrics *Metrics
	address string
	listens *net.TCPListener
}

// settings are what a test wants otherwise than the default.
type settings struct {
	Limits
	proxyFrom []netip.Prefix
	clock     clock.WithTicker
	pod       string
	config    *rest.Config
}

var usual = Limits{
	Connections: 1000, ConnectionsPerTenant: 100, Hellos: 100, HellosPerClient: 100,
	Hello: 10 * time.Second, Hold: 8500 * time.Millisecond, Idle: time.Hour,
}

// startGateway starts a gateway that knows all Leases there are.
func startGateway(t *testing.T, with settings) *gateway {
	t.Helper()
	if with.Connections == 0 {
		with.Limits = usual
	}
	if with.clock == nil {
		with.clock = clock.RealClock{}
	}
	if with.pod == "" {
		with.pod = "gateway-0"
	}
	if with.config == nil {
		with.config = apiserver.Config(t)
	}
	log := testr.NewWithOptions(t, testr.Options{})
	metrics := NewMetrics(prometheus.NewRegistry())
	known := routes.New(routes.Options{
		Leases: management(t, with.config).CoordinationV1(), Pod: with.pod, Clock: with.clock, Log: logr.Discard(), Wrote: metrics.Wrote,
	})
	s := New(Options{Limits: with.Limits, ProxyProtocolFrom: with.proxyFrom, Routes: known, Metrics: metrics, Clock: with.clock, Log: log})
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { known.Run(ctx) })
	running.Go(func() {
		if err := s.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		cancel()
		s.Drain(ctx)
		running.Wait()
	})
	apiserver.Eventually(t, within, "the routes to be known", func() error {
		if !known.Known() {
			return fmt.Errorf("they are not")
		}
		return nil
	})
	return &gateway{Server: s, metrics: metrics, address: listener.Addr().String(), listens: listener}
}

func management(t testing.TB, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// tenant is a control plane: its Lease, and what stands for its API server.
type tenant struct {
	t      *testing.T
	client kubernetes.Interface
	route  route.Route

	certificate tls.Certificate
	ready       atomic.Bool
	asked       atomic.Int64 // how often it was asked whether it is ready
	served      atomic.Int64 // other requests
	server      *http.Server
}

// tenants is how many there have been: each has a name of its own.
var tenants atomic.Int64

// newTenant makes a control plane that is awake and serves, unless a change of its route says
// otherwise.
func newTenant(t *testing.T, change func(*route.Route)) *tenant {
	t.Helper()
	owner := types.NamespacedName{Namespace: "red", Name: fmt.Sprint("acme-", tenants.Add(1))}
	x := &tenant{t: t, client: management(t, apiserver.Config(t))}
	x.route = route.Route{Owner: owner, Host: owner.Name + ".red.example.org", Since: time.Now().Add(-time.Hour), WakeOnRequest: true}
	x.route.CertificateAuthority, x.certificate = authority(t, x.route.Host)
	// The address is the tenant's for as long as it lives, as a Service's is.
	listener := x.listen("127.0.0.1:0")
	x.route.Backend = listener.Addr().(*net.TCPAddr).AddrPort()
	x.ready.Store(true)
	if change != nil {
		change(&x.route)
	}
	if x.route.Asleep {
		listener.Close()
	} else {
		x.serve(listener)
	}
	t.Cleanup(x.stop)

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlplane.Namespace(owner)}}
	if _, err := x.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.client.CoordinationV1().Leases(namespace.Name).Create(t.Context(), x.route.Lease(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.client.CoordinationV1().Leases(namespace.Name).Delete(context.Background(), route.LeaseName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	return x
}

func (x *tenant) namespace() string { return controlplane.Namespace(x.route.Owner) }

func (x *tenant) listen(address string) net.Listener {
	x.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		x.t.Fatal(err)
	}
	return listener
}

// start has the API server listen again where it did.
func (x *tenant) start() { x.serve(x.listen(x.route.Backend.String())) }

func (x *tenant) serve(listener net.Listener) {
	x.server = &http.Server{
		Handler: x, TLSConfig: &tls.Config{Certificates: []tls.Certificate{x.certificate}, MinVersion: tls.VersionTLS12},
		// What comes by way of the gateway is no request as long as it is held.
		ErrorLog: nil, ReadHeaderTimeout: within,
	}
	server := x.server
	go func() { _ = server.ServeTLS(listener, "", "") }() // it ends with stop
}

func (x *tenant) stop() {
	if x.server != nil {
		x.server.Close()
		x.server = nil
	}
}

// ServeHTTP answers as an API server: that it is ready, with an empty list, or for as long as a client
// watches.
func (x *tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		x.asked.Add(1)
		if !x.ready.Load() {
			http.Error(w, "starting", http.StatusInternalServerError)
		}
		return
	}
	if !x.ready.Load() {
		http.Error(w, "not yet", http.StatusForbidden) // as one that starts answers
		return
	}
	x.served.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") != "" {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	fmt.Fprint(w, `{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}`)
}

// say has the controllers say something else.
func (x *tenant) say(change func(*route.Route)) {
	x.t.Helper()
	change(&x.route)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": x.route.Annotations()}})
	if err != nil {
		x.t.Fatal(err)
	}
	if _, err := x.client.CoordinationV1().Leases(x.namespace()).Patch(x.t.Context(), route.LeaseName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *tenant) lease() *coordinationv1.Lease {
	x.t.Helper()
	lease, err := x.client.CoordinationV1().Leases(x.namespace()).Get(x.t.Context(), route.LeaseName, metav1.GetOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	return lease
}

// sleeps is a change of a route: it went to sleep.
func sleeps(r *route.Route) {
	r.Asleep, r.Since = true, time.Now()
	r.AsleepSince = r.Since
}

// wakes is a change of a route: it is to be awake.
func wakes(r *route.Route) { r.Asleep, r.Since = false, time.Now() }

// dial connects as a user does, by TLS.
func (x *tenant) dial(g *gateway) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: within}, "tcp", g.address, x.tls())
}

func (x *tenant) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(x.route.CertificateAuthority))
	return &tls.Config{ServerName: x.route.Host, RootCAs: pool}
}

// user is a real client of a user's, by the gateway's address with the tenant's name.
func (x *tenant) user(g *gateway) kubernetes.Interface {
	x.t.Helper()
	return management(x.t, &rest.Config{
		Host:            "https://" + g.address,
		TLSClientConfig: rest.TLSClientConfig{ServerName: x.route.Host, CAData: []byte(x.route.CertificateAuthority)},
	})
}

// mustGet gets something by a new connection of its own.
func (x *tenant) mustGet(g *gateway) {
	x.t.Helper()
	transport := &http.Transport{TLSClientConfig: x.tls()}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: within}).Get("https://" + g.address + "/api/v1/namespaces")
	if err != nil {
		x.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		x.t.Fatalf("got %s", response.Status)
	}
}

// authority makes a certificate that signs itself.
func authority(t testing.TB, host string) (string, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// refused waits until so many connections were refused for a reason.
func (g *gateway) refused(t *testing.T, reason string, want int) {
	t.Helper()
	apiserver.Eventually(t, within, reason, func() error {
		if got := testutil.ToFloat64(g.metrics.refused.WithLabelValues(reason)); got != float64(want) {
			return fmt.Errorf("%v connections were refused so, want %d", got, want)
		}
		return nil
	})
}

func (g *gateway) gauge(t *testing.T, gauge prometheus.Gauge, want int) {
	t.Helper()
	apiserver.Eventually(t, within, "connections", func() error {
		if got := testutil.ToFloat64(gauge); got != float64(want) {
			return fmt.Errorf("there are %v, want %d", got, want)
		}
		return nil
	})
}

// wakes is how often a wake was asked for.
func (g *gateway) wakes() float64 {
	return testutil.ToFloat64(g.metrics.writes.WithLabelValues(string(routes.Wake), "ok"))
}

// asleep waits until the gateway knows that a control plane sleeps.
func (g *gateway) asleep(t *testing.T, x *tenant) {
	t.Helper()
	g.heard(t, x, func(known route.Route) bool { return known.Asleep })
}

// heard waits until the gateway knows something of a control plane.
func (g *gateway) heard(t *testing.T, x *tenant, that func(route.Route) bool) {
	t.Helper()
	apiserver.Eventually(t, within, "the gateway to hear what the controllers say", func() error {
		if known, found := g.options.Routes.Lookup(x.route.Host); !found || !that(known.State(time.Now()).Route) {
			return errors.New("it has not")
		}
		return nil
	})
}

// connect connects and says nothing.
func (g *gateway) connect(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// letsIn waits until the gateway lets somebody in again.
func (x *tenant) letsIn(g *gateway) {
	x.t.Helper()
	apiserver.Eventually(x.t, within, "somebody to be let in", func() error {
		conn, err := x.dial(g)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// helloFor is what a client says first that asks for a name.
func helloFor(t *testing.T, name string) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	go func() { _ = tls.Client(here, &tls.Config{ServerName: name}).Handshake() }() // it fails for want of an answer
	said := make([]byte, 16<<10)
	n, err := there.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	return said[:n]
}

func histogramCount(t *testing.T, histogram prometheus.Observer) uint64 {
	t.Helper()
	var metric dto.Metric
	if err := histogram.(prometheus.Metric).Write(&metric); err != nil {
		t.Fatal(err)
	}
	return metric.GetHistogram().GetSampleCount()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// line is the way to the management cluster's API server, which can be cut.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// throughLine has a configuration go by a line.
func throughLine(config *rest.Config) *line {
	l := &line{}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cut {
			return nil, errors.New("the management cluster is away")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			l.conns = append(l.conns, conn)
		}
		return conn, err
	}
	return l
}

func (l *line) breaks() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, conn := range l.conns {
		conn.Close()
	}
}
