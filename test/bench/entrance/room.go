package entrance

import (
	"context"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/pki"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/bench/process"
)

// Ports of the proxies, on the room's own address.
const (
	gatewayPort = "6443"
	haproxyPort = "6444"
)

// startWithin is how long a proxy may take until it passes connections on.
const startWithin = time.Minute

// room has everything but the proxies.
type room struct {
	address, folder string
	backend         *backend
	// hello asks for the sending server.
	hello []byte
	// gateway and haproxy are programs; haproxy is empty if there is none.
	gateway, haproxy string
	kubeconfig       string
	// connections is how many there may be at once.
	connections int
	// closing undoes what was opened, last first.
	closing []func() error
}

// openRoom starts the servers and an API server that knows the ways to them. The room is to be closed,
// also when opening it failed.
func openRoom(ctx context.Context, connections int) (_ *room, err error) {
	r := &room{address: process.Address(), connections: connections}
	if r.folder, err = process.Folder("entrance"); err != nil {
		return r, err
	}
	r.closing = append(r.closing, func() error { return os.RemoveAll(r.folder) })
	if r.gateway, err = process.Build(ctx, r.folder, "cmd/teapot-gateway"); err != nil {
		return r, err
	}
	if r.hello, err = clientHello(host(sending)); err != nil {
		return r, fmt.Errorf("making a ClientHello: %w", err)
	}
	now := time.Now()
	if r.backend, err = startBackend(r.address, now); err != nil {
		return r, err
	}
	r.closing = append(r.closing, r.backend.close)
	config, stop, err := apiserver.Start()
	if err != nil {
		return r, err
	}
	r.closing = append(r.closing, stop)
	return r, r.writeRoutes(ctx, config, now)
}

func (r *room) close() error {
	var errs []error
	for i := len(r.closing) - 1; i >= 0; i-- {
		errs = append(errs, r.closing[i]())
	}
	return errors.Join(errs...)
}

// way is where a name leads to.
type way struct{ Name, Host, Backend string }

func (r *room) ways() []way {
	return []way{
		{answering, host(answering), r.backend.answering.Addr().String()},
		{sending, host(sending), r.backend.sending.Addr().String()},
	}
}

// writeRoutes writes the Leases that the gateway goes by, as the manager would.
func (r *room) writeRoutes(ctx context.Context, config *rest.Config, now time.Time) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	certificate, err := newCertificate("unused", now)
	if err != nil {
		return err
	}
	for _, way := range r.ways() {
		backend, err := netip.ParseAddrPort(way.Backend)
		if err != nil {
			return err
		}
		lease := route.Route{
			Owner: types.NamespacedName{Namespace: owners, Name: way.Name}, Host: way.Host, Backend: backend,
			CertificateAuthority: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})),
			// Awake for so long that nobody asks first whether it is ready.
			Decided: true, Since: now.Add(-24 * time.Hour),
		}.Lease()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: lease.Namespace}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating namespace %s: %w", namespace.Name, err)
		}
		if _, err := client.CoordinationV1().Leases(lease.Namespace).Create(ctx, lease, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating Lease %s/%s: %w", lease.Namespace, lease.Name, err)
		}
	}
	r.kubeconfig = filepath.Join(r.folder, "kubeconfig")
	encoded, err := pki.Kubeconfig{
		Cluster: "management", Server: config.Host, CA: config.CAData,
		User: "teapot-gateway", Client: pki.KeyPair{Cert: config.CertData, Key: config.KeyData},
	}.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(r.kubeconfig, encoded, 0o600)
}

// proxy is a running gateway or haproxy.
type proxy struct {
	*process.Process
	// address is where users come in.
	address string
}

// Stop ends it. That haproxy ends by the signal itself is well, too.
func (p *proxy) Stop() error {
	err := p.Process.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return nil
	}
	return err
}

// startGateway starts the gateway with its defaults, but for where it listens and how many connections
// there may be, and returns when it passes them on.
func (r *room) startGateway(ctx context.Context) (*proxy, error) {
	connections := strconv.Itoa(r.connections)
	p := &proxy{address: net.JoinHostPort(r.address, gatewayPort)}
	return r.start(ctx, p, "the gateway", r.gateway,
		"--listen="+p.address, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--pod-name=bench",
		"--max-connections="+connections, "--max-connections-per-tenant="+connections,
		"--drain-delay=0s", "--drain-timeout=1s")
}

//go:embed haproxy.cfg.tmpl
var haproxyText string

var haproxyConfig = template.Must(template.New("haproxy.cfg").Option("missingkey=error").Parse(haproxyText))

// findHAProxy fails with what to do if there is none.
func (r *room) findHAProxy() (err error) {
	if r.haproxy, err = exec.LookPath("haproxy"); err != nil {
		return fmt.Errorf("looking for haproxy, which the gateway is measured against (make bench installs it; apt-get install haproxy): %w", err)
	}
	return nil
}

// startHAProxy starts haproxy and returns when it passes connections on.
func (r *room) startHAProxy(ctx context.Context) (*proxy, error) {
	p := &proxy{address: net.JoinHostPort(r.address, haproxyPort)}
	file := filepath.Join(r.folder, "haproxy.cfg")
	config, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	err = haproxyConfig.Execute(config, map[string]any{"Connections": r.connections, "Listen": p.address, "Ways": r.ways()})
	if err := errors.Join(err, config.Close()); err != nil {
		return nil, fmt.Errorf("writing haproxy's configuration: %w", err)
	}
	return r.start(ctx, p, "haproxy", r.haproxy, "-db", "-f", file)
}

func (r *room) start(ctx context.Context, p *proxy, name string, arguments ...string) (_ *proxy, err error) {
	log := filepath.Join(r.folder, filepath.Base(arguments[0])+".log")
	if p.Process, err = process.Start(name, log, []string{"KUBECONFIG=" + r.kubeconfig}, arguments...); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		conn, err := r.backend.dialAnswering(ctx, p.address)
		if err == nil {
			return p, conn.Close()
		}
		ended := p.Err()
		if ended != nil || pause(ctx, 50*time.Millisecond) != nil {
			said, _ := os.ReadFile(log) // what cannot be read says nothing
			return nil, errors.Join(fmt.Errorf("waiting for %s to pass connections on: %w; it said:\n%s", name, err, said), ended, p.Stop())
		}
	}
}
