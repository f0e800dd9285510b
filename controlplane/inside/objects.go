package inside

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"sigs.k8s.io/yaml"
)

// applyOrder is the order of kinds in which objects can be applied: what others refer to
// comes first, what starts pods last.
var applyOrder = []string{
	"ServiceAccount",
	"ClusterRole", "ClusterRoleBinding",
	"Role", "RoleBinding",
	"ConfigMap",
	"Service", "Endpoints", "EndpointSlice",
	"Deployment", "DaemonSet",
}

// sortForApply sorts by kind, and within a kind by name. The binding that gives users their
// rights comes before everything: with it the API is of use.
func sortForApply(objects []unstructured.Unstructured) {
	slices.SortFunc(objects, func(a, b unstructured.Unstructured) int {
		return cmp.Or(
			-cmp.Compare(adminBinding(a), adminBinding(b)),
			cmp.Compare(slices.Index(applyOrder, a.GetKind()), slices.Index(applyOrder, b.GetKind())),
			cmp.Compare(a.GetNamespace(), b.GetNamespace()),
			cmp.Compare(a.GetName(), b.GetName()),
		)
	})
}

func adminBinding(object unstructured.Unstructured) int {
	if object.GetKind() == "ClusterRoleBinding" && object.GetName() == constants.ClusterAdminsGroupAndClusterRoleBinding {
		return 1
	}
	return 0
}

// fromManifest reads objects from YAML documents. kubeadm prints the separator right
// after a document, so a line that begins with it separates.
func fromManifest(manifest []byte) ([]unstructured.Unstructured, error) {
	var objects []unstructured.Unstructured
	for _, document := range bytes.Split(append([]byte("\n"), manifest...), []byte("\n---")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		var object unstructured.Unstructured
		// The line break that Split took away may belong to a text in the document.
		if err := yaml.UnmarshalStrict(append(slices.Clip(document), '\n'), &object.Object); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		normalize(&object)
		objects = append(objects, object)
	}
	return objects, nil
}

// fromObjects converts typed objects.
func fromObjects(objects ...runtime.Object) ([]unstructured.Unstructured, error) {
	converted := make([]unstructured.Unstructured, 0, len(objects))
	for _, object := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("convert %T: %w", object, err)
		}
		result := unstructured.Unstructured{Object: content}
		normalize(&result)
		converted = append(converted, result)
	}
	return converted, nil
}

// normalize removes what is not ours to own: what the API server writes, and the empty
// values that encoding a Go type leaves behind.
func normalize(object *unstructured.Unstructured) {
	unstructured.RemoveNestedField(object.Object, "status")
	// kubeadm gives CoreDNS's Service a resource version, for updates without a read.
	unstructured.RemoveNestedField(object.Object, "metadata", "resourceVersion")
	for _, metadata := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
		unstructured.RemoveNestedField(object.Object, append(metadata, "creationTimestamp")...)
	}
	if strategy, found, _ := unstructured.NestedMap(object.Object, "spec", "updateStrategy"); found && len(strategy) == 0 {
		unstructured.RemoveNestedField(object.Object, "spec", "updateStrategy")
	}
}
