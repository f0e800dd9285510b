package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/teapot-cloud/teapot/controlplane/route"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/output"
)

// asGateway makes the test's program be the gateway itself.
const asGateway = "TEAPOT_TEST_IS_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		main()
		return
	}
	apiserver.Run(m)
}

const patience = time.Minute // for what happens at once on a machine that is not overloaded

// gateway is one that runs as a process of its own.
type gateway struct {
	command                *exec.Cmd
	users, metrics, health string
	ended                  chan struct{}
	failure                error
	log                    output.Buffer
}

// startGateway starts one, waits until it is ready and stops it at the end of the test.
func startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	g := &gateway{users: freeAddress(t), metrics: freeAddress(t), health: freeAddress(t), ended: make(chan struct{})}
	g.command = exec.Command(os.Args[0], append([]string{
		"--listen=" + g.users, "--metrics-bind-address=" + g.metrics, "--health-probe-bind-address=" + g.health,
		"--pod-name=gateway-0", "--drain-delay=0s", "--drain-timeout=0s",
	}, args...)...)
	g.command.Env = append(os.Environ(), asGateway+"=1", "KUBECONFIG="+apiserver.Kubeconfig(t))
	g.command.Stdout, g.command.Stderr = &g.log, &g.log
	g.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test be killed
	if err := g.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.failure = g.command.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() {
		g.signal(t)
		<-g.ended
		if g.failure != nil {
			t.Errorf("the gateway ended: %v", g.failure)
		}
		if t.Failed() {
			t.Logf("gateway:\n%s", g.log.String())
		}
	})
	apiserver.Eventually(t, patience, "the gateway to be ready", func() error { return g.ready(http.StatusOK) })
	return g
}

// signal tells it to end. One that has ended says so elsewhere.
func (g *gateway) signal(t *testing.T) {
	t.Helper()
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

func (g *gateway) ready(want int) error {
	response, err := http.Get("http://" + g.health + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		return fmt.Errorf("/readyz says %s", response.Status)
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// tenant makes a control plane that serves, and returns the name of its host and its Lease's namespace.
func tenant(t *testing.T, name string) (host, namespace string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") }))
	t.Cleanup(server.Close)
	r := route.Route{
		Owner: types.NamespacedName{Namespace: "red", Name: name}, Host: name + ".red.example.org",
		Backend: server.Listener.Addr().(*net.TCPAddr).AddrPort(),
	}
	lease := r.Lease()
	client := management(t)
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: lease.Namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoordinationV1().Leases(lease.Namespace).Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return r.Host, lease.Namespace
}

func management(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(apiserver.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dial connects as a user, when the gateway knows the name.
func (g *gateway) dial(t *testing.T, host string) *tls.Conn {
	t.Helper()
	var conn *tls.Conn
	apiserver.Eventually(t, patience, host+" to be known", func() (err error) {
		conn, err = tls.Dial("tcp", g.users, &tls.Config{ServerName: host, InsecureSkipVerify: true})
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

func get(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 1024)
	n, err := conn.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200") {
		return fmt.Errorf("got %q, %v", answer[:n], err)
	}
	return nil
}

// TestFromStartToEnd: users are let in, metrics tell of it, and at the end who is in goes on, and the
// controllers are told that nobody is.
func TestFromStartToEnd(t *testing.T) {
	host, namespace := tenant(t, "whole-life")
	g := startGateway(t, "--drain-delay=1s", "--drain-timeout=5m")
	conn := g.dial(t, host)
	if err := get(conn); err != nil {
		t.Fatal(err)
	}
	metrics := g.scrape(t)
	for _, want := range []string{
		`teapot_gateway_connections{state="open"} 1`, `teapot_gateway_connections_total{result="passed_on"} 1`,
		`teapot_gateway_rejected_total{reason="slow"} 0`, `teapot_gateway_bytes_total{direction="to_client",path="splice"} `,
		`teapot_gateway_bytes_total{direction="to_client",path="copy"} 0`, `teapot_gateway_writes_total{result="ok",what="wake"} 0`,
		"teapot_gateway_held_seconds_count", "teapot_gateway_hello_seconds_count", `teapot_gateway_routes{state="awake"} `, `teapot_gateway_routes{state="asleep"} 0`,
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	if strings.Contains(metrics, "whole-life") || strings.Contains(metrics, "127.0.0.1") {
		t.Error("metrics tell of tenants or clients")
	}
	users := func(want int) func() error {
		return func() error {
			lease, err := management(t).CoordinationV1().Leases(namespace).Get(context.Background(), route.LeaseName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if n, last := route.Users(lease, time.Now()); n != want || last.IsZero() {
				return fmt.Errorf("%d users are told of, the last at %s", n, last)
			}
			return nil
		}
	}
	apiserver.Eventually(t, patience, "the user to be told of", users(1))

	g.signal(t)
	apiserver.Eventually(t, patience, "it not to be ready", func() error { return g.ready(http.StatusServiceUnavailable) })
	g.dial(t, host).Close() // by one who has not heard of it yet
	apiserver.Eventually(t, patience, "nobody to be let in any more", func() error {
		late, err := net.Dial("tcp", g.users)
		if err != nil {
			return nil
		}
		late.Close()
		return errors.New("somebody was")
	})
	if err := get(conn); err != nil {
		t.Errorf("who is in cannot go on: %v", err)
	}
	conn.Close()
	select {
	case <-g.ended:
	case <-time.After(patience):
		t.Fatal("it does not end although nobody is in")
	}
	if err := users(0)(); err != nil {
		t.Error(err)
	}
}

func (g *gateway) scrape(t *testing.T) string {
	t.Helper()
	response, err := http.Get("http://" + g.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	return string(body)
}

// TestAnEndThatIsNotWaitedFor: when the time to leave is over, who is in is put out.
func TestAnEndThatIsNotWaitedFor(t *testing.T) {
	host, _ := tenant(t, "short")
	g := startGateway(t)
	conn := g.dial(t, host)
	g.signal(t)
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-g.ended
}
