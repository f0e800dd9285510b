package hostmachine_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestADeadTenantIsNotWaitedForToDrain: Cluster API deletes the HostMachine after the Node is
// drained, which a tenant's API that is dead or asleep cannot do. One that answers, or restarts,
// is waited for.
func TestADeadTenantIsNotWaitedForToDrain(t *testing.T) {
	for name, test := range map[string]struct {
		available metav1.ConditionStatus
		since     time.Duration
		gone      bool
		skipped   bool
	}{
		"it answers":      {metav1.ConditionTrue, time.Hour, false, false},
		"it restarts":     {metav1.ConditionFalse, 10 * time.Second, false, false},
		"it is dead":      {metav1.ConditionFalse, 3 * time.Minute, false, true},
		"there is none":   {gone: true, skipped: true},
		"it is not known": {metav1.ConditionUnknown, 10 * time.Second, false, false},
		"it is not seen":  {metav1.ConditionUnknown, 3 * time.Minute, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := byHand(t).begun(t)
			if !test.gone {
				tcp := &teapotv1.TenantControlPlane{
					ObjectMeta: metav1.ObjectMeta{Namespace: p.hm.Namespace, Name: "acme"},
					Spec:       teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"},
				}
				must(t, direct.Create(t.Context(), tcp))
				changeStatus(t, tcp, func() {
					meta.SetStatusCondition(&tcp.Status.Conditions, metav1.Condition{
						Type: teapotv1.AvailableCondition, Status: test.available, Reason: teapotv1.ReasonNotAnswering,
						LastTransitionTime: metav1.NewTime(time.Now().Add(-test.since)),
					})
				})
			}
			h := newHand(t, p, clock.RealClock{}, "", 0)
			h.settle(t)
			provision(t, p.claim(t))
			h.settle(t)
			p.join(t)
			h.settle(t)
			if p.skips(t) {
				t.Error("a Machine that is not being deleted is not to be drained")
			}

			change(t, p.machine, func() { p.machine.Finalizers = []string{"machine.cluster.x-k8s.io"} })
			t.Cleanup(func() {
				p.machine.Finalizers = nil
				if err := direct.Update(contextOf(t), p.machine); err != nil {
					t.Error(err)
				}
			})
			must(t, direct.Delete(t.Context(), p.machine))
			result := h.settle(t)
			if p.skips(t) != test.skipped {
				t.Errorf("annotations of the Machine are %v", p.machine.Annotations)
			}
			if !test.skipped && (result.RequeueAfter <= 0 || result.RequeueAfter > time.Minute) {
				t.Errorf("the tenant is looked at again after %s", result.RequeueAfter)
			}
		})
	}
}

// skips says whether Cluster API leaves the Node as it is.
// https://cluster-api.sigs.k8s.io/reference/api/labels-and-annotations
func (p *play) skips(t *testing.T) bool {
	t.Helper()
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.machine), p.machine))
	return metav1.HasAnnotation(p.machine.ObjectMeta, clusterv1.ExcludeNodeDrainingAnnotation) &&
		metav1.HasAnnotation(p.machine.ObjectMeta, clusterv1.ExcludeWaitForNodeVolumeDetachAnnotation)
}
