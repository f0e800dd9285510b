package thousand

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tenantAPIs stands for the API servers of all tenants. Each listens on the node port of its
// own, with its own certificate, speaks HTTP/2 and lets in who shows a certificate of its own
// authority, as kube-apiserver does. What each answers is in tenantapi.go.
type tenantAPIs struct {
	// address is the one of all of them, and of loopback.
	address string
	server  *http.Server
	// answered counts the requests of all tenants.
	answered atomic.Int64
	// real, unless nil, is a real API server, which answers in the place of the stand-ins but for
	// what is in refused.
	real http.Handler

	mu     sync.RWMutex
	byPort map[int32]*tenantAPI
}

// refused are resources that the real API server does not take from a tenant's manager: Services
// with addresses out of a range that is not its own, and endpoints on loopback.
var refused = []string{"services", "endpoints", "endpointslices"}

func newTenantAPIs(address string) *tenantAPIs {
	t := &tenantAPIs{address: address, byPort: map[int32]*tenantAPI{}}
	t.server = &http.Server{
		Handler:           http.HandlerFunc(t.serveHTTP),
		ReadHeaderTimeout: 10 * time.Second,
		// Of a handshake that failed the manager tells, and says more.
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			tenant, err := t.at(hello.Conn.LocalAddr())
			if err != nil {
				return nil, err
			}
			return tenant.tls, nil
		}},
	}
	return t
}

// serve begins to answer for a tenant, with the files that its control-plane pods mount. A
// tenant that is served already stays as it is.
func (t *tenantAPIs) serve(owner types.NamespacedName, port int32, files *corev1.Secret) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byPort[port] != nil {
		return nil
	}
	certificate, err := tls.X509KeyPair(files.Data["apiserver.crt"], files.Data["apiserver.key"])
	if err != nil {
		return fmt.Errorf("reading the serving certificate of %s: %w", owner, err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(files.Data["ca.crt"]) {
		return fmt.Errorf("the authority of %s cannot be read", owner)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(t.address, strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("listening for %s: %w", owner, err)
	}
	t.byPort[port] = newTenantAPI(owner, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
		NextProtos:   []string{"h2", "http/1.1"},
	})
	// It ends when the server is closed.
	go func() { _ = t.server.ServeTLS(listener, "", "") }()
	return nil
}

func (t *tenantAPIs) close() error { return t.server.Close() }

// at finds the tenant whose port a connection came to.
func (t *tenantAPIs) at(local net.Addr) (*tenantAPI, error) {
	address, ok := local.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("%s is no TCP address", local)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	tenant := t.byPort[int32(address.Port)]
	if tenant == nil {
		return nil, fmt.Errorf("no tenant has port %d", address.Port)
	}
	return tenant, nil
}

func (t *tenantAPIs) serveHTTP(w http.ResponseWriter, r *http.Request) {
	t.answered.Add(1)
	tenant, err := t.at(r.Context().Value(http.LocalAddrContextKey).(net.Addr))
	if err != nil {
		http.Error(w, err.Error(), http.StatusMisdirectedRequest)
		return
	}
	if t.real != nil {
		if info, err := requests.NewRequestInfo(r); err != nil || !slices.Contains(refused, info.Resource) {
			t.real.ServeHTTP(w, r)
			return
		}
	}
	tenant.serveHTTP(w, r)
}

// polls returns how often each tenant was asked for a list, which is what Ready stands on.
func (t *tenantAPIs) polls() map[types.NamespacedName]int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	counts := make(map[types.NamespacedName]int64, len(t.byPort))
	for _, tenant := range t.byPort {
		counts[tenant.owner] = tenant.polled.Load()
	}
	return counts
}
