package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/gateway/routes"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

const (
	// idleAfter is the shortest that may be asked for.
	idleAfter = 2 * time.Minute
	// toldWithin is how long a gateway (a minute) and a session (half of one) may take to tell of use.
	toldWithin = 3 * time.Minute
)

// testIdle leaves a control plane alone, which then sleeps by itself, but not while somebody watches
// or a Job has not finished. Who does not know its name does not wake it, nor does who was watching when
// it went to sleep.
func testIdle(t *testing.T) {
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "idle", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Hibernation = &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: idleAfter}}
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	x := &machinesTenant{namespace: namespace, name: tcp.Name, kubeconfig: filepath.Join(t.TempDir(), "idle")}
	if err := os.WriteFile(x.kubeconfig, []byte(teapot(t, "kubeconfig", x.name, "--namespace", namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, x.user = asUser(t, namespace, x.name)

	unwatch := x.watch(t)
	if _, err := x.user.BatchV1().Jobs(metav1.NamespaceDefault).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "unfinished"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "none", Image: "registry.k8s.io/pause:none"}},
		}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	disconnect(x.user)
	x.isAwakeFor(t, "user connection")
	unwatch()
	x.isAwakeFor(t, "Job default/unfinished has not finished")
	if _, err := x.kubectl(t.Context(), "delete", "job", "unfinished"); err != nil {
		t.Fatal(err)
	}
	x.phaseBecomes(t, asleepWithin+toldWithin, teapotv1.HibernationAsleep, "Idle")

	host := get(t, namespace, x.name).Status.Endpoint.GatewayServerName
	for name, ask := range map[string]func(net.Conn) error{
		"no name":      func(c net.Conn) error { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
		"another name": func(c net.Conn) error { return tls.Client(c, &tls.Config{ServerName: "x" + host}).Handshake() },
		"no TLS": func(c net.Conn) error {
			_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			return errors.Join(err, errors.New("asked"))
		},
	} {
		address := strings.TrimPrefix(get(t, namespace, x.name).Status.Endpoint.GatewayURL, "https://")
		conn, err := netdial.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := ask(conn); err == nil {
			t.Errorf("who asks with %s is answered", name)
		}
		conn.Close()
	}
	if tcp := get(t, namespace, x.name); tcp.Status.Hibernation.Phase != teapotv1.HibernationAsleep {
		t.Errorf("a scanner woke it: %+v", tcp.Status.Hibernation)
	}
	if out, err := x.kubectl(t.Context(), "get", "namespaces", "--request-timeout="+awakeWithin.String()); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	x.phaseBecomes(t, awakeWithin, teapotv1.HibernationAwake, "WakeRequest")
	x.sleepsOn(t)
}

// sleepsOn puts the control plane to sleep while a client watches that comes back at once whenever it is
// cut off, as k9s and controllers do. That does not wake it; a client from elsewhere does.
func (x *machinesTenant) sleepsOn(t *testing.T) {
	t.Helper()
	told, tries := x.keepWatching(t)
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatalf("a watch told of nothing in a minute, after %d connections", tries.Load())
	}
	x.hibernate(t, teapotv1.HibernatedWorkersRelease)
	before := tries.Load()
	eventually(t, routes.QuietPeriod, "the watcher to try to come back", func(context.Context) error {
		if more := tries.Load() - before; more < comesBack {
			return fmt.Errorf("it tried %d times of %d", more, comesBack)
		}
		return nil
	})
	x.isAsleep(t)

	config, _ := asUser(t, x.namespace, x.name)
	config.Dial = fromElsewhere(t)
	elsewhere := kubernetes.NewForConfigOrDie(config)
	defer disconnect(elsewhere)
	eventually(t, awakeWithin, "a client from elsewhere to be answered", func(ctx context.Context) error {
		_, err := elsewhere.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		return err
	})
	x.phaseBecomes(t, awakeWithin, teapotv1.HibernationAwake, "WakeRequest")
}

// comesBack is how often a watcher tries to come back. A gateway holds each try for its --hold, and all of
// them have to end well within its routes.QuietPeriod.
const comesBack = 4

