package inside

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// recordedRBAC holds the access rules that kubeadm's phases make. It is rewritten by
// `go test ./controlplane/inside -update`.
//
//go:embed rbac.yaml
var recordedRBAC []byte

// recordedObjects reads them once: it is most of the time of a rendering.
var recordedObjects = sync.OnceValues(func() ([]unstructured.Unstructured, error) { return fromManifest(recordedRBAC) })

// Render returns every object that is wanted inside the tenant's cluster, always in the
// same order, in which they can be applied. The namespaces default, kube-public and
// kube-system are kube-apiserver's.
func Render(in Input) ([]unstructured.Unstructured, error) {
	if err := in.validate(); err != nil {
		return nil, fmt.Errorf("render the inside of %s: %w", in.ClusterName, err)
	}
	objects, err := render(in)
	if err != nil {
		return nil, fmt.Errorf("render the inside of %s: %w", in.ClusterName, err)
	}
	sortForApply(objects)
	for i := range objects {
		// By which Teapot finds again what is its own.
		labels := objects[i].GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[teapotv1.ManagedByLabel] = teapotv1.ManagedByTeapot
		objects[i].SetLabels(labels)
	}
	return objects, nil
}

func render(in Input) ([]unstructured.Unstructured, error) {
	recorded, err := recordedObjects()
	if err != nil {
		return nil, err
	}
	objects := make([]unstructured.Unstructured, len(recorded))
	for i := range recorded {
		objects[i] = *recorded[i].DeepCopy()
	}
	config, err := kubeadmConfig(in)
	if err != nil {
		return nil, err
	}
	kubeadmConfigMap, err := kubeadmConfigMap(config)
	if err != nil {
		return nil, err
	}
	kubeletConfigMap, err := kubeletConfigMap(config)
	if err != nil {
		return nil, err
	}
	clusterInfo, err := clusterInfoConfigMap(in)
	if err != nil {
		return nil, err
	}
	own, err := fromObjects(append([]runtime.Object{kubeadmConfigMap, kubeletConfigMap, clusterInfo}, endpoints(in)...)...)
	if err != nil {
		return nil, err
	}
	objects = append(objects, own...)
	for _, addon := range addons(in) {
		if !addon.wanted {
			continue
		}
		more, err := addon.objects(in, config)
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// Reference names an object inside the tenant's cluster.
type Reference struct {
	schema.GroupVersionKind
	types.NamespacedName
}

// Unwanted returns the objects of the add-ons that are switched off, in the order in
// which they can be deleted: what runs pods first. A tenant may have, say, a kube-proxy
// of their own under the same name: only what Teapot's field manager has applied is
// Teapot's to delete.
func Unwanted(in Input) ([]Reference, error) {
	if err := in.validate(); err != nil {
		return nil, fmt.Errorf("list unwanted add-ons of %s: %w", in.ClusterName, err)
	}
	config, err := kubeadmConfig(in)
	if err != nil {
		return nil, err
	}
	// An add-on that is switched off may lack what only it needs; a name needs none of it.
	in.KonnectivityPort = max(in.KonnectivityPort, 1)
	var objects []unstructured.Unstructured
	for _, addon := range addons(in) {
		if addon.wanted {
			continue
		}
		more, err := addon.objects(in, config)
		if err != nil {
			return nil, fmt.Errorf("list unwanted add-ons of %s: %w", in.ClusterName, err)
		}
		objects = append(objects, more...)
	}
	sortForApply(objects)
	slices.Reverse(objects)
	references := make([]Reference, 0, len(objects))
	for _, object := range objects {
		references = append(references, Reference{
			GroupVersionKind: object.GroupVersionKind(),
			NamespacedName:   types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()},
		})
	}
	return references, nil
}
