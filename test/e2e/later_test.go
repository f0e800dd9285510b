package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/storage"
)

// TestWhatOnlyShowsLater asks for what no schema can refuse and the management cluster has not.
// A condition and a warning must say in words what is missing and what to do. Then it is put
// right, where a spec or the cluster can be, and the control plane comes up.
func TestWhatOnlyShowsLater(t *testing.T) {
	before, err := snapshot(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	namespace := tenantNamespace(t)
	t.Run("cases", func(t *testing.T) {
		t.Run("runtime-handler", func(t *testing.T) { t.Parallel(); notBegun(t, namespace) })
		for name, test := range map[string]struct {
			ask       func(*teapotv1.TenantControlPlane)
			condition string
			reason    string
			words     []string
			// waiting says that it is a problem only if it lasts.
			waiting bool
			// correct puts it right; nil if the control plane can only be deleted.
			correct func(*testing.T, *teapotv1.TenantControlPlane)
		}{
			"runtime-class": {
				ask:       func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.RuntimeClassName = ptr.To("no-such-runtime") },
				condition: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound,
				words: []string{"spec.runtimeClassName", `RuntimeClass "no-such-runtime"`, "name another"},
				correct: func(t *testing.T, tcp *teapotv1.TenantControlPlane) {
					edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.RuntimeClassName = nil })
				},
			},
			"priority-class": {
				ask:       func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Scheduling.PriorityClassName = "e2e-made-later" },
				condition: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound,
				words: []string{"spec.scheduling.priorityClassName", `PriorityClass "e2e-made-later"`, "have it made"},
				correct: func(t *testing.T, _ *teapotv1.TenantControlPlane) {
					made(t, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-made-later"}, Value: 1})
				},
			},
			"storage-class": {
				ask: func(tcp *teapotv1.TenantControlPlane) {
					tcp.Spec.Datastore.Etcd.StorageClassName = ptr.To("e2e-made-later")
				},
				condition: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonClassNotFound,
				words: []string{"spec.datastore.etcd.storageClassName", `StorageClass "e2e-made-later"`, "have it made"},
				correct: func(t *testing.T, tcp *teapotv1.TenantControlPlane) {
					noAPIServer(t, tcp)
					made(t, &storagev1.StorageClass{
						ObjectMeta:        metav1.ObjectMeta{Name: "e2e-made-later"},
						Provisioner:       storage.ProvisionerName,
						VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
					})
				},
			},
			"image-repository": {
				ask:       func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.ImageRepository = "127.0.0.1:9/none" },
				condition: teapotv1.DatastoreReadyCondition, reason: teapotv1.ReasonPodsFailing,
				words: []string{"127.0.0.1:9/none/etcd"},
				correct: func(t *testing.T, tcp *teapotv1.TenantControlPlane) {
					edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.ImageRepository = "" })
				},
			},
			"load-balancer": {
				ask:       func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer },
				condition: teapotv1.EndpointReadyCondition, reason: teapotv1.ReasonWaitingForLoadBalancer,
				words:   []string{"no load balancer", "spec.endpoint.type NodePort"},
				waiting: true,
				correct: func(t *testing.T, tcp *teapotv1.TenantControlPlane) {
					balance(t, tcp, corev1.LoadBalancerIPModeVIP) // which kube-proxy leads to the pods
				},
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				tcp := newControlPlane(t, namespace, name, test.ask)
				says(t, tcp, test.condition, metav1.ConditionFalse, test.reason, readyWithin, test.words...)
				if test.waiting {
					age(t, tcp, test.condition)
				}
				tells(t, tcp, test.reason, readyWithin, test.words...)
				if test.correct != nil {
					test.correct(t, tcp)
					becomes(t, tcp, metav1.ConditionTrue, readyWithin)
				}
				if err := management.Delete(t.Context(), tcp); err != nil {
					t.Fatal(err)
				}
				gone(t, tcp, deletedWithin)
			})
		}
	})
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, deletedWithin, "nothing to be left", func(ctx context.Context) error { return nothingLeft(ctx, t, before) })
}

// age makes a condition one that holds for an hour, so that nobody has to wait for as long.
func age(t *testing.T, tcp *teapotv1.TenantControlPlane, kind string) {
	t.Helper()
	patch := client.MergeFrom(tcp.DeepCopy())
	meta.FindStatusCondition(tcp.Status.Conditions, kind).LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Hour))
	if err := management.Status().Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
}

// noAPIServer waits until a control plane without a volume runs none.
func noAPIServer(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	eventually(t, readyWithin, "the API server to be stopped", func(ctx context.Context) error {
		pods := &corev1.PodList{}
		err := management.List(ctx, pods, client.InNamespace(controlplane.Namespace(client.ObjectKeyFromObject(tcp))),
			client.MatchingLabels{teapotv1.ComponentLabel: controlplane.ControlPlaneName})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("pod %s is %s", pods.Items[0].Name, pods.Items[0].Status.Phase)
		}
		return err
	})
}

// notBegun asks for a RuntimeClass that exists and whose handler the node has not: pods are taken
// by the node and never begun. The manager nudges them, in vain.
func notBegun(t *testing.T, namespace string) {
	made(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-no-handler"}, Handler: "e2e-no-handler"})
	tcp := newControlPlane(t, namespace, "runtime-handler", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.RuntimeClassName = ptr.To("e2e-no-handler")
	})
	says(t, tcp, teapotv1.DatastoreReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForPods, readyWithin, "has not begun it", "kubectl describe pod")
	for _, pod := range pods(t, tcp, controlplane.EtcdName) {
		if pod.Annotations[teapotv1.NudgedAnnotation] == "" {
			t.Errorf("pod %s was not nudged: annotations %v", pod.Name, pod.Annotations)
		}
	}
	age(t, tcp, teapotv1.DatastoreReadyCondition)
	tells(t, tcp, teapotv1.ReasonWaitingForPods, 30*time.Second, "longer than", "has not begun it")
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.RuntimeClassName = nil })
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	if err := management.Delete(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	gone(t, tcp, deletedWithin)
}

// made makes an object of the management cluster and removes it with the test.
func made(t *testing.T, object client.Object) {
	t.Helper()
	if err := management.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := management.Delete(context.Background(), object); err != nil {
			t.Error(fmt.Errorf("removing what the test made: %w", err))
		}
	})
}
