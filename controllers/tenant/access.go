package tenant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// How long a call to a tenant may take (design law 10: at most 5 s): one that applies an
// object, one that asks whether the tenant is there, and one that only tells a dead API
// server from one that waits for its datastore.
const (
	callTimeout = 5 * time.Second
	askTimeout  = 3 * time.Second
	pingTimeout = time.Second
)

// userAgent is how Teapot calls itself.
const userAgent = "teapot-manager"

// Access is how a tenant's API server is reached: by the machines' way in, whose address
// is dialled without asking a resolver, and with a certificate of Teapot's own.
type Access struct {
	// URL is https://address:port.
	URL string
	// ServerName is the name that the server's certificate must be valid for.
	ServerName string
	// CA is the authority, Cert and Key what Teapot shows; PEM.
	CA, Cert, Key []byte
}

func (a Access) equal(b Access) bool {
	return a.URL == b.URL && a.ServerName == b.ServerName &&
		bytes.Equal(a.CA, b.CA) && bytes.Equal(a.Cert, b.Cert) && bytes.Equal(a.Key, b.Key)
}

func (a Access) config() *rest.Config {
	return &rest.Config{
		Host: a.URL,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: a.ServerName, CAData: a.CA, CertData: a.Cert, KeyData: a.Key,
			// One request at a time needs none of HTTP/2, whose buffers and goroutines are a sixth
			// of what a tenant costs the manager (docs/benchmarks.md).
			NextProtos: []string{"http/1.1"},
		},
		UserAgent: userAgent,
		// Endpoints are deprecated and needed all the same: pods look for the API there.
		WarningHandler: rest.NoWarnings{},
		// A few requests by one client to an API server of its own need no throttle.
		QPS: -1,
	}
}

// connection is one transport with a thin client on top. There is no discovery, no cache and no
// watch.
type connection struct {
	http    *http.Client
	url     *url.URL
	dynamic dynamic.Interface
}

func connect(access Access) (*connection, error) {
	config := access.config()
	address, err := url.Parse(access.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the address %s: %w", access.URL, err)
	}
	transport, err := transportFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", access.URL, err)
	}
	client := &http.Client{Transport: transport}
	dynamicClient, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", access.URL, err)
	}
	return &connection{http: client, url: address, dynamic: dynamicClient}, nil
}

// transportBuffer, in bytes, is enough for a request, and for most answers at rest. Go's default of 4 KiB
// twice is a twentieth of what a tenant costs the manager's heap.
const transportBuffer = 1 << 10

// transportFor is what client-go would make, with small buffers and kept by nobody else.
func transportFor(config *rest.Config) (http.RoundTripper, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	return rest.HTTPWrappersForConfig(config, utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig: tlsConfig, ReadBufferSize: transportBuffer, WriteBufferSize: transportBuffer,
	}))
}

// drop closes connections that nothing uses: after a failure the next call must not wait
// on one whose other end is gone.
func (c *connection) drop() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

var nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}

// hasMachines tells whether there is a machine.
func (c *connection) hasMachines(ctx context.Context) (bool, error) {
	list, err := c.list(ctx, nodes, "limit=1")
	if err != nil {
		return false, err
	}
	return len(list.Items) > 0, nil
}

// get asks for a path and returns an error unless the answer is 200.
func (c *connection) get(ctx context.Context, path string, timeout time.Duration) error {
	response, body, err := c.do(ctx, path, "", "*/*", timeout, 16<<10)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return &unhealthyError{path: path, code: response.StatusCode, checks: string(body)}
	}
	return nil
}

// do makes a GET and reads the answer, up to a limit in bytes.
func (c *connection) do(ctx context.Context, path, query, accept string, timeout time.Duration, limit int64) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	target := *c.url
	target.Path, target.RawQuery = path, query
	// With its User-Agent: for a request without one client-go copies the request.
	request := (&http.Request{Method: http.MethodGet, URL: &target, Host: target.Host, Header: http.Header{"Accept": {accept}, "User-Agent": {userAgent}}}).WithContext(ctx)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit))
	return response, body, err
}

// unhealthyError is the answer of a health endpoint that is not 200. Its body has a line
// for each check, "[+]name ok" or "[-]name failed: …"
// (k8s.io/apiserver/pkg/server/healthz/healthz.go, v0.36.3).
type unhealthyError struct {
	path   string
	code   int
	checks string
}

func (e *unhealthyError) Error() string {
	var failed []string
	for line := range strings.Lines(e.checks) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			failed = append(failed, name)
		}
	}
	answer := fmt.Sprintf("GET %s answered %d %s", e.path, e.code, http.StatusText(e.code))
	if len(failed) > 0 {
		answer += "; failed checks: " + strings.Join(failed, ", ")
	}
	return answer
}

// etcd says whether etcd is what fails. While the API server starts much else fails too.
func (e *unhealthyError) etcd() bool {
	return strings.Contains(e.checks, "[-]etcd") && !strings.Contains(e.checks, "[-]poststarthook")
}

// refused says whether an API server answered that it does not know who asks, or does not let them.
func refused(err error) bool {
	var unhealthy *unhealthyError
	if errors.As(err, &unhealthy) {
		return unhealthy.code == http.StatusUnauthorized || unhealthy.code == http.StatusForbidden
	}
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err)
}
