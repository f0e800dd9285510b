package tenantcontrolplane_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
)

// person is the field owner of whoever meddles.
const person = client.FieldOwner("kubectl-edit")

// readyOne makes a control plane that is Ready: with pods, volumes and a tenant's API server
// that are played.
func readyOne(t *testing.T, change func(*teapotv1.TenantControlPlane)) *teapotv1.TenantControlPlane {
	t.Helper()
	tcp := create(t, change)
	t.Cleanup(func() { stopTenant(key(tcp)) })
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
	if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// play plays the management cluster for a moment and looks whether the control plane is Ready.
func play(ctx context.Context, owner types.NamespacedName) error {
	_, podsErr := playPods(ctx, owner)
	_, servingErr := playTenant(ctx, owner)
	return errors.Join(podsErr, servingErr, isReady(ctx, owner)())
}

// ownedObjects finds everything that the manager made for a control plane, of every kind that
// the manager's cache is told of.
func ownedObjects(t *testing.T, owner types.NamespacedName) []client.Object {
	t.Helper()
	var owned []client.Object
	for kind, by := range controllers.CacheOptions().ByObject {
		if by.Label == nil {
			continue
		}
		gvk, err := apiutil.GVKForObject(kind, direct.Scheme())
		if err != nil {
			t.Fatal(err)
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := direct.List(t.Context(), list, client.MatchingLabels(controlplane.OwnerLabels(owner))); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) == 0 {
			t.Errorf("nothing of kind %s is owned: it is not tested", gvk.Kind)
		}
		for i := range list.Items {
			owned = append(owned, &list.Items[i])
		}
	}
	slices.SortFunc(owned, func(a, b client.Object) int { return strings.Compare(named(a), named(b)) })
	return owned
}

func named(object client.Object) string {
	return object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetNamespace() + "/" + object.GetName()
}

// additions are fields that somebody may add beside ours, by kind.
var additions = map[string]func(*unstructured.Unstructured) error{
	"Deployment":  hostNetwork,
	"StatefulSet": hostNetwork,
	"Service": func(u *unstructured.Unstructured) error {
		ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
		return unstructured.SetNestedSlice(u.Object, append(ports, map[string]any{"name": "another", "port": int64(9), "protocol": "TCP"}), "spec", "ports")
	},
	"NetworkPolicy": func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedSlice(u.Object, []any{map[string]any{"ports": []any{map[string]any{"port": int64(22), "protocol": "TCP"}}}}, "spec", "ingress")
	},
	"Secret": func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedField(u.Object, base64.StdEncoding.EncodeToString([]byte("x")), "data", "another")
	},
	"ServiceAccount": func(u *unstructured.Unstructured) error { // nothing else can be added to one
		u.Object["automountServiceAccountToken"] = true
		return nil
	},
	"PodDisruptionBudget": func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedField(u.Object, "AlwaysAllow", "spec", "unhealthyPodEvictionPolicy")
	},
	"Namespace": func(u *unstructured.Unstructured) error { // has labels and annotations only, which are free
		return unstructured.SetNestedField(u.Object, "privileged", "metadata", "labels", "pod-security.kubernetes.io/enforce")
	},
}

func hostNetwork(u *unstructured.Unstructured) error {
	return unstructured.SetNestedField(u.Object, true, "spec", "template", "spec", "hostNetwork")
}

