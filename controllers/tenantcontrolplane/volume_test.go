package tenantcontrolplane_test

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestWithoutAVolumeNoAPIServerRuns: it would end and be started again for ever beside its neighbours,
// and stand in the longest back-off when the volume comes.
func TestWithoutAVolumeNoAPIServerRuns(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(time.Now())
	tcp := byHand(tenantNamespace(t))
	makeOne(t.Context(), t, tcp)
	owner := key(tcp)
	t.Cleanup(func() { sweep(context.Background(), t, owner) })
	h := newHand(t, owner, c, "", 0)
	// replicas reconciles and returns how many API servers are asked for.
	replicas := func() int32 {
		t.Helper()
		for range 2 {
			if _, err := h.once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		deployment := &appsv1.Deployment{}
		if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(owner), Name: controlplane.ControlPlaneName}, deployment); err != nil {
			t.Fatal(err)
		}
		return *deployment.Spec.Replicas
	}

	if got := replicas(); got != 1 {
		t.Fatalf("at its start %d API servers are asked for, want 1", got)
	}
	claim := &corev1.PersistentVolumeClaim{}
	claim.Namespace, claim.Name = controlplane.Namespace(owner), controlplane.EtcdVolume+"-etcd-0"
	claim.Spec = claimSpec()
	if err := direct.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	c.SetTime(c.Now().Add(30 * time.Second))
	if got := replicas(); got != 1 {
		t.Errorf("with a volume that may come any moment %d API servers are asked for, want 1", got)
	}
	c.SetTime(c.Now().Add(time.Minute))
	if got := replicas(); got != 0 {
		t.Errorf("without a volume %d API servers are asked for, want 0", got)
	}
	if err := direct.Get(t.Context(), owner, tcp); err != nil {
		t.Fatal(err)
	}
	said := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.APIServerReadyCondition)
	if said == nil || said.Reason != teapotv1.ReasonWaitingForStorage || !strings.Contains(said.Message, "volume") {
		t.Errorf("condition APIServerReady is %+v, want reason %s", said, teapotv1.ReasonWaitingForStorage)
	}
	if err := bind(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if got := replicas(); got != 1 {
		t.Errorf("once there is a volume %d API servers are asked for, want 1", got)
	}
}
