package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// TestLifeOfAControlPlane follows one control plane from its creation to the end. Each
// step stands on the one before, so the first that fails ends the test.
func TestLifeOfAControlPlane(t *testing.T) {
	before, err := snapshot(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "life", "--namespace", namespace, "--wait", "--timeout", readyWithin.String())
	tcp := get(t, namespace, "life")

	steps := []struct {
		name string
		run  func(*testing.T, *teapotv1.TenantControlPlane)
	}{
		{"a user's request is answered", userIsAnswered},
		{"the proxy leads to the API", proxyLeads},
		{"kubeadm's own is inside", insideIsApplied},
		{"status tells the truth", statusIsTrue},
		{"Ready is withdrawn while etcd hangs", readyIsWithdrawn},
		{"objects survive the death of all pods", objectsSurvive},
		{"a manager that restarts changes nothing", managerRestarts},
		{"nothing is dialled from the management cluster", noWayOut},
		{"a machine's pods and webhooks are reached", machineJoins},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, tcp) }) {
			t.FailNow()
		}
	}

	teapot(t, "delete", "life", "--namespace", namespace, "--yes", "--timeout", "1m")
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "nothing to be left", func(ctx context.Context) error { return nothingLeft(ctx, t, before) })
	address := fmt.Sprintf("%s:%d", tcp.Status.Endpoint.Address, tcp.Status.Endpoint.Port)
	if conn, err := netdial.DialContext(t.Context(), "tcp", address); err == nil {
		conn.Close()
		t.Errorf("%s still accepts connections", address)
	}
}

func userIsAnswered(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	_, user := asUser(t, tcp.Namespace, tcp.Name)
	namespaces, err := user.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(namespaces.Items) < 4 {
		t.Errorf("the tenant has %d namespaces, fewer than Kubernetes makes", len(namespaces.Items))
	}
	version, err := user.Discovery().ServerVersion()
	if err != nil || version.GitVersion != tcp.Spec.Version {
		t.Errorf("the API server says %v, %v; want %s", version, err, tcp.Spec.Version)
	}
}

func proxyLeads(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	out := teapot(t, "proxy", tcp.Name, "--namespace", tcp.Namespace, "--", os.Getenv("KUBECTL"), "get", "namespaces", "-o", "name")
	if !strings.Contains(out, "namespace/kube-system") {
		t.Errorf("kubectl through the proxy printed %q", out)
	}
}

func insideIsApplied(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	_, user := asUser(t, tcp.Namespace, tcp.Name)
	for namespace, name := range map[string]string{"kube-system": "kubeadm-config", "kube-public": "cluster-info"} {
		if _, err := user.CoreV1().ConfigMaps(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	coreDNS, err := user.AppsV1().Deployments("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *coreDNS.Spec.Replicas != 0 {
		t.Errorf("CoreDNS has %d replicas without a machine to run on", *coreDNS.Spec.Replicas)
	}
	for _, name := range []string{"kube-proxy", "konnectivity-agent"} {
		if _, err := user.AppsV1().DaemonSets("kube-system").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	endpoints, err := user.DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s:%d", endpoints.Endpoints[0].Addresses[0], *endpoints.Ports[0].Port)
	if want := fmt.Sprintf("%s:%d", tcp.Status.Endpoint.Address, tcp.Status.Endpoint.Port); got != want {
		t.Errorf("pods are sent to %s, want %s", got, want)
	}
}

func statusIsTrue(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	eventually(t, 30*time.Second, "the replica counts", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		s := tcp.Status
		if s.Version != tcp.Spec.Version || s.Replicas != 1 || s.ReadyReplicas != 1 || s.AvailableReplicas != 1 || s.EtcdReadyMembers != 1 {
			return fmt.Errorf("status is %+v", s)
		}
		return nil
	})
	if expire := tcp.Status.CertificatesExpire; expire == nil || time.Until(expire.Time) < 300*24*time.Hour {
		t.Errorf("certificates expire at %v", expire)
	}
	for _, secret := range []string{tcp.Status.Secrets.UserKubeconfig, tcp.Status.Secrets.Kubeconfig, tcp.Status.Secrets.CertificateAuthority} {
		if err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Namespace, Name: secret}, &corev1.Secret{}); err != nil {
			t.Error(err)
		}
	}
	scaled := teapot(t, "get", "tcp", tcp.Name, "--namespace", tcp.Namespace)
	if !strings.Contains(scaled, "True") || !strings.Contains(scaled, tcp.Status.Endpoint.URL) {
		t.Errorf("teapot get prints %q", scaled)
	}
}

