package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestClusterAPI gives a control plane to a Cluster, whose controller is Cluster API's own. That
// adopts a control plane that is there; the owner is written at once here, for Secrets are called
// by the Cluster's name.
func TestClusterAPI(t *testing.T) {
	namespace := tenantNamespace(t)
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fleet"}}
	cluster.Spec.ControlPlaneRef = clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: "piloted"}
	if err := management.Create(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	tcp := newControlPlane(t, namespace, "piloted", func(tcp *teapotv1.TenantControlPlane) {
		tcp.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(cluster, clusterv1.GroupVersion.WithKind(clusterv1.ClusterKind))}
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)

	t.Run("the contract's fields appear", func(t *testing.T) { contractIsKept(t, tcp, cluster.Name) })
	t.Run("a pause is honoured and released", func(t *testing.T) { pauseIsHonoured(t, tcp, cluster) })
	t.Run("the control plane goes with its Cluster", func(t *testing.T) {
		if err := management.Delete(t.Context(), cluster); err != nil {
			t.Fatal(err)
		}
		gone(t, tcp, deletedWithin)
	})
}

// contractIsKept looks for what a control plane shows to Cluster API.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane
func contractIsKept(t *testing.T, tcp *teapotv1.TenantControlPlane, cluster string) {
	eventually(t, 30*time.Second, "the replica counts", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		s := tcp.Status
		if s.Replicas != 1 || s.ReadyReplicas != 1 || s.AvailableReplicas != 1 || s.UpToDateReplicas != 1 || s.Selector == "" || s.Version != tcp.Spec.Version ||
			len(s.Versions) != 1 || s.Versions[0] != (clusterv1.StatusVersion{Version: tcp.Spec.Version, Replicas: 1}) {
			return fmt.Errorf("status is %+v", s)
		}
		return nil
	})
	status := tcp.Status
	if !ptr.Deref(status.Initialization.ControlPlaneInitialized, false) || !ptr.Deref(status.ExternalManagedControlPlane, false) {
		t.Errorf("status is %+v", status)
	}
	if want := (clusterv1.APIEndpoint{Host: status.Endpoint.Host, Port: status.Endpoint.Port}); tcp.Spec.ControlPlaneEndpoint != want {
		t.Errorf("spec.controlPlaneEndpoint is %v, want %v", tcp.Spec.ControlPlaneEndpoint, want)
	}
	if !meta.IsStatusConditionTrue(status.Conditions, teapotv1.AvailableCondition) || !meta.IsStatusConditionFalse(status.Conditions, teapotv1.PausedCondition) {
		t.Errorf("conditions are %+v", status.Conditions)
	}
	for _, name := range []string{cluster + "-kubeconfig", cluster + "-ca"} {
		secret := &corev1.Secret{}
		if err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Namespace, Name: name}, secret); err != nil {
			t.Error(err)
			continue
		}
		if secret.Type != clusterv1.ClusterSecretType || secret.Labels[clusterv1.ClusterNameLabel] != cluster {
			t.Errorf("Secret %s is of type %s with labels %v", name, secret.Type, secret.Labels)
		}
	}
}

// pauseIsHonoured changes what is wanted and what is there while the Cluster is paused.
func pauseIsHonoured(t *testing.T, tcp *teapotv1.TenantControlPlane, cluster *clusterv1.Cluster) {
	pause := func(paused bool) {
		patch := client.MergeFrom(cluster.DeepCopy())
		cluster.Spec.Paused = &paused
		if err := management.Patch(t.Context(), cluster, patch); err != nil {
			t.Fatal(err)
		}
	}
	pause(true)
	says(t, tcp, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused, 30*time.Second, cluster.Name)

	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: tcp.Status.Namespace, Name: controlplane.ControlPlaneName}
	if err := management.Get(t.Context(), key, deployment); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(deployment.DeepCopy())
	deployment.Spec.MinReadySeconds = 1 // somebody works on it by hand, which is what a pause is for
	if err := management.Patch(t.Context(), deployment, patch); err != nil {
		t.Fatal(err)
	}
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](2) })
	eventually(t, 30*time.Second, "the new spec to be seen", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		if tcp.Status.ObservedGeneration != tcp.Generation {
			return fmt.Errorf("generation %d of %d is", tcp.Status.ObservedGeneration, tcp.Generation)
		}
		return nil
	})
	if err := management.Get(t.Context(), key, deployment); err != nil {
		t.Fatal(err)
	}
	if *deployment.Spec.Replicas != 1 || deployment.Spec.MinReadySeconds != 1 {
		t.Errorf("while paused, the Deployment was changed to %d replicas, minReadySeconds %d", *deployment.Spec.Replicas, deployment.Spec.MinReadySeconds)
	}

	pause(false)
	says(t, tcp, teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, 30*time.Second)
	eventually(t, 30*time.Second, "what was asked for while paused", func(ctx context.Context) error {
		if err := management.Get(ctx, key, deployment); err != nil {
			return err
		}
		if *deployment.Spec.Replicas != 2 || deployment.Spec.MinReadySeconds != 0 {
			return fmt.Errorf("the Deployment has %d replicas, minReadySeconds %d", *deployment.Spec.Replicas, deployment.Spec.MinReadySeconds)
		}
		return nil
	})
}
