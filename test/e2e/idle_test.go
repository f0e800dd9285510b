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
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

const (
	// idleAfter is the shortest that may be asked for.
	idleAfter = time.Minute
	// toldWithin is how long a gateway (a minute) and a session (half of one) may take to tell of use.
	toldWithin = 3 * time.Minute
)

// testIdle leaves a control plane alone, which then sleeps by itself, but not while somebody watches
// or a Job has not finished. Who does not know its name does not wake it.
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
