package apply

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func deployment(change func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "d", Labels: map[string]string{"a": "1"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Command: []string{"x", "y"}}},
			}},
		},
	}
	if change != nil {
		change(d)
	}
	return d
}

func TestWhatCountsAsDrift(t *testing.T) {
	tests := map[string]struct {
		live  func(*appsv1.Deployment)
		drift bool
	}{
		"nothing changed":              {live: nil},
		"the API server adds defaults": {live: func(d *appsv1.Deployment) { d.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyAlways }},
		"somebody adds a label":        {live: func(d *appsv1.Deployment) { d.Labels["b"] = "2" }},
		"status moves":                 {live: func(d *appsv1.Deployment) { d.Status.Replicas = 1 }},
		"somebody changes a label":     {live: func(d *appsv1.Deployment) { d.Labels["a"] = "2" }, drift: true},
		"somebody scales":              {live: func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](0) }, drift: true},
		"somebody adds a container": {live: func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "spy"})
		}, drift: true},
		"somebody changes an argument":  {live: func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Command[1] = "z" }, drift: true},
		"somebody removes all replicas": {live: func(d *appsv1.Deployment) { d.Spec.Replicas = nil }, drift: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want, err := toUnstructured(deployment(nil))
			if err != nil {
				t.Fatal(err)
			}
			have, err := toUnstructured(deployment(test.live))
			if err != nil {
				t.Fatal(err)
			}
			if drift := !isSubset(want.Object, have.Object); drift != test.drift {
				t.Errorf("drift = %v, want %v", drift, test.drift)
			}
		})
	}
}

func TestHashTellsWhenTheWantedStateChanges(t *testing.T) {
	hash := func(d *appsv1.Deployment) string {
		h, err := hashOf(d)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash(deployment(nil)) != hash(deployment(nil)) {
		t.Error("the same state has two hashes")
	}
	if hash(deployment(nil)) == hash(deployment(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Command = nil })) {
		t.Error("a field that is no longer named does not change the hash")
	}
}
