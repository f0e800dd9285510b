package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// impatient has the example's MachineHealthCheck act in seconds, and for the only machine that
// there is.
const impatient = `{"spec":{
	"checks":{
		"unhealthyMachineConditions":[{"type":"InfrastructureReady","status":"False","timeoutSeconds":10}],
		"unhealthyNodeConditions":[{"type":"Ready","status":"Unknown","timeoutSeconds":10}]},
	"remediation":{"triggerIf":{"unhealthyLessThanOrEqualTo":"100%"}}}}`

// TestMachinesAreReplaced pulls the plug of a tenant's only machine for good. Cluster API removes
// it, and makes another once its host is given back, which takes that the host can be switched on
// and cleaned.
func TestMachinesAreReplaced(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skip("takes long: make test-long")
	}
	f := newFleet(t, fleetMachines...)
	x := f.newTenant(t, "ill", 1, f.names...)
	f.allow(t, x.namespace)
	check := &clusterv1.MachineHealthCheck{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: x.name + "-workers"}}
	if err := management.Patch(t.Context(), check, client.RawPatch("application/merge-patch+json", []byte(impatient))); err != nil {
		t.Fatal(err)
	}
	ill := x.machines(t, 1)[0]
	readyNode(t, x.user, ill.machine.Name)
	if err := f.room.Fail(t.Context(), ill.on, "no-power-on,lose-power"); err != nil {
		t.Fatal(err)
	}
	eventually(t, failureLimit, "Cluster API to remove the machine", func(ctx context.Context) error {
		now := &clusterv1.Machine{}
		err := management.Get(ctx, client.ObjectKeyFromObject(&ill.machine), now)
		if err == nil && now.DeletionTimestamp.IsZero() {
			err = fmt.Errorf("its conditions are %+v", now.Status.Conditions)
		}
		return client.IgnoreNotFound(err)
	})
	if err := f.room.Fail(t.Context(), ill.on, "none"); err != nil {
		t.Fatal(err)
	}
	eventually(t, failureLimit, "the machine to be gone", func(ctx context.Context) error { return goneAll(ctx, &ill.machine, &ill.host) })
	next := x.machines(t, 1)[0]
	readyNode(t, x.user, next.machine.Name)
	if next.host.Spec.ProviderID == ill.host.Spec.ProviderID {
		t.Errorf("both machines have the provider id %s", next.host.Spec.ProviderID)
	}
	if _, err := x.user.CoreV1().Nodes().Get(t.Context(), ill.machine.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Node of the machine that is gone is still there: %v", err)
	}
}
