package tenantcontrolplane_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestAnOperationIsFinishedFirst: a control plane that is told to sleep while its pods are being replaced
// goes on running until they are, and says so.
func TestAnOperationIsFinishedFirst(t *testing.T) {
	tcp, h := rolling(t)
	deployment := deploymentOf(t, tcp)
	settled := deployment.Status
	for _, moment := range []struct {
		name   string
		status appsv1.DeploymentStatus
	}{
		{"the roll has not begun", settled},
		{"a new pod runs beside the old one", appsv1.DeploymentStatus{
			ObservedGeneration: deployment.Generation, Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 2, AvailableReplicas: 2,
		}},
	} {
		setStatus(t, tcp, moment.status)
		for range 3 {
			if _, err := h.once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
			t.Fatal(err)
		}
		is := tcp.Status.Hibernation
		if is == nil || is.Phase != teapotv1.HibernationAwake || is.Reason != "Operation" || !strings.Contains(is.Message, "its pods are being replaced") {
			t.Errorf("%s: hibernation is %+v", moment.name, is)
		}
		if replicas, members := sizes(t, tcp); replicas != 1 || members != 1 {
			t.Errorf("%s: %d control-plane pods and %d etcd members are wanted", moment.name, replicas, members)
		}
		if leaseOf(t, tcp).Asleep {
			t.Errorf("%s: the gateway is told that it sleeps", moment.name)
		}
	}
	if h.settle(t.Context(), t, isAsleep(t.Context(), key(tcp))) == nil { // which plays the roll to its end
		t.FailNow()
	}
	if replicas, members := sizes(t, tcp); replicas != 0 || members != 0 {
		t.Errorf("the roll is over, and %d control-plane pods and %d etcd members are wanted", replicas, members)
	}
}

// TestAnOperationThatFailedIsNotWaitedFor: a roll that never ends keeps nothing awake.
func TestAnOperationThatFailedIsNotWaitedFor(t *testing.T) {
	tcp, h := rolling(t)
	setStatus(t, tcp, appsv1.DeploymentStatus{
		ObservedGeneration: deploymentOf(t, tcp).Generation, Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
		}},
	})
	if _, err := h.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if replicas, _ := sizes(t, tcp); replicas != 0 {
		t.Errorf("%d control-plane pods are wanted", replicas)
	}
}

// rolling makes a control plane whose version was changed, of which no pod is replaced yet, and which is
// told to sleep then.
func rolling(t *testing.T) (*teapotv1.TenantControlPlane, *hand) {
	t.Helper()
	tcp := byHand(tenantNamespace(t))
	t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
	makeOne(t.Context(), t, tcp)
	h := newHand(t, key(tcp), clock.RealClock{}, "", 0)
	if h.settle(t.Context(), t, isReady(t.Context(), key(tcp))) == nil {
		t.FailNow()
	}
	patch(t.Context(), t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) { spec.Version = "v1.36.2" })
	eventually(t, "the roll", func() error {
		if _, err := h.once(t.Context()); err != nil {
			return err
		}
		if d := deploymentOf(t, tcp); d.Generation == d.Status.ObservedGeneration {
			return fmt.Errorf("the Deployment is as before: %+v", d.Status)
		}
		return nil
	})
	sleepNow(true)(t.Context(), t, tcp)
	return tcp, h
}

func deploymentOf(t *testing.T, tcp *teapotv1.TenantControlPlane) *appsv1.Deployment {
	t.Helper()
	deployment := &appsv1.Deployment{}
	name := types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}
	if err := direct.Get(t.Context(), name, deployment); err != nil {
		t.Fatal(err)
	}
	return deployment
}

// setStatus does what the controller of Deployments does.
func setStatus(t *testing.T, tcp *teapotv1.TenantControlPlane, status appsv1.DeploymentStatus) {
	t.Helper()
	deployment := deploymentOf(t, tcp)
	deployment.Status = status
	if err := direct.Status().Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
}
