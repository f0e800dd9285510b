package inside

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// example is a tenant with all add-ons and without machines.
func example() Input {
	return Input{
		ClusterName:      "acme",
		Version:          "v1.36.3",
		ServiceCIDR:      "10.96.0.0/16",
		PodCIDR:          "10.244.0.0/16",
		DNSDomain:        "cluster.local",
		EndpointHost:     "acme.example.com",
		EndpointAddress:  "192.0.2.10",
		EndpointPort:     30443,
		KonnectivityPort: 30132,
		CACert:           []byte("-----BEGIN CERTIFICATE-----\nYWNtZQ==\n-----END CERTIFICATE-----\n"),
		CoreDNS:          true,
		KubeProxy:        true,
		Konnectivity:     true,
	}
}

func TestRenderGolden(t *testing.T) {
	for _, tt := range []struct {
		file  string
		given func(*Input)
	}{
		{"v1.36.3", func(*Input) {}},
		{"v1.35.4", func(in *Input) { in.Version = "v1.35.4" }},
		{"machines", func(in *Input) { in.Machines = true }},
		{"bare", func(in *Input) { in.CoreDNS, in.KubeProxy, in.Konnectivity = false, false, false }},
		{"ipv6", func(in *Input) {
			in.ServiceCIDR, in.PodCIDR = "fd00:10:96::/112", "fd00:10:244::/56"
			in.EndpointHost, in.EndpointAddress = "2001:db8::10", ""
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			in := example()
			tt.given(&in)
			objects, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/"+tt.file+".yaml", manifest(t, objects))
		})
	}
}

func TestRenderKeepsItsPromises(t *testing.T) {
	in := example()
	in.Machines = true
	objects, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	if objects[0].GetName() != "kubeadm:cluster-admins" {
		t.Errorf("%s %s comes first; without the administrators' rights nothing else is of use", objects[0].GetKind(), objects[0].GetName())
	}
	position := -1
	for _, object := range objects {
		key := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		t.Run(key, func(t *testing.T) {
			if seen[key] {
				t.Error("appears twice")
			}
			seen[key] = true
			if object.GetAPIVersion() == "" || object.GetName() == "" {
				t.Error("has no API version or no name")
			}
			kind := slices.Index(applyOrder, object.GetKind())
			if kind < 0 {
				t.Errorf("kind %s has no place in the order of applying", object.GetKind())
			}
			if kind < position {
				t.Errorf("comes after %s", applyOrder[position])
			}
			if object.GetName() != objects[0].GetName() {
				position = kind
			}
			if namespace := object.GetNamespace(); !slices.Contains([]string{"", "default", "kube-public", "kube-system"}, namespace) {
				t.Errorf("is in namespace %s, which Teapot does not make", namespace)
			}
			text := string(manifest(t, []unstructured.Unstructured{object}))
			for _, unwanted := range []string{"creationTimestamp", "resourceVersion", "\nstatus:", "imagePullPolicy: Always"} {
				if strings.Contains(text, unwanted) {
					t.Errorf("contains %q", unwanted)
				}
			}
		})
	}
	again, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects, again); diff != "" {
		t.Errorf("a second rendering differs:\n%s", diff)
	}
}

func TestDeploymentsHaveReplicasOnlyWithMachines(t *testing.T) {
	for _, tt := range []struct {
		machines bool
		want     int64
	}{
		{machines: false, want: 0},
		{machines: true, want: 2},
	} {
		t.Run(fmt.Sprintf("machines %v", tt.machines), func(t *testing.T) {
			in := example()
			in.Machines = tt.machines
			objects, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range objects {
				if object.GetKind() != "Deployment" {
					continue
				}
				got, _, err := unstructured.NestedInt64(object.Object, "spec", "replicas")
				if err != nil || got != tt.want {
					t.Errorf("%s: got %d replicas (%v), want %d", object.GetName(), got, err, tt.want)
				}
			}
		})
	}
}

