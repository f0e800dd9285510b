package tenantcontrolplane_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	tcp := readyOne(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](2) })
	quiet(t, tcp)
	told := repairs(t, tcp)
	own := controlplane.Namespace(key(tcp))
	added := map[string]string{"example.com/team": "x"}
	var changed []client.Object
	for _, object := range ownedObjects(t, key(tcp)) {
		u := object.(*unstructured.Unstructured)
		before := u.DeepCopy()
		u.SetLabels(merged(u.GetLabels(), added))
		u.SetAnnotations(merged(u.GetAnnotations(), added))
		if u.GetKind() == "Deployment" || u.GetKind() == "StatefulSet" { // kubectl rollout restart
			at := []string{"spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"}
			if err := unstructured.SetNestedField(u.Object, "2026-11-21T00:00:00Z", at...); err != nil {
				t.Fatal(err)
			}
		}
		if u.GetNamespace() == tcp.Namespace {
			if err := unstructured.SetNestedField(u.Object, "eA==", "data", "another"); err != nil {
				t.Fatal(err)
			}
		}
		if err := direct.Patch(t.Context(), u, client.MergeFrom(before), person); err != nil {
			t.Fatal(err)
		}
		changed = append(changed, u.DeepCopy())
	}
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) }) // the pods of a restart
	before := len(writes.About(own))
	lookAgain(t, tcp)
	lookAgain(t, tcp)
	for _, write := range writes.About(own)[before:] {
		t.Errorf("it wrote %s", write)
	}
	for _, object := range changed {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		if err := direct.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			t.Fatal(err)
		}
		if difference := unlike(object.(*unstructured.Unstructured), live); difference != "" || live.GetAnnotations()["example.com/team"] != "x" {
			t.Errorf("%s: somebody's own label, annotation or key is gone: %s", named(object), difference)
		}
	}
	if now := repairs(t, tcp); !maps.Equal(told, now) {
		t.Errorf("told of repairs where there were none: %v", now)
	}
}

// TestOwnersThatWereForgottenAreNotFought: a tool that restores objects, or resets who owns
// their fields, leaves defaults that somebody else owns. That is no change to undo.
func TestOwnersThatWereForgottenAreNotFought(t *testing.T) {
	tcp := readyOne(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](2) })
	quiet(t, tcp)
	told := repairs(t, tcp)
	objects := ownedObjects(t, key(tcp))
	for _, object := range objects {
		reset := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`))
		if err := direct.Patch(t.Context(), object.DeepCopyObject().(client.Object), reset, client.FieldOwner("velero")); err != nil {
			t.Fatal(err)
		}
		// The next to apply finds that all fields were another's before, and so does the manager.
		labelled := &unstructured.Unstructured{}
		labelled.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		labelled.SetNamespace(object.GetNamespace())
		labelled.SetName(object.GetName())
		labelled.SetAnnotations(map[string]string{"velero.io/restored": "yes"})
		if err := direct.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(labelled), client.FieldOwner("velero")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
	quiet(t, tcp)
	for _, object := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		if err := direct.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			t.Fatal(err)
		}
		if difference := unlike(object.(*unstructured.Unstructured), live); difference != "" {
			t.Errorf("%s: %s", named(object), difference)
		}
	}
	if now := repairs(t, tcp); !maps.Equal(told, now) {
		t.Errorf("told of repairs where there were none: %v", now)
	}
}

func merged(a, b map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// TestMachinesFindTheAPIWhereItWas: they know the node ports, which nobody asked for.
func TestMachinesFindTheAPIWhereItWas(t *testing.T) {
	for name, meddle := range map[string]func(*testing.T, *corev1.Service) error{
		"deleted": func(t *testing.T, service *corev1.Service) error { return direct.Delete(t.Context(), service) },
		"moved": func(t *testing.T, service *corev1.Service) error {
			service.Spec.Ports[0].NodePort, service.Spec.Ports[1].NodePort = service.Spec.Ports[1].NodePort, service.Spec.Ports[0].NodePort
			return direct.Update(t.Context(), service, person)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tcp := readyOne(t, nil)
			quiet(t, tcp)
			was := *tcp.Status.Endpoint
			service := &corev1.Service{}
			at := types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}
			if err := direct.Get(t.Context(), at, service); err != nil {
				t.Fatal(err)
			}
			version := service.ResourceVersion
			if err := meddle(t, service); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the ports to be as they were", func() error {
				if err := direct.Get(t.Context(), at, service); err != nil {
					return err
				}
				if ports := service.Spec.Ports; service.ResourceVersion == version || ports[0].NodePort != was.Port || ports[1].NodePort != was.KonnectivityPort {
					return fmt.Errorf("ports are %+v, want %+v", ports, was)
				}
				return nil
			})
			quiet(t, tcp)
		})
	}
}

func TestANamespaceThatSomebodyDeletes(t *testing.T) {
	tcp := readyOne(t, nil)
	told := repairs(t, tcp)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlplane.Namespace(key(tcp))}}
	if err := direct.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	message := condition(t, tcp, teapotv1.NamespaceReadyCondition, teapotv1.ReasonNamespaceTerminating)
	if !strings.Contains(message, namespace.Name) {
		t.Errorf("the message does not name it: %s", message)
	}
	if _, err := playNamespaces(t.Context(), key(tcp)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Ready again, with an event", func() error {
		if err := play(t.Context(), key(tcp)); err != nil {
			return err
		}
		if now := repairs(t, tcp); maps.Equal(told, now) {
			return fmt.Errorf("no event: %v", now)
		}
		return nil
	})
}
