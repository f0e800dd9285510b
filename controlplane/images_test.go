package controlplane

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/teapot-cloud/teapot/controlplane/inside"
)

// TestOnlyDocumentedImages keeps the promise that an operator who mirrors the images of
// docs/operations.md needs no other, and that a control plane starts without its registry.
func TestOnlyDocumentedImages(t *testing.T) {
	document, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1.36.3", "v1.35.4"} {
		in := testInput(func(in *Input) { in.Spec.Version = version })
		deployment, err := Deployment(in)
		if err != nil {
			t.Fatal(err)
		}
		statefulSet, err := StatefulSet(in)
		if err != nil {
			t.Fatal(err)
		}
		var images, policies []string
		for _, pod := range []corev1.PodSpec{deployment.Spec.Template.Spec, statefulSet.Spec.Template.Spec} {
			for _, c := range append(pod.InitContainers, pod.Containers...) {
				images, policies = append(images, c.Image), append(policies, string(c.ImagePullPolicy))
			}
		}
		objects, err := inside.Render(inside.Input{
			ClusterName: "prod", Version: version, ServiceCIDR: "10.96.0.0/16", PodCIDR: "10.244.0.0/16", DNSDomain: "cluster.local",
			EndpointHost: "192.0.2.10", EndpointPort: 30443, KonnectivityPort: 30132, CACert: []byte("CA"),
			CoreDNS: true, KubeProxy: true, Konnectivity: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			for _, c := range containers {
				fields := c.(map[string]any)
				images = append(images, fields["image"].(string))
				if policy, ok := fields["imagePullPolicy"].(string); ok {
					policies = append(policies, policy)
				}
			}
		}
		if len(images) < 8 {
			t.Errorf("%s: only %d containers were found", version, len(images))
		}
		for _, image := range images {
			if !strings.Contains(string(document), "`"+image+"`") {
				t.Errorf("%s: image %s is not in docs/operations.md", version, image)
			}
		}
		for _, policy := range policies {
			if policy != string(corev1.PullIfNotPresent) {
				t.Errorf("%s: a container has imagePullPolicy %s", version, policy)
			}
		}
	}
}