// TestWhatSomebodyDoesToAnObjectOfOursIsUndone does to every object what a person could, and
// waits until it is as it was and an event says so.
func TestWhatSomebodyDoesToAnObjectOfOursIsUndone(t *testing.T) {
	tcp := readyOne(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Replicas = ptr.To[int32](2) })
	for _, object := range ownedObjects(t, key(tcp)) {
		if object.GetName() == controlplane.AuthoritiesName {
			continue // see the tests of keys
		}
		if object.GetObjectKind().GroupVersionKind().Kind == "Lease" {
			continue // what it records cannot be known again: see TestARecordThatIsLost
		}
		t.Run(named(object), func(t *testing.T) {
			u := object.(*unstructured.Unstructured)
			inTenants := u.GetNamespace() == tcp.Namespace
			t.Run("change every field", func(t *testing.T) {
				undone(t, tcp, u, func(live *unstructured.Unstructured) error { return scramble(t, live) })
			})
			if !inTenants { // there, what others add beside ours is theirs
				t.Run("add a field", func(t *testing.T) {
					add := additions[u.GetKind()]
					if add == nil {
						t.Fatalf("it is not said what somebody could add to a %s", u.GetKind())
					}
					undone(t, tcp, u, func(live *unstructured.Unstructured) error {
						return errors.Join(add(live), direct.Update(t.Context(), live, person))
					})
				})
			}
			t.Run("remove the label", func(t *testing.T) {
				undone(t, tcp, u, func(live *unstructured.Unstructured) error {
					labels := live.GetLabels()
					delete(labels, teapotv1.ManagedByLabel)
					live.SetLabels(labels)
					return direct.Update(t.Context(), live, person)
				})
			})
			if u.GetKind() != "Namespace" { // see TestANamespaceThatSomebodyDeletes
				t.Run("delete it", func(t *testing.T) {
					undone(t, tcp, u, func(live *unstructured.Unstructured) error { return direct.Delete(t.Context(), live) })
				})
			}
		})
	}
}

// undone meddles with an object and waits until it is as it was and an event tells of it.
// Nothing is written afterwards.
func undone(t *testing.T, tcp *teapotv1.TenantControlPlane, object *unstructured.Unstructured, meddle func(*unstructured.Unstructured) error) {
	t.Helper()
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
	read := func() (*unstructured.Unstructured, error) {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		return live, direct.Get(t.Context(), client.ObjectKeyFromObject(object), live)
	}
	before, err := read()
	if err != nil {
		t.Fatal(err)
	}
	events := repairs(t, tcp)
	if err := meddle(before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be as it was, with an event", func() error {
		if err := play(t.Context(), key(tcp)); err != nil {
			return err
		}
		live, err := read()
		if err != nil {
			return err
		}
		if difference := unlike(before, live); difference != "" {
			return errors.New(difference)
		}
		if now := repairs(t, tcp); maps.Equal(now, events) {
			return fmt.Errorf("no event tells of it: %v", now)
		}
		return nil
	})
	quiet(t, tcp)
}

// unlike compares what is asked for in two states of an object. Certificates may have been
// issued anew, and addresses of an object that was made anew are others.
func unlike(before, after *unstructured.Unstructured) string {
	asked := func(u *unstructured.Unstructured) map[string]any {
		u = u.DeepCopy()
		delete(u.Object, "status")
		u.SetResourceVersion("")
		u.SetUID("")
		u.SetGeneration(0)
		u.SetManagedFields(nil)
		u.SetCreationTimestamp(metav1.Time{})
		annotations := u.GetAnnotations()
		delete(annotations, teapotv1.AppliedHashAnnotation)
		u.SetAnnotations(annotations)
		unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "annotations")
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
		switch u.GetKind() {
		case "Service":
			unstructured.RemoveNestedField(u.Object, "spec", "clusterIP")
			unstructured.RemoveNestedField(u.Object, "spec", "clusterIPs")
		case "Secret":
			data, _, _ := unstructured.NestedStringMap(u.Object, "data")
			for name, value := range data {
				decoded, _ := base64.StdEncoding.DecodeString(value)
				data[name] = describe(&corev1.Secret{}, name, decoded)
			}
			_ = unstructured.SetNestedStringMap(u.Object, data, "data")
		case "Deployment": // etcd's address
			containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "initContainers")
			for _, c := range containers {
				command := c.(map[string]any)["command"].([]any)
				c.(map[string]any)["command"] = slices.DeleteFunc(command, func(arg any) bool { return strings.HasPrefix(fmt.Sprint(arg), "--etcd-servers=") })
			}
			_ = unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "initContainers")
		}
		return u.Object
	}
	return cmp.Diff(asked(before), asked(after))
}

