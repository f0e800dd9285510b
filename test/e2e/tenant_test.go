package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// readyWithin is how long a control plane may take on a busy machine; how long it does
// take is measured by test/bench.
const readyWithin = 2 * time.Minute

// tenantNamespace makes a namespace for a tenant and removes it, and every control plane
// in it, at the end.
func tenantNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := management.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			dump(ctx, t, namespace.Name)
		}
		if err := management.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
		for {
			err := management.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
			if apierrors.IsNotFound(err) {
				return
			}
			if ctx.Err() != nil {
				t.Errorf("namespace %s is still there: %v, %+v", namespace.Name, err, namespace.Status.Conditions)
				return
			}
		}
	})
	return namespace.Name
}

// get reads a control plane.
func get(t *testing.T, namespace, name string) *teapotv1.TenantControlPlane {
	t.Helper()
	tcp := &teapotv1.TenantControlPlane{}
	if err := management.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, tcp); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// becomes waits until Ready has a status.
func becomes(t *testing.T, tcp *teapotv1.TenantControlPlane, status metav1.ConditionStatus, within time.Duration) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("Ready of %s to be %s", tcp.Name, status), func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition)
		if ready == nil || ready.Status != status || tcp.Status.ObservedGeneration != tcp.Generation {
			return fmt.Errorf("generation %d of %d, conditions %+v", tcp.Status.ObservedGeneration, tcp.Generation, tcp.Status.Conditions)
		}
		return nil
	})
}

// asUser makes a client from the kubeconfig that `teapot kubeconfig` exports. The address
// in it is the machines' and users' way in; it is dialled from where they would be.
func asUser(t *testing.T, namespace, name string) (*rest.Config, *kubernetes.Clientset) {
	t.Helper()
	exported, err := clientcmd.RESTConfigFromKubeConfig([]byte(teapot(t, "kubeconfig", name, "--namespace", namespace)))
	if err != nil {
		t.Fatal(err)
	}
	exported.Dial = netdial.DialContext
	exported.Timeout = 10 * time.Second
	return exported, kubernetes.NewForConfigOrDie(exported)
}

// pods lists the pods of a component.
func pods(t *testing.T, tcp *teapotv1.TenantControlPlane, component string) []corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	if err := management.List(t.Context(), list, client.InNamespace(tcp.Status.Namespace),
		client.MatchingLabels{teapotv1.ComponentLabel: component}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// kill ends the pods of a component without grace, as a machine that dies would.
func kill(t *testing.T, tcp *teapotv1.TenantControlPlane, component string) {
	t.Helper()
	for _, pod := range pods(t, tcp, component) {
		if err := management.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
}

// dump writes what a person would look at into test/out/<test>/.
func dump(ctx context.Context, t *testing.T, namespace string) {
	directory := filepath.Join(root, "test/out", strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Error(err)
		return
	}
	kubectl := func(file string, args ...string) {
		out, err := exec.CommandContext(ctx, os.Getenv("KUBECTL"), args...).CombinedOutput()
		if err := errors.Join(err, os.WriteFile(filepath.Join(directory, file), out, 0o644)); err != nil {
			t.Logf("dumping %s: %v", file, err)
		}
	}
	kubectl("controlplanes.yaml", "get", "tenantcontrolplanes", "-n", namespace, "-o", "yaml")
	kubectl("manager.log", "logs", "-n", managersNamespace, "deployment/teapot-manager", "--tail=2000")
	list := &teapotv1.TenantControlPlaneList{}
	if err := management.List(ctx, list, client.InNamespace(namespace)); err != nil {
		t.Log(err)
	}
	for _, tcp := range list.Items {
		own := controlplane.Namespace(client.ObjectKeyFromObject(&tcp))
		kubectl(tcp.Name+"-pods.yaml", "get", "pods,persistentvolumeclaims,services,deployments,statefulsets", "-n", own, "-o", "yaml")
		kubectl(tcp.Name+"-events.txt", "get", "events", "-n", own, "--sort-by=.metadata.creationTimestamp")
		for _, component := range []string{controlplane.ControlPlaneName, controlplane.EtcdName} {
			kubectl(tcp.Name+"-"+component+".log", "logs", "-n", own, "-l", teapotv1.ComponentLabel+"="+component, "--all-containers", "--prefix", "--tail=500")
		}
	}
	t.Logf("conditions, events and logs are in %s", directory)
}
