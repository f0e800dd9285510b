package controllers

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// TestShare puts Deployments into the cache's transform: they stay as they were made, and what they have
// in common is the same memory.
func TestShare(t *testing.T) {
	made := func(tenant string, containers int) *appsv1.Deployment {
		d := &appsv1.Deployment{}
		d.Name, d.Namespace = "control-plane", tenant
		d.Spec.Template.Labels = map[string]string{"app": "control-plane"}
		d.Spec.Template.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr.To(int64(65532))}
		for i := range containers {
			d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{
				Name: fmt.Sprint("container-", i), Args: []string{fmt.Sprint("--secure-", "port=6443"), "--advertise=" + tenant},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m")}},
			})
		}
		return d
	}
	var kept []*appsv1.Deployment
	for i, containers := range []int{2, 3, 1, 2} {
		tenant := fmt.Sprint("tenant-", i)
		object := made(tenant, containers)
		out, err := transform(object)
		if err != nil {
			t.Fatal(err)
		}
		if want := made(tenant, containers); !reflect.DeepEqual(out, want) {
			t.Errorf("it became %v, want %v", out, want)
		}
		kept = append(kept, out.(*appsv1.Deployment))
	}
	for i, later := range kept[1:] {
		was, is := kept[i].Spec.Template.Spec, later.Spec.Template.Spec
		if was.SecurityContext != is.SecurityContext {
			t.Error("the security context is there twice")
		}
		if unsafe.StringData(was.Containers[0].Args[0]) != unsafe.StringData(is.Containers[0].Args[0]) {
			t.Error("an equal argument is there twice")
		}
		if &was.Containers[0].Args[1] == &is.Containers[0].Args[1] {
			t.Error("arguments that differ are the same memory")
		}
	}
}
