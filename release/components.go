package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/internal/manifest"
)

const (
	chartPath = "charts/teapot"
	// namespace is where Teapot is installed. Admission policies of the chart name the manager by
	// it, so clusterctl's --target-namespace cannot be used.
	namespace = "teapot-system"
)

// render returns the chart's objects, as release teapot with its default values. The CRDs lose the
// annotation that keeps Helm from deleting them: clusterctl does not delete them unless it is told to.
func (r *release) render() ([]*unstructured.Unstructured, error) {
	args := []string{
		"template", "teapot", r.path(chartPath), "--namespace", namespace,
		"--set", "crds.keep=false", "--set-string", "image.tag=" + r.version,
		// The rules of the CRDs need functions that an older API server lacks; Helm alone would
		// assume the version that it was built for.
		"--kube-version", "v1.36.0",
	}
	if r.image != "" {
		args = append(args, "--set-string", "image.repository="+r.image,
			"--set-string", "gateway.image.repository="+path.Join(path.Dir(r.image), "teapot-gateway"))
	}
	command := exec.Command(r.helm, args...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	rendered, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w\n%s", chartPath, err, &complaint)
	}
	objects, err := manifest.Parse(rendered)
	if err != nil {
		return nil, fmt.Errorf("reading what Helm rendered of %s: %w", chartPath, err)
	}
	return objects, nil
}

// components returns the file with what is installed for a provider.
func components(rendered []*unstructured.Unstructured, p provider) ([]byte, error) {
	objects := []*unstructured.Unstructured{namespaceObject()}
	for _, each := range rendered {
		object := each.DeepCopy()
		notHelms(object)
		if object.GetKind() == "ClusterRoleBinding" {
			if err := keepSubjects(object); err != nil {
				return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
		objects = append(objects, object)
	}
	var file bytes.Buffer
	for i, object := range objects {
		setLabel(object, clusterv1.ProviderNameLabel, p.label())
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("writing %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if i > 0 {
			file.WriteString("---\n")
		}
		file.Write(text)
	}
	return file.Bytes(), nil
}

// namespaceObject is the namespace, which clusterctl takes for the one to install into.
func namespaceObject() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("v1")
	object.SetKind("Namespace")
	object.SetName(namespace)
	object.SetLabels(map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	return object
}

// notHelms removes the labels that say that Helm manages an object, from its pods, too.
func notHelms(object *unstructured.Unstructured) {
	for _, path := range [][]string{{"metadata", "labels"}, {"spec", "template", "metadata", "labels"}} {
		for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by"} {
			unstructured.RemoveNestedField(object.Object, append(path, label)...)
		}
	}
}

// keepSubjects names service accounts of other namespaces as users: clusterctl writes the target
// namespace into every subject that has a namespace (fixTargetNamespace in
// cmd/clusterctl/client/repository/components.go of Cluster API v1.14.2).
func keepSubjects(binding *unstructured.Unstructured) error {
	subjects, _, err := unstructured.NestedSlice(binding.Object, "subjects")
	if err != nil {
		return err
	}
	for i, each := range subjects {
		subject, _ := each.(map[string]any)
		if subject["kind"] != "ServiceAccount" || subject["namespace"] == namespace {
			continue
		}
		subjects[i] = map[string]any{
			"apiGroup": "rbac.authorization.k8s.io",
			"kind":     "User",
			"name":     fmt.Sprintf("system:serviceaccount:%v:%v", subject["namespace"], subject["name"]),
		}
	}
	return unstructured.SetNestedSlice(binding.Object, subjects, "subjects")
}

func setLabel(object *unstructured.Unstructured, name, value string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[name] = value
	object.SetLabels(labels)
}
