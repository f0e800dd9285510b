package floor

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/pki"
)

const version = "v1.36.3"

// floorPod reads the template as a pod; a misspelt field is an error.
func floorPod(t *testing.T) corev1.PodSpec {
	t.Helper()
	objects, err := render(partTimed, version)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != "Pod" {
			continue
		}
		pod := &corev1.Pod{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, pod, true); err != nil {
			t.Fatal(err)
		}
		return pod.Spec
	}
	t.Fatal("the template has no pod")
	return corev1.PodSpec{}
}

// teapotPods are the pods of a TenantControlPlane with nothing but defaults.
func teapotPods(t *testing.T) []corev1.PodSpec {
	t.Helper()
	now := time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	in := controlplane.Input{
		Owner:       types.NamespacedName{Namespace: "acme", Name: "floor"},
		ClusterName: "floor",
		Spec: teapotv1.TenantControlPlaneSpec{
			Version:   version,
			Endpoint:  teapotv1.EndpointSpec{Type: teapotv1.EndpointNodePort},
			Network:   teapotv1.NetworkSpec{ServiceCIDR: "10.96.0.0/16", PodCIDR: "10.244.0.0/16", DNSDomain: "cluster.local"},
			Datastore: teapotv1.DatastoreSpec{Etcd: teapotv1.EtcdSpec{Members: 1, StorageSize: resource.MustParse("8Gi")}},
		},
		Endpoint:     controlplane.Endpoint{Host: "192.0.2.10", Address: "192.0.2.10", Port: 30443, KonnectivityPort: 30132},
		EtcdClientIP: "198.51.100.7",
	}
	authorities, err := pki.NewAuthorities(now)
	if err != nil {
		t.Fatal(err)
	}
	if in.Credentials, _, err = controlplane.PlanCredentials(in, authorities, nil, now); err != nil {
		t.Fatal(err)
	}
	objects, err := controlplane.Workloads(in)
	if err != nil {
		t.Fatal(err)
	}
	var pods []corev1.PodSpec
	for _, object := range objects {
		switch typed := object.(type) {
		case *appsv1.Deployment:
			pods = append(pods, typed.Spec.Template.Spec)
		case *appsv1.StatefulSet:
			pods = append(pods, typed.Spec.Template.Spec)
		}
	}
	return pods
}

func containers(pods ...corev1.PodSpec) map[string]corev1.Container {
	found := map[string]corev1.Container{}
	for _, pod := range pods {
		for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
			found[container.Name] = container
		}
	}
	return found
}

// elsewhere are the flags whose values differ because the floor's etcd is in the same pod.
var elsewhere = []string{
	"--advertise-client-urls", "--etcd-servers", "--initial-advertise-peer-urls", "--initial-cluster",
	"--initial-cluster-token", "--listen-client-urls", "--listen-peer-urls", "--name",
}

func flags(command []string) []string {
	kept := slices.Clone(command)
	for i, flag := range kept {
		if name, _, _ := strings.Cut(flag, "="); slices.Contains(elsewhere, name) {
			kept[i] = name
		}
	}
	slices.Sort(kept)
	return kept
}

func TestFloorRunsWhatTeapotRuns(t *testing.T) {
	floor, teapot := containers(floorPod(t)), containers(teapotPods(t)...)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(teapot)), slices.Sorted(maps.Keys(floor))); diff != "" {
		t.Fatalf("containers (-teapot +floor):\n%s", diff)
	}
	type compared struct {
		Image    string
		Flags    []string
		Requests corev1.ResourceList
		Security *corev1.SecurityContext
		Pull     corev1.PullPolicy
	}
	of := func(c corev1.Container) compared {
		return compared{c.Image, flags(c.Command), c.Resources.Requests, c.SecurityContext, c.ImagePullPolicy}
	}
	for name := range teapot {
		if diff := cmp.Diff(of(teapot[name]), of(floor[name])); diff != "" {
			t.Errorf("%s (-teapot +floor): keep floor.yaml.tmpl and package controlplane alike:\n%s", name, diff)
		}
	}
}

func TestFloorHasTheSameRights(t *testing.T) {
	floor := floorPod(t)
	for _, pod := range teapotPods(t) {
		if diff := cmp.Diff(pod.SecurityContext, floor.SecurityContext); diff != "" {
			t.Errorf("pod of %s (-teapot +floor):\n%s", pod.ServiceAccountName, diff)
		}
	}
}

func TestEveryFileThatAFlagNamesIsMade(t *testing.T) {
	made, err := newKeys("floor-1", "192.0.2.10", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, container := range containers(floorPod(t)) {
		for _, flag := range container.Command {
			_, file, ok := strings.Cut(flag, "=/etc/kubernetes/pki/")
			if ok && len(made.secret[file]) == 0 {
				t.Errorf("%s: %s: the file is not in the Secret", name, flag)
			}
		}
	}
}
