package tenantcontrolplane_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// ownedBy lets a Cluster own the control plane, as Cluster API does.
func ownedBy(cluster string, uid types.UID) func(*teapotv1.TenantControlPlane) {
	return func(tcp *teapotv1.TenantControlPlane) {
		tcp.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: clusterv1.GroupVersion.String(), Kind: clusterv1.ClusterKind, Name: cluster, UID: uid, Controller: ptr.To(true),
		}}
	}
}

// TestClusterAPI goes from a management cluster without Cluster API to one with it: the
// manager is not started anew.
func TestClusterAPI(t *testing.T) {
	t.Run("an owner of a kind that does not exist does no harm", func(t *testing.T) {
		tcp := readyOne(t, ownedBy("acme", "00000000-0000-0000-0000-000000000001"))
		endpoint := tcp.Status.Endpoint
		if got, want := tcp.Spec.ControlPlaneEndpoint, (clusterv1.APIEndpoint{Host: endpoint.Host, Port: endpoint.Port}); got != want {
			t.Errorf("spec.controlPlaneEndpoint is %+v, want %+v", got, want)
		}
		// https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane
		status := tcp.Status
		if !ptr.Deref(status.Initialization.ControlPlaneInitialized, false) || !ptr.Deref(status.ExternalManagedControlPlane, false) {
			t.Errorf("initialized and externally managed are not both true: %+v", status)
		}
		if !meta.IsStatusConditionTrue(status.Conditions, teapotv1.AvailableCondition) {
			t.Errorf("it is not Available: %+v", status.Conditions)
		}
		if want := []clusterv1.StatusVersion{{Version: "v1.36.3", Replicas: 1}}; len(status.Versions) != 1 || status.Versions[0] != want[0] {
			t.Errorf("versions are %+v, want %+v", status.Versions, want)
		}
		if status.Version != "v1.36.3" || status.Replicas != 1 || status.ReadyReplicas != 1 || status.UpToDateReplicas != 1 || status.AvailableReplicas != 1 {
			t.Errorf("version and replicas are %+v", status)
		}
		for _, name := range []string{"acme-kubeconfig", "acme-ca"} {
			secret := &corev1.Secret{}
			if err := direct.Get(t.Context(), types.NamespacedName{Namespace: tcp.Namespace, Name: name}, secret); err != nil {
				t.Fatal(err)
			}
			if secret.Type != clusterv1.ClusterSecretType || secret.Labels[clusterv1.ClusterNameLabel] != "acme" {
				t.Errorf("Secret %s has type %s and labels %v", name, secret.Type, secret.Labels)
			}
		}

		patch(t.Context(), t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) { spec.ControlPlaneEndpoint.Port = 1 })
		eventually(t, "spec.controlPlaneEndpoint to be written over", func() error {
			if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
				return err
			}
			if tcp.Spec.ControlPlaneEndpoint.Port != endpoint.Port {
				return fmt.Errorf("it is %+v", tcp.Spec.ControlPlaneEndpoint)
			}
			return nil
		})
		quiet(t, tcp)
	})

	if err := apiserver.InstallUpstream(config, apiserver.ClusterCRD); err != nil {
		t.Fatal(err)
	}

	t.Run("a control plane of a paused Cluster is not begun", func(t *testing.T) {
		namespace := tenantNamespace(t)
		cluster := newCluster(t, namespace, true)
		tcp := create(t, func(tcp *teapotv1.TenantControlPlane) {
			tcp.Namespace = namespace
			ownedBy(cluster.Name, cluster.UID)(tcp)
		})
		t.Cleanup(func() { pause(t, cluster, false) }) // a paused one is not deleted either
		t.Cleanup(func() { stopTenant(key(tcp)) })
		message := condition(t, tcp, teapotv1.PausedCondition, teapotv1.ReasonClusterPaused)
		if !strings.Contains(message, cluster.Name) {
			t.Errorf("the message does not name the Cluster: %s", message)
		}
		if writes := writes.About(controlplane.Namespace(key(tcp))); len(writes) > 0 {
			t.Errorf("written while paused: %v", writes)
		}
		pause(t, cluster, false)
		eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
		condition(t, tcp, teapotv1.PausedCondition, teapotv1.ReasonNotPaused)
	})

	for name, set := range map[string]func(*testing.T, *teapotv1.TenantControlPlane, *clusterv1.Cluster, bool){
		"Cluster": func(t *testing.T, _ *teapotv1.TenantControlPlane, cluster *clusterv1.Cluster, paused bool) {
			pause(t, cluster, paused)
		},
		"annotation": func(t *testing.T, tcp *teapotv1.TenantControlPlane, _ *clusterv1.Cluster, paused bool) {
			value := "null"
			if paused {
				value = `""`
			}
			change := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, clusterv1.PausedAnnotation, value))
			if err := direct.Patch(t.Context(), tcp.DeepCopy(), change); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run("what runs is left alone while paused by "+name, func(t *testing.T) {
			namespace := tenantNamespace(t)
			cluster := newCluster(t, namespace, false)
			tcp := readyOne(t, func(tcp *teapotv1.TenantControlPlane) {
				tcp.Namespace = namespace
				ownedBy(cluster.Name, cluster.UID)(tcp)
			})
			quiet(t, tcp)
			set(t, tcp, cluster, true)
			condition(t, tcp, teapotv1.PausedCondition, teapotv1.ReasonClusterPaused)
			if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.ReadyCondition) {
				t.Errorf("it is not Ready any more: %+v", tcp.Status.Conditions)
			}
			deployment := &appsv1.Deployment{}
			at := types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}
			if err := direct.Get(t.Context(), at, deployment); err != nil {
				t.Fatal(err)
			}
			deployment.Spec.Template.Spec.HostNetwork = true
			if err := direct.Update(t.Context(), deployment, person); err != nil {
				t.Fatal(err)
			}
			before := len(writes.About(at.Namespace))
			lookAgain(t, tcp)
			lookAgain(t, tcp)
			if written := writes.About(at.Namespace)[before:]; len(written) > 0 {
				t.Errorf("written while paused: %v", written)
			}
			if err := direct.Delete(t.Context(), tcp.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			lookAgain(t, tcp)
			if written := writes.About(at.Namespace)[before:]; len(written) > 0 {
				t.Errorf("deleted while paused: %v", written)
			}
			set(t, tcp, cluster, false)
			remove(t, tcp)
		})
	}
}

func newCluster(t *testing.T, namespace string, paused bool) *clusterv1.Cluster {
	t.Helper()
	cluster := &clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"},
		Spec: clusterv1.ClusterSpec{
			Paused:          ptr.To(paused),
			ControlPlaneRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: "cp"},
		},
	}
	if err := direct.Create(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	return cluster
}

func pause(t *testing.T, cluster *clusterv1.Cluster, paused bool) {
	t.Helper()
	before := cluster.DeepCopy()
	cluster.Spec.Paused = ptr.To(paused)
	if err := direct.Patch(contextOf(t), cluster, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
