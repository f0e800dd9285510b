package apply

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

func owns(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, Subresource: subresource, APIVersion: "v1",
		FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(fields)},
	}
}

// ourPort is what Teapot owns of a Service.
var ourPort = owns(teapotv1.FieldManager, metav1.ManagedFieldsOperationApply, "",
	`{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:selector":{},"f:ports":{"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{}}}}}`)

func TestWhatOthersAdded(t *testing.T) {
	update, apply := metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	for name, test := range map[string]struct {
		given []metav1.ManagedFieldsEntry
		want  []string
	}{
		"nothing": {},
		"a label, an annotation, a finalizer": {given: []metav1.ManagedFieldsEntry{
			owns("kubectl", update, "", `{"f:metadata":{"f:labels":{"f:b":{}},"f:annotations":{".":{},"f:c":{}},"f:finalizers":{".":{},"v:\"x\"":{}}}}`),
		}},
		"kubectl rollout restart": {given: []metav1.ManagedFieldsEntry{
			owns("kubectl-rollout", update, "", `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`),
		}},
		"status": {given: []metav1.ManagedFieldsEntry{
			owns("cloud-controller-manager", update, "status", `{"f:status":{"f:loadBalancer":{"f:ingress":{}}}}`),
			owns("kube-controller-manager", update, "scale", `{"f:spec":{"f:replicas":{}}}`),
		}},
		"a field of ours that they own, too": {given: []metav1.ManagedFieldsEntry{
			owns("kubectl", update, "", `{"f:spec":{"f:selector":{}}}`),
		}},
		"the list that ours is in": {given: []metav1.ManagedFieldsEntry{
			owns("before-first-apply", update, "", `{"f:spec":{".":{},"f:ports":{".":{},"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{}}}}}`),
		}},
		"a field beside ours": {
			given: []metav1.ManagedFieldsEntry{owns("kubectl", update, "", `{"f:spec":{"f:externalName":{}}}`)},
			want:  []string{".spec.externalName"},
		},
		"an element beside ours": {
			given: []metav1.ManagedFieldsEntry{owns("kubectl", update, "", `{"f:spec":{"f:ports":{"k:{\"port\":22,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{}}}}}`)},
			want:  []string{`.spec.ports[port=22,protocol="TCP"].port`, `.spec.ports[port=22,protocol="TCP"].protocol`},
		},
		"one who both applies and updates": {
			given: []metav1.ManagedFieldsEntry{
				owns("argocd", apply, "", `{"f:spec":{"f:externalName":{}}}`),
				owns("argocd", update, "", `{"f:spec":{"f:sessionAffinity":{}}}`),
			},
			want: []string{".spec.externalName", ".spec.sessionAffinity"},
		},
		"what Teapot itself wrote otherwise": {given: []metav1.ManagedFieldsEntry{
			owns(teapotv1.FieldManager+"-endpoint", update, "", `{"f:spec":{"f:externalName":{}}}`),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, set := range foreignFields(append([]metav1.ManagedFieldsEntry{ourPort}, test.given...)) {
				for path := range set.All() {
					got = append(got, path.String())
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhatOthersAddedIsRemoved(t *testing.T) {
	object := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"externalName": "x",
			"strategy":     map[string]any{"rolling": map[string]any{"partition": int64(0)}},
			"ports": []any{
				map[string]any{"port": int64(443), "protocol": "TCP", "name": "https"},
				map[string]any{"port": int64(22), "protocol": "TCP", "nodePort": int64(30022)},
			},
			"externalIPs": []any{"192.0.2.1", "192.0.2.2"},
		}}}
	}
	for name, test := range map[string]struct {
		fields string
		check  func(spec map[string]any) bool
	}{
		"a field":                    {`{"f:spec":{"f:externalName":{}}}`, func(s map[string]any) bool { return s["externalName"] == nil && len(s["ports"].([]any)) == 2 }},
		"an element":                 {`{"f:spec":{"f:ports":{"k:{\"port\":22,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{},"f:port":{},"f:protocol":{}}}}}`, func(s map[string]any) bool { return len(s["ports"].([]any)) == 1 && s["externalName"] == "x" }},
		"a field of an element":      {`{"f:spec":{"f:ports":{"k:{\"port\":443,\"protocol\":\"TCP\"}":{"f:name":{}}}}}`, func(s map[string]any) bool { return len(s["ports"].([]any)[0].(map[string]any)) == 2 }},
		"an element by its value":    {`{"f:spec":{"f:externalIPs":{"v:\"192.0.2.1\"":{}}}}`, func(s map[string]any) bool { return slices.Equal(s["externalIPs"].([]any), []any{"192.0.2.2"}) }},
		"what is empty without it":   {`{"f:spec":{"f:strategy":{"f:rolling":{"f:partition":{}}}}}`, func(s map[string]any) bool { return s["strategy"] == nil }},
		"what is not there any more": {`{"f:spec":{"f:gone":{"f:gone":{}},"f:ports":{"k:{\"port\":1,\"protocol\":\"TCP\"}":{".":{}}}}}`, func(s map[string]any) bool { return len(s) == 4 && len(s["ports"].([]any)) == 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			u := object()
			for _, set := range foreignFields([]metav1.ManagedFieldsEntry{owns("kubectl", metav1.ManagedFieldsOperationUpdate, "", test.fields)}) {
				for path := range set.All() {
					removeField(u.Object, path)
				}
			}
			if spec := u.Object["spec"].(map[string]any); !test.check(spec) {
				t.Errorf("left is %v", spec)
			}
		})
	}
}

// TestWhoAddedSomethingIsForgotten, for what the API server puts back as a default.
func TestWhoAddedSomethingIsForgotten(t *testing.T) {
	entries := []metav1.ManagedFieldsEntry{
		ourPort,
		owns("velero", metav1.ManagedFieldsOperationUpdate, "", `{"f:metadata":{"f:labels":{"f:b":{}}},"f:spec":{"f:sessionAffinity":{}}}`),
		owns("kubectl", metav1.ManagedFieldsOperationUpdate, "", `{"f:spec":{"f:type":{}}}`),
		owns("velero", metav1.ManagedFieldsOperationUpdate, "status", `{"f:status":{}}`),
	}
	remaining, err := disown(entries, foreignFields(entries))
	if err != nil {
		t.Fatal(err)
	}
	if left := foreignFields(remaining); len(left) > 0 {
		t.Errorf("they still own %v", left)
	}
	var managers []string
	for _, entry := range remaining {
		managers = append(managers, entry.Manager+entry.Subresource)
	}
	if want := []string{teapotv1.FieldManager, "velero", "velerostatus"}; !slices.Equal(managers, want) {
		t.Errorf("left are the entries of %q, want %q", managers, want)
	}
}

func TestTheCacheKeepsOnlyWhoAddedSomething(t *testing.T) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		ourPort, owns("kubectl", metav1.ManagedFieldsOperationUpdate, "", `{"f:spec":{"f:externalName":{}}}`),
		owns("kubelet", metav1.ManagedFieldsOperationUpdate, "status", `{"f:status":{}}`),
	}}}
	if _, err := Transform(service); err != nil {
		t.Fatal(err)
	}
	if left := service.ManagedFields; len(left) != 1 || left[0].Manager != "kubectl" || left[0].FieldsV1 != nil || !hasForeignFields(service) {
		t.Errorf("kept is %+v", left)
	}
	if _, err := Transform("a tombstone"); err != nil {
		t.Error(err)
	}
}