func TestMachinesComeByAddress(t *testing.T) {
	for _, tt := range []struct {
		name          string
		host, address string
		want          string
	}{
		{"host is a name", "acme.example.com", "192.0.2.10", "https://192.0.2.10:30443"},
		{"host is an address", "192.0.2.10", "", "https://192.0.2.10:30443"},
		{"IPv6", "2001:db8::10", "", "https://[2001:db8::10]:30443"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := example()
			in.EndpointHost, in.EndpointAddress = tt.host, tt.address
			objects, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			want := "server: " + tt.want + "\n"
			for _, text := range []string{
				dataOf(t, objects, "kube-public", "cluster-info", "kubeconfig"),
				dataOf(t, objects, "kube-system", "kube-proxy", "kubeconfig.conf"),
			} {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(*Input)
		want  string
	}{
		{"a label instead of a version", func(in *Input) { in.Version = "stable-1" }, "version"},
		{"a bad Service range", func(in *Input) { in.ServiceCIDR = "10.96.0.0" }, "serviceCIDR"},
		{"a bad pod range", func(in *Input) { in.PodCIDR = "" }, "podCIDR"},
		{"no address", func(in *Input) { in.EndpointAddress = "" }, "endpointAddress"},
		{"no port", func(in *Input) { in.EndpointPort = 0 }, "endpointPort"},
		{"no authority", func(in *Input) { in.CACert = nil }, "caCert"},
		{"konnectivity without its port", func(in *Input) { in.KonnectivityPort = 0 }, "add-on konnectivity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := example()
			tt.given(&in)
			_, err := Render(in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %q", err, tt.want)
			}
		})
	}
}

func TestUnwanted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(*Input)
		want  []string
	}{
		{"all add-ons are wanted", func(*Input) {}, nil},
		{"CoreDNS is off", func(in *Input) { in.CoreDNS = false }, []string{
			"Deployment kube-system/coredns", "Service kube-system/kube-dns", "ConfigMap kube-system/coredns",
			"ClusterRoleBinding /system:coredns", "ClusterRole /system:coredns", "ServiceAccount kube-system/coredns",
		}},
		{"kube-proxy is off", func(in *Input) { in.KubeProxy = false }, []string{
			"DaemonSet kube-system/kube-proxy", "ConfigMap kube-system/kube-proxy", "RoleBinding kube-system/kube-proxy",
			"Role kube-system/kube-proxy", "ClusterRoleBinding /kubeadm:node-proxier", "ServiceAccount kube-system/kube-proxy",
		}},
		{"konnectivity is off and has no port", func(in *Input) { in.Konnectivity, in.KonnectivityPort = false, 0 }, []string{
			"DaemonSet kube-system/konnectivity-agent", "ClusterRoleBinding /system:konnectivity-server",
			"ServiceAccount kube-system/konnectivity-agent",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := example()
			tt.given(&in)
			references, err := Unwanted(in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, reference := range references {
				got = append(got, fmt.Sprintf("%s %s", reference.Kind, reference.NamespacedName))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestImages holds the documented list against what is rendered.
func TestImages(t *testing.T) {
	for _, version := range []string{"v1.36.3", "v1.35.4"} {
		t.Run(version, func(t *testing.T) {
			in := example()
			in.Version = version
			objects, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			var rendered, listed []string
			for _, object := range objects {
				containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
				for _, container := range containers {
					rendered = append(rendered, container.(map[string]any)["image"].(string))
				}
			}
			for _, image := range Images(version) {
				listed = append(listed, image.Reference)
			}
			slices.Sort(rendered)
			slices.Sort(listed)
			if diff := cmp.Diff(listed, rendered); diff != "" {
				t.Errorf("(-listed +rendered):\n%s", diff)
			}
		})
	}
}

func dataOf(t *testing.T, objects []unstructured.Unstructured, namespace, name, key string) string {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == "ConfigMap" && object.GetNamespace() == namespace && object.GetName() == name {
			text, _, err := unstructured.NestedString(object.Object, "data", key)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
	t.Fatalf("there is no ConfigMap %s/%s", namespace, name)
	return ""
}

func BenchmarkRender(b *testing.B) {
	in := example()
	for b.Loop() {
		if _, err := Render(in); err != nil {
			b.Fatal(err)
		}
	}
}