// scramble changes every field of ours that the API server lets one change.
func scramble(t *testing.T, live *unstructured.Unstructured) error {
	changed := 0
	var walk func(value any, set func(any), path string)
	try := func(set func(any), old, other any) {
		set(other)
		if err := direct.Update(t.Context(), live.DeepCopy(), person, client.DryRunAll); err != nil {
			set(old)
			return
		}
		changed++
	}
	walk = func(value any, set func(any), path string) {
		switch typed := value.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(typed)) {
				walk(typed[name], func(v any) { typed[name] = v }, path+"."+name)
			}
		case []any:
			for i := range typed {
				walk(typed[i], func(v any) { typed[i] = v }, fmt.Sprintf("%s[%d]", path, i))
			}
			if len(typed) > 0 {
				try(set, typed, typed[:len(typed)-1])
			}
		case bool:
			try(set, typed, !typed)
		case int64:
			try(set, typed, typed+1)
		case string:
			if live.GetKind() == "Secret" && strings.HasPrefix(path, ".data") {
				try(set, typed, base64.StdEncoding.EncodeToString([]byte("x")))
			} else {
				try(set, typed, typed+"x")
			}
		}
	}
	for _, part := range []string{"spec", "data", "automountServiceAccountToken", "type"} {
		if value, ok := live.Object[part]; ok {
			walk(value, func(v any) { live.Object[part] = v }, "."+part)
		}
	}
	if live.GetKind() == "Namespace" { // has nothing but labels and annotations
		labels := live.GetLabels()
		labels["pod-security.kubernetes.io/warn"] = "privileged"
		live.SetLabels(labels)
		changed++
	}
	if changed == 0 {
		t.Errorf("nothing of %s can be changed", named(live))
	}
	return direct.Update(t.Context(), live, person)
}

// repairs are the events that tell of repairs, with how often each was seen.
func repairs(t *testing.T, tcp *teapotv1.TenantControlPlane) map[string]int32 {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := direct.List(t.Context(), list, client.InNamespace(tcp.Namespace)); err != nil {
		t.Fatal(err)
	}
	found := map[string]int32{}
	for _, event := range list.Items {
		if event.Reason == teapotv1.ReasonRepaired && event.Regarding.Name == tcp.Name {
			count := int32(1)
			if event.Series != nil {
				count = event.Series.Count
			}
			found[event.Name+": "+event.Note] = count
		}
	}
	return found
}

// quiet waits until the manager has looked at a control plane twice more without a write to it.
func quiet(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	eventually(t, "no more writes", func() error {
		before := len(writes.About(controlplane.Namespace(key(tcp)))) + len(writes.About(tcp.Namespace))
		for range 2 {
			lookAgain(t, tcp)
		}
		if after := writes.About(controlplane.Namespace(key(tcp))); len(after)+len(writes.About(tcp.Namespace)) != before {
			return fmt.Errorf("it wrote: %v", after[max(0, len(after)-5):])
		}
		return nil
	})
}

// lookAgain makes the manager look at a control plane, and waits until it has.
func lookAgain(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	before := reconciles(t)
	poke := []byte(fmt.Sprintf(`{"metadata":{"annotations":{"test.teapot.dev/poked":"%v"}}}`, before))
	if err := direct.Patch(t.Context(), tcp.DeepCopy(), client.RawPatch(types.MergePatchType, poke)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reconcile", func() error {
		if reconciles(t) == before {
			return errors.New("none yet")
		}
		return nil
	})
}

// reconciles is how many the package's manager has done.
func reconciles(t *testing.T) float64 {
	t.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() == "controller_runtime_reconcile_total" {
			for _, metric := range family.GetMetric() {
				total += metric.GetCounter().GetValue()
			}
		}
	}
	return total
}
