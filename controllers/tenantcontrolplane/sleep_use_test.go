package tenantcontrolplane

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane/hibernation"
	"github.com/teapot-cloud/teapot/workers/pool/fit"
)

// TestMachinesThatMayCome: a pod that waits is work only for machines that may come. Those of a pool that
// is complete and that nobody sizes do not.
func TestMachinesThatMayCome(t *testing.T) {
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}
	shape := fit.Shape{
		Pool: "workers", Least: small,
		Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "arm64", "disk": "ssd"},
		Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
	}
	bounds := &teapotv1.PoolAutoscaling{MinReplicas: 0, MaxReplicas: 3}
	for name, c := range map[string]struct {
		change func(*teapotv1.WorkerPool)
		want   []fit.Shape
	}{
		"complete and fixed":          {change: func(*teapotv1.WorkerPool) {}},
		"complete, with bounds":       {change: func(p *teapotv1.WorkerPool) { p.Spec.Autoscaling = bounds }, want: []fit.Shape{shape}},
		"incomplete":                  {change: func(p *teapotv1.WorkerPool) { p.Status.AvailableReplicas = ptr.To[int32](1) }, want: []fit.Shape{shape}},
		"without any machine yet":     {change: func(p *teapotv1.WorkerPool) { p.Status.AvailableReplicas = nil }, want: []fit.Shape{shape}},
		"of another control plane":    {change: func(p *teapotv1.WorkerPool) { p.Spec.Autoscaling, p.Spec.ControlPlaneName = bounds, "other" }},
		"of another tenant":           {change: func(p *teapotv1.WorkerPool) { p.Spec.Autoscaling, p.Namespace = bounds, "other" }},
		"with bounds, and incomplete": {change: func(p *teapotv1.WorkerPool) { p.Spec.Autoscaling, p.Status.AvailableReplicas = bounds, nil }, want: []fit.Shape{shape}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := &teapotv1.WorkerPool{
				ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "workers"},
				Spec: teapotv1.WorkerPoolSpec{
					ControlPlaneName: "cp",
					Labels:           map[string]teapotv1.LabelValue{"disk": "ssd"},
					Taints:           []teapotv1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
				},
				Status: teapotv1.WorkerPoolStatus{DesiredReplicas: ptr.To[int32](2), AvailableReplicas: ptr.To[int32](2)},
			}
			c.change(pool)
			s := useScope(t, pool, &teapotv1.HostMachineTemplate{
				ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: "workers-1", Labels: map[string]string{teapotv1.PoolLabel: "workers"}},
				Status:     teapotv1.HostMachineTemplateStatus{Capacity: small, NodeInfo: teapotv1.NodeInfo{Architecture: "arm64"}},
			})
			if err := s.askUse(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !s.chores.Use {
				t.Error("the tenant's cluster is not asked whether it is used")
			}
			if difference := cmp.Diff(c.want, s.chores.Pools); difference != "" {
				t.Errorf("shapes (-want +got):\n%s", difference)
			}
		})
	}
}

// TestWhoIsNotAskedAboutUse: a cluster whose sleep does not depend on the answer is left alone.
func TestWhoIsNotAskedAboutUse(t *testing.T) {
	for name, change := range map[string]func(*scope){
		"without idleAfter":   func(s *scope) { s.tcp.Spec.Hibernation.IdleAfter = nil },
		"without hibernation": func(s *scope) { s.tcp.Spec.Hibernation = nil },
		"in use": func(s *scope) {
			s.sleep.lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
				teapotv1.GatewayActivityAnnotation + "gateway-0": `{"connections":1,"at":"` + s.now.Format(time.RFC3339) + `"}`,
			}}}
		},
		"asleep": func(s *scope) { s.sleep.decision.State = hibernation.Asleep },
	} {
		t.Run(name, func(t *testing.T) {
			s := useScope(t)
			change(s)
			if err := s.askUse(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !reflect.ValueOf(s.chores).IsZero() {
				t.Errorf("it is asked %+v", s.chores)
			}
		})
	}
}

// useScope is a reconcile of a control plane that sleeps when nobody uses it, beside objects.
func useScope(t *testing.T, objects ...client.Object) *scope {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := teapotv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		Clock:  clocktesting.NewFakePassiveClock(time.Now()),
	}
	return r.newScope(&teapotv1.TenantControlPlane{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "cp"},
		Spec:       teapotv1.TenantControlPlaneSpec{Hibernation: &teapotv1.HibernationSpec{IdleAfter: &metav1.Duration{Duration: time.Hour}}},
	})
}
