package e2e

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestAHighlyAvailableControlPlane loses one of everything and goes on.
func TestAHighlyAvailableControlPlane(t *testing.T) {
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "available", "--namespace", namespace, "--replicas", "2", "--etcd-members", "3",
		"--wait", "--timeout", readyWithin.String())
	tcp := get(t, namespace, "available")
	_, user := asUser(t, namespace, "available")
	eventually(t, readyWithin, "all pods to be ready", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		if tcp.Status.ReadyReplicas != 2 || tcp.Status.EtcdReadyMembers != 3 {
			return fmt.Errorf("status is %+v", tcp.Status)
		}
		return nil
	})

	for _, component := range []string{controlplane.EtcdName, controlplane.ControlPlaneName} {
		victim := pods(t, tcp, component)[0]
		if err := management.Delete(t.Context(), &victim, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		// A write goes through before the lost pod is back.
		eventually(t, 30*time.Second, "a write without a "+component+" pod", func(ctx context.Context) error {
			_, err := user.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: "without-" + component},
			}, metav1.CreateOptions{})
			return err
		})
	}
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
}

// TestRetainKeepsTheData deletes a control plane and looks for what must remain.
func TestRetainKeepsTheData(t *testing.T) {
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "retained", "--namespace", namespace, "--deletion-policy", "Retain", "--no-konnectivity",
		"--wait", "--timeout", readyWithin.String())
	own := controlplane.Namespace(types.NamespacedName{Namespace: namespace, Name: "retained"})
	t.Cleanup(func() {
		if err := management.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}}); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	teapot(t, "delete", "retained", "--namespace", namespace, "--yes", "--timeout", "2m")

	claims, podList, secrets := &corev1.PersistentVolumeClaimList{}, &corev1.PodList{}, &corev1.SecretList{}
	for _, list := range []client.ObjectList{claims, podList, secrets} {
		if err := management.List(t.Context(), list, client.InNamespace(own)); err != nil {
			t.Fatal(err)
		}
	}
	if len(claims.Items) != 1 || claims.Items[0].Labels[teapotv1.RetainedLabel] == "" {
		t.Errorf("volume claims: %+v", claims.Items)
	}
	if len(secrets.Items) != 1 || secrets.Items[0].Name != controlplane.AuthoritiesName {
		t.Errorf("%d Secrets are left", len(secrets.Items))
	}
	if len(podList.Items) != 0 {
		t.Errorf("%d pods are left", len(podList.Items))
	}
}

// TestADeadTenantIsDeleted stops a tenant's API server and etcd, which then neither answer
// nor refuse. Deletion asks nothing of them.
func TestADeadTenantIsDeleted(t *testing.T) {
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "dead", "--namespace", namespace, "--wait", "--timeout", readyWithin.String())
	tcp := get(t, namespace, "dead")
	for component, name := range map[string]string{controlplane.EtcdName: "etcd", controlplane.ControlPlaneName: "kube-apiserver"} {
		process := processOf(t, pods(t, tcp, component)[0], name)
		if err := process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = process.Signal(syscall.SIGCONT) })
	}
	teapot(t, "delete", "dead", "--namespace", namespace, "--yes", "--timeout", "1m")
	if err := management.Get(t.Context(), client.ObjectKey{Name: tcp.Status.Namespace}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("namespace %s: %v", tcp.Status.Namespace, err)
	}
}