// readyIsWithdrawn stops etcd's process, the worst kind of loss: nothing refuses, all waits.
func readyIsWithdrawn(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	process := processOf(t, pods(t, tcp, controlplane.EtcdName)[0], "etcd")
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Signal(syscall.SIGCONT) })
	becomes(t, tcp, metav1.ConditionFalse, 10*time.Second)
	if err := process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
}

// processOf finds a container's process by the pod's UID in its cgroup.
func processOf(t *testing.T, pod corev1.Pod, name string) *os.Process {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		directory := filepath.Dir(file)
		cgroup, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(cgroup), string(pod.UID)) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(directory, "comm"))
		if err != nil || strings.TrimSpace(string(command)) != name {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return process
	}
	t.Fatalf("pod %s has no process %s", pod.Name, name)
	return nil
}

func objectsSurvive(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	_, user := asUser(t, tcp.Namespace, tcp.Name)
	configMaps := user.CoreV1().ConfigMaps("default")
	if _, err := configMaps.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "survivor"}, Data: map[string]string{"key": "value"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	kill(t, tcp, controlplane.EtcdName)
	kill(t, tcp, controlplane.ControlPlaneName)
	// Containers go on for a moment after their pod is no more: they would still answer.
	becomes(t, tcp, metav1.ConditionFalse, 10*time.Second)
	eventually(t, readyWithin, "the object to be read again", func(ctx context.Context) error {
		survivor, err := configMaps.Get(ctx, "survivor", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			t.Fatal("the object is lost")
		}
		if err != nil {
			return err
		}
		if survivor.Data["key"] != "value" {
			t.Fatalf("the object is %v", survivor.Data)
		}
		return nil
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
}

// managerRestarts also shows that a control plane does not depend on the manager's memory.
func managerRestarts(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	own := client.InNamespace(tcp.Status.Namespace)
	versions := func() map[string]string {
		found := map[string]string{}
		secrets := &corev1.SecretList{}
		services := &corev1.ServiceList{}
		if err := errors.Join(management.List(t.Context(), secrets, own), management.List(t.Context(), services, own)); err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets.Items {
			found["secret/"+secret.Name] = secret.ResourceVersion
		}
		for _, service := range services.Items {
			found["service/"+service.Name] = service.ResourceVersion
		}
		for _, pod := range pods(t, tcp, controlplane.ControlPlaneName) {
			found["pod/"+pod.Name] = string(pod.UID)
		}
		return found
	}
	// What follows from the pods' return is written before the restart.
	eventually(t, readyWithin, "the Services to lead to ready pods alone", func(ctx context.Context) error {
		for _, name := range []string{controlplane.ControlPlaneName, controlplane.EtcdName} {
			service := &corev1.Service{}
			if err := management.Get(ctx, client.ObjectKey{Namespace: tcp.Status.Namespace, Name: name}, service); err != nil {
				return err
			}
			if service.Spec.PublishNotReadyAddresses {
				return fmt.Errorf("Service %s publishes pods that are not ready", name)
			}
		}
		return nil
	})
	before := versions()
	since := meta.FindStatusCondition(get(t, tcp.Namespace, tcp.Name).Status.Conditions, teapotv1.APIServerReadyCondition).LastTransitionTime
	out, err := exec.CommandContext(t.Context(), os.Getenv("KUBECTL"), "-n", managersNamespace, "rollout", "restart", "deployment/teapot-manager").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), os.Getenv("KUBECTL"), "-n", managersNamespace, "rollout", "status", "deployment/teapot-manager", "--timeout=2m").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The new manager is at work once it has noticed a change.
	patch := client.MergeFrom(tcp.DeepCopy())
	tcp.Spec.Endpoint.SubjectAltNames = nil
	tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain
	if err := management.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	patch = client.MergeFrom(tcp.DeepCopy())
	tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyDelete
	if err := management.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	if now := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.APIServerReadyCondition).LastTransitionTime; !now.Equal(&since) {
		t.Errorf("the API server is said to answer since %s, no longer since %s", now, since)
	}
	after := versions()
	for name, version := range before {
		if after[name] != version {
			t.Errorf("%s was changed by a restart of the manager: %s, now %q", name, version, after[name])
		}
	}
}
