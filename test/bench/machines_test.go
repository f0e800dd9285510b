package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The chain that is measured is the one that users are shown.
func TestMachinesAreTheExamples(t *testing.T) {
	tenant := &tenantWithMachines{bench: &bench{version: "v1.36.3"}, name: "tenant-7", image: "teapot-node-v1.36.3"}
	objects, err := tenant.manifests()
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("../../examples/machines.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]*unstructured.Unstructured{}
	for _, document := range strings.Split(string(examples), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		shown[object.GetKind()] = object
	}
	field := func(object *unstructured.Unstructured, path ...string) any {
		value, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	for _, object := range objects {
		kind := object.GetKind()
		if object.GetNamespace() != tenantsNamespace || object.GetName() != "tenant-7" {
			t.Errorf("%s is %s/%s", kind, object.GetNamespace(), object.GetName())
		}
		example := shown[kind]
		if example == nil || object.GetAPIVersion() != example.GetAPIVersion() {
			t.Errorf("%s of %s is not of the example", kind, object.GetAPIVersion())
			continue
		}
		switch kind {
		case "KubeadmConfigTemplate":
			if diff := cmp.Diff(field(example, "spec"), field(object, "spec")); diff != "" {
				t.Errorf("it joins otherwise than the example (-example +bench):\n%s", diff)
			}
		case "HostMachineTemplate":
			if url := field(object, "spec", "template", "spec", "image", "url"); url != "http://172.30.0.2:6385/images/teapot-node-v1.36.3" {
				t.Errorf("the image is %s", url)
			}
		case "MachineDeployment":
			if version := field(object, "spec", "template", "spec", "version"); version != "v1.36.3" {
				t.Errorf("the version is %s", version)
			}
		}
	}
}

// A pool's machines join as the single one does.
func TestPoolJoinsAsTheExamples(t *testing.T) {
	tenant := &tenantWithMachines{bench: &bench{version: "v1.36.3"}, name: "tenant-7", image: "teapot-node-v1.36.3"}
	objects, err := tenant.manifests()
	if err != nil {
		t.Fatal(err)
	}
	spec := tenant.pool().Spec
	for _, object := range objects {
		var want, got any
		switch object.GetKind() {
		case "KubeadmConfigTemplate":
			want, _, err = unstructured.NestedStringSlice(object.Object, "spec", "template", "spec", "joinConfiguration", "nodeRegistration", "ignorePreflightErrors")
			got = spec.Bootstrap.IgnorePreflightErrors
		case "HostMachineTemplate":
			want, _, err = unstructured.NestedString(object.Object, "spec", "template", "spec", "image", "url")
			got = spec.Image.URL
		case "MachineDeployment":
			want, _, err = unstructured.NestedString(object.Object, "spec", "template", "spec", "version")
			got = spec.Version
		default:
			continue
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-single +pool):\n%s", object.GetKind(), err, diff)
		}
	}
}

func TestIsReady(t *testing.T) {
	for _, tt := range []struct {
		name       string
		conditions []corev1.NodeCondition
		want       bool
	}{
		{"new", nil, false},
		{"ready", []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}, true},
		{"not ready", []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}, false},
		{"not heard of", []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}, false},
		{"other condition", []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := isReady(&corev1.Node{Status: corev1.NodeStatus{Conditions: tt.conditions}}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
