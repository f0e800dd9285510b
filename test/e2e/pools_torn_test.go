package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// withoutFinalizers lets an object go that its controllers do not let go of.
var withoutFinalizers = client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))

// testPoolTornAway removes a Cluster by force, as people do with finalizers that
// hold. Cluster API does nothing without its Cluster any more, so that nobody deletes the machines:
// what holds hosts, or would, goes all the same, and so do the pool and the control plane.
func testPoolTornAway(t *testing.T) {
	x := &machinesTenant{namespace: tenantNamespace(t), name: "torn"}
	t.Cleanup(func() { x.letClusterAPIGo(t) })
	tcp := newControlPlane(t, x.namespace, x.name, nil)
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	pool := &teapotv1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name}}
	pool.Spec.ControlPlaneName, pool.Spec.Version, pool.Spec.Replicas = tcp.Name, node.KubernetesVersion, ptr.To[int32](1)
	pool.Spec.Image.URL = "oci://registry.example.com/none"
	pool.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{hostLabel + "nobody": "true"}
	if err := management.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "a claim", func(ctx context.Context) error { return x.holds(ctx, 1) })

	cluster := x.cluster()
	if err := management.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil {
		t.Fatal(err)
	}
	if err := management.Patch(t.Context(), cluster, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"paused":true}}`))); err != nil {
		t.Fatal(err)
	}
	if err := management.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	if err := management.Patch(t.Context(), cluster, withoutFinalizers); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "all of Teapot's to be gone", func(ctx context.Context) error {
		return errors.Join(x.holds(ctx, 0), goneAll(ctx, cluster, pool, tcp))
	})
}

// holds says whether the tenant has so many claims, and HostMachines for them.
func (x *machinesTenant) holds(ctx context.Context, count int) error {
	claims, machines := &teapotv1.MachineClaimList{}, &teapotv1.HostMachineList{}
	err := errors.Join(management.List(ctx, claims, client.InNamespace(x.namespace)), management.List(ctx, machines, client.InNamespace(x.namespace)))
	if err == nil && (len(claims.Items) != count || len(machines.Items) != count) {
		err = fmt.Errorf("there are %d claims and %d HostMachines", len(claims.Items), len(machines.Items))
	}
	return err
}

// letClusterAPIGo removes what is left of Cluster API's objects, which hold the namespace.
func (x *machinesTenant) letClusterAPIGo(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	for _, list := range []client.ObjectList{&clusterv1.MachineDeploymentList{}, &clusterv1.MachineSetList{}, &clusterv1.MachineList{}} {
		if err := management.List(ctx, list, client.InNamespace(x.namespace)); err != nil {
			t.Fatal(err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(client.Object)
			return client.IgnoreNotFound(errors.Join(management.Delete(ctx, object), management.Patch(ctx, object, withoutFinalizers)))
		})
		if err != nil {
			t.Error(err)
		}
	}
}
