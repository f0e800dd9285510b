package imageset

import (
	"context"
	"path/filepath"

	"github.com/teapot-cloud/teapot/images/oci"
)

// ClusterAPIImage returns the image of one of Cluster API's managers, such as
// cluster-api-controller, at a version with the leading v.
func ClusterAPIImage(name, version string) string {
	return registry + "cluster-api/" + name + ":" + version
}

// BaremetalOperatorImage returns the image of a version of the baremetal-operator, with
// the leading v.
func BaremetalOperatorImage(version string) string {
	return "quay.io/metal3-io/baremetal-operator:" + version
}

// MachineSources says where the binaries of what manages machines are.
type MachineSources struct {
	ClusterAPIVersion, BaremetalOperatorVersion string
	// Directories with binaries.
	ClusterAPI, BaremetalOperator string
}

// EnsureMachines returns the archives of what manages machines, making those that are
// not in the cache directory.
func EnsureMachines(ctx context.Context, cache string, s MachineSources) ([]Archive, error) {
	return ensureAll(ctx, cache, defineMachines(s))
}

// defineMachines lists the images, after the Dockerfiles of both projects.
func defineMachines(s MachineSources) []image {
	clusterAPI := func(name string) image {
		return image{ClusterAPIImage(name, s.ClusterAPIVersion), oci.Spec{
			Files:  append(base(), oci.File{Path: "/manager", HostPath: filepath.Join(s.ClusterAPI, name)}),
			Config: oci.Config{User: "65532", Entrypoint: []string{"/manager"}},
		}}
	}
	return []image{
		clusterAPI("cluster-api-controller"),
		clusterAPI("kubeadm-bootstrap-controller"),
		{BaremetalOperatorImage(s.BaremetalOperatorVersion), oci.Spec{
			Files: append(base(), oci.File{
				Path: "/baremetal-operator", HostPath: filepath.Join(s.BaremetalOperator, "baremetal-operator"),
			}),
			Config: oci.Config{User: "nonroot:nonroot", Entrypoint: []string{"/baremetal-operator"}},
		}},
	}
}
