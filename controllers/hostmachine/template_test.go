package hostmachine_test

import (
	"fmt"
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// newHost makes an available host. Its status is what inspection would have found.
func newHost(t *testing.T, namespace, name string, cpus, memoryMiB int, arch string) *metal3v1.BareMetalHost {
	t.Helper()
	host := &metal3v1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	must(t, direct.Create(t.Context(), host))
	host.Status.OperationalStatus = metal3v1.OperationalStatusOK
	host.Status.Provisioning.State = metal3v1.StateAvailable
	host.Status.HardwareDetails = &metal3v1.HardwareDetails{CPU: metal3v1.CPU{Arch: arch, Count: cpus}, RAMMebibytes: memoryMiB}
	must(t, direct.Status().Update(t.Context(), host))
	return host
}

// TestTemplateStatus is what an autoscaler reads: never more than each machine has.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine#inframachinetemplate-support-cluster-autoscaling-from-zero
func TestTemplateStatus(t *testing.T) {
	request := func(memory string) teapotv1.HostRequest {
		return teapotv1.HostRequest{Image: teapotv1.Image{URL: image, Checksum: checksum}, Hardware: teapotv1.HardwareRequirements{
			CPU:    teapotv1.CPURequirements{MinCount: 4},
			Memory: ptr.To(resource.MustParse(memory)),
			Disks:  teapotv1.DiskRequirements{MinSize: ptr.To(resource.MustParse("200G"))},
		}}
	}
	withoutDisks := func(r teapotv1.HostRequest) teapotv1.HostRequest {
		r.Hardware.Disks = teapotv1.DiskRequirements{}
		return r
	}
	for name, test := range map[string]struct {
		request teapotv1.HostRequest
		hosts   func(*testing.T, string)
		want    corev1.ResourceList
		arch    string
	}{
		"without a host it is what is asked for": {
			request: request("8Gi"), hosts: func(*testing.T, string) {},
			want: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "ephemeral-storage": resource.MustParse("200G")},
		},
		"the smallest host that suffices, taken or not": {
			request: withoutDisks(request("8Gi")),
			hosts: func(t *testing.T, namespace string) {
				newHost(t, namespace, "too-small", 2, 65536, "x86_64")
				newHost(t, namespace, "big", 64, 262144, "x86_64")
				small := newHost(t, namespace, "small", 8, 16384, "x86_64")
				change(t, small, func() {
					small.Spec.ConsumerRef = &corev1.ObjectReference{APIVersion: "teapot.dev/v1alpha1", Kind: "MachineClaim", Namespace: namespace, Name: "other"}
				})
			},
			want: corev1.ResourceList{"cpu": resource.MustParse("8"), "memory": resource.MustParse("16Gi")}, arch: "amd64",
		},
		"hosts of which each has less of something": {
			request: withoutDisks(request("8Gi")),
			hosts: func(t *testing.T, namespace string) {
				newHost(t, namespace, "few-cpus", 4, 65536, "x86_64")
				newHost(t, namespace, "little-memory", 32, 8192, "aarch64")
			},
			want: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi")},
		},
		"hosts of another namespace without a policy do not count": {
			request: withoutDisks(request("8Gi")),
			hosts:   func(t *testing.T, _ string) { newHost(t, newNamespace(t), "theirs", 64, 262144, "aarch64") },
			want:    corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			test.hosts(t, namespace)
			template := &teapotv1.HostMachineTemplate{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "workers"},
				Spec: teapotv1.HostMachineTemplateSpec{Template: teapotv1.HostMachineTemplateResource{
					Spec: teapotv1.HostMachineTemplateResourceSpec{HostRequest: test.request},
				}},
			}
			eventually(t, "the manager's cache to have the hosts", func() error { return cacheHas(t, namespace) })
			must(t, direct.Create(t.Context(), template))
			want := teapotv1.HostMachineTemplateStatus{Capacity: test.want, NodeInfo: teapotv1.NodeInfo{Architecture: test.arch, OperatingSystem: "linux"}}
			eventually(t, "its status", func() error {
				must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(template), template))
				if !apiequality.Semantic.DeepEqual(template.Status, want) {
					return fmt.Errorf("it is %+v, want %+v", template.Status, want)
				}
				return nil
			})
		})
	}
}

// cacheHas compares the manager's cache of hosts with what there is.
func cacheHas(t *testing.T, namespace string) error {
	t.Helper()
	have, want := &metal3v1.BareMetalHostList{}, &metal3v1.BareMetalHostList{}
	must(t, cached.List(t.Context(), have, client.InNamespace(namespace)))
	must(t, direct.List(t.Context(), want, client.InNamespace(namespace)))
	if len(have.Items) != len(want.Items) {
		return fmt.Errorf("it has %d of %d", len(have.Items), len(want.Items))
	}
	for i := range want.Items {
		if have.Items[i].ResourceVersion != want.Items[i].ResourceVersion {
			return fmt.Errorf("its %s is old", want.Items[i].Name)
		}
	}
	return nil
}
