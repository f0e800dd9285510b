package tenantcontrolplane_test

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestDeletionGivesMachinesBackFirst: a control plane serves its machines until they are gone, but
// not for ever, and deletes no Cluster that Teapot did not make.
func TestDeletionGivesMachinesBackFirst(t *testing.T) {
	if err := apiserver.InstallUpstream(config, apiserver.ClusterAPICRDs); err != nil {
		t.Fatal(err)
	}
	const finalizer = "test.teapot.dev/cluster-api" // what Cluster API's own does: hold until the machines are gone
	for name, test := range map[string]struct {
		foreign bool // the Cluster is somebody else's
		// end is what becomes of the machine while it is waited for.
		end func(t *testing.T, c *clocktesting.FakePassiveClock, machine *clusterv1.Machine)
		// told is an event.
		told string
	}{
		"and waits for them": {end: func(t *testing.T, _ *clocktesting.FakePassiveClock, machine *clusterv1.Machine) {
			if err := direct.Delete(t.Context(), machine); err != nil {
				t.Fatal(err)
			}
		}},
		"but not for ever": {
			end: func(_ *testing.T, c *clocktesting.FakePassiveClock, _ *clusterv1.Machine) {
				c.SetTime(c.Now().Add(16 * time.Minute))
			},
			told: "worker-0",
		},
		"unless their Cluster is somebody else's": {foreign: true, told: "delete Cluster cp"},
	} {
		t.Run(name, func(t *testing.T) {
			c := clocktesting.NewFakePassiveClock(time.Now())
			tcp := byHand(tenantNamespace(t))
			makeOne(t.Context(), t, tcp)
			t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
			cluster := &clusterv1.Cluster{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: tcp.Namespace, Name: tcp.Name, Finalizers: []string{finalizer},
					Labels: map[string]string{
						teapotv1.ManagedByLabel:             teapotv1.ManagedByTeapot,
						teapotv1.ControlPlaneNamespaceLabel: tcp.Namespace, teapotv1.ControlPlaneNameLabel: tcp.Name,
					},
				},
				Spec: clusterv1.ClusterSpec{ControlPlaneRef: clusterv1.ContractVersionedObjectReference{
					APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: tcp.Name,
				}},
			}
			if test.foreign {
				cluster.Labels = nil
			}
			machine := &clusterv1.Machine{
				ObjectMeta: metav1.ObjectMeta{Namespace: tcp.Namespace, Name: "worker-0", Labels: map[string]string{clusterv1.ClusterNameLabel: tcp.Name}},
				Spec: clusterv1.MachineSpec{
					ClusterName: tcp.Name, Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("none")},
					InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "HostMachine", Name: "worker-0"},
				},
			}
			for _, object := range []client.Object{cluster, machine} {
				if err := direct.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { letGo(t, cluster) })
			h := newHand(t, key(tcp), c, "", 0)
			h.settle(t.Context(), t, isReady(t.Context(), key(tcp)))

			deleteOne(t.Context(), t, tcp)
			reconciled(t, h, tcp)
			if err := direct.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil {
				t.Fatal(err)
			}
			if deleting := !cluster.DeletionTimestamp.IsZero(); deleting == test.foreign {
				t.Errorf("the Cluster is being deleted: %t", deleting)
			}
			if !test.foreign {
				stillServes(t, tcp)
				test.end(t, c, machine)
			}
			h.settle(t.Context(), t, isGone(t.Context(), key(tcp)))
			if told := strings.Join(h.told(), "\n"); test.told != "" && strings.Count(told, teapotv1.ReasonMachinesLeft) != 1 || !strings.Contains(told, test.told) {
				t.Errorf("want one event that says %q, told is: %s", test.told, told)
			}
		})
	}
}

// stillServes says that a control plane that is being deleted runs on, and says what it waits for.
func stillServes(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	deployment := &appsv1.Deployment{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}, deployment); err != nil || deployment.DeletionTimestamp != nil {
		t.Fatalf("the control plane's Deployment goes before its machines: %v", err)
	}
	if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	ready := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition)
	if ready.Status != metav1.ConditionFalse || ready.Reason != teapotv1.ReasonDeleting || !strings.Contains(ready.Message, "worker-0") {
		t.Errorf("Ready is %+v, want it to name the machine that is waited for", ready)
	}
	if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.AvailableCondition) {
		t.Errorf("it is not Available: %+v", tcp.Status.Conditions)
	}
}

// letGo removes what holds a Cluster, and the Cluster.
func letGo(t *testing.T, cluster *clusterv1.Cluster) {
	t.Helper()
	err := direct.Patch(contextOf(t), cluster, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	if err == nil {
		err = direct.Delete(contextOf(t), cluster)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}