// keepWatching watches until the test ends, again and again. told is closed when a watch first tells of
// something; tries counts the connections that were begun, which are more than the watches: client-go
// begins new ones for a watch that has not told of anything.
func (x *machinesTenant) keepWatching(t *testing.T) (told <-chan struct{}, tries *atomic.Int32) {
	t.Helper()
	tries = &atomic.Int32{}
	config, _ := asUser(t, x.namespace, x.name)
	config.Timeout = 0 // a watch has no end
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		tries.Add(1)
		return netdial.DialContext(ctx, network, address)
	}
	user := kubernetes.NewForConfigOrDie(config)
	first := make(chan struct{})
	tell := sync.OnceFunc(func() { close(first) })
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for pause(ctx) {
			watcher, err := user.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{})
			if err != nil {
				continue // as a controller would
			}
			for range watcher.ResultChan() {
				tell()
			}
		}
	})
	t.Cleanup(func() { cancel(); watching.Wait(); disconnect(user) })
	return first, tries
}

// fromElsewhere dials a gateway from an address that no other client of the tests has for it: by the
// node port they all come from the address of the pods' bridge.
func fromElsewhere(t *testing.T) func(ctx context.Context, network, address string) (net.Conn, error) {
	t.Helper()
	gateways := &corev1.PodList{}
	if err := management.List(t.Context(), gateways, client.InNamespace(managersNamespace), client.MatchingLabels{teapotv1.ComponentLabel: "gateway"}); err != nil || len(gateways.Items) == 0 {
		t.Fatalf("no gateway runs: %v", err)
	}
	gateway := gateways.Items[0]
	i := slices.IndexFunc(gateway.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "tls" })
	to := net.JoinHostPort(gateway.Status.PodIP, fmt.Sprint(gateway.Spec.Containers[0].Ports[i].ContainerPort))
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(node.NodeIP)}, FallbackDelay: -1}
	return func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		err = netdial.Do(node.NetNS, func() error {
			conn, err = from.DialContext(ctx, network, to)
			return err
		})
		return conn, err
	}
}

// watch is a person's `kubectl get --watch`, until it is ended.
func (x *machinesTenant) watch(t *testing.T) (end func()) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Getenv("KUBECTL"), "--kubeconfig", x.kubeconfig, "get", "namespaces", "--watch")
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := netdial.Do(node.NetNS, command.Start); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		_ = command.Process.Kill()
		_ = command.Wait()
		if !strings.Contains(said.String(), metav1.NamespaceDefault) {
			t.Errorf("kubectl get --watch said %q", said.String())
		}
	}
}

// isAwakeFor waits until the status names a reason for being awake, and goes on to do so for longer than
// it may be idle.
func (x *machinesTenant) isAwakeFor(t *testing.T, reason string) {
	t.Helper()
	var since time.Time
	eventually(t, toldWithin+2*idleAfter, "the control plane to be awake for "+reason, func(ctx context.Context) error {
		tcp := &teapotv1.TenantControlPlane{}
		if err := management.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: x.name}, tcp); err != nil {
			return err
		}
		h := ptr.Deref(tcp.Status.Hibernation, teapotv1.HibernationStatus{})
		if h.Phase != teapotv1.HibernationAwake || !strings.Contains(strings.Join(h.AwakeBecause, "; "), reason) {
			since = time.Time{}
			return fmt.Errorf("%+v", h)
		}
		if since.IsZero() {
			since = time.Now()
		}
		if so := time.Since(since); so < idleAfter+10*time.Second {
			return fmt.Errorf("it is so for %s", so)
		}
		return nil
	})
}

// phaseBecomes waits for a phase, with a reason.
func (x *machinesTenant) phaseBecomes(t *testing.T, within time.Duration, phase teapotv1.HibernationPhase, reason string) {
	t.Helper()
	eventually(t, within, "phase "+string(phase), func(ctx context.Context) error {
		tcp := &teapotv1.TenantControlPlane{}
		if err := management.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: x.name}, tcp); err != nil {
			return err
		}
		if h := ptr.Deref(tcp.Status.Hibernation, teapotv1.HibernationStatus{}); h.Phase != phase || h.Reason != reason {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
}
