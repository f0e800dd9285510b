package inside

import (
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeadmv1beta4 "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/images"

	"github.com/teapot-cloud/teapot/konnectivity"
)

// Image is a container image that runs on a tenant's machines.
type Image struct {
	Addon     Addon
	Reference string
}

// Images lists the images of the add-ons for a Kubernetes version (with a leading v).
// The version of CoreDNS is that of the kubeadm that Teapot is built with.
func Images(version string) []Image {
	config := &kubeadm.ClusterConfiguration{
		KubernetesVersion: version,
		ImageRepository:   kubeadmv1beta4.DefaultImageRepository,
	}
	return []Image{
		{CoreDNS, images.GetDNSImage(config)},
		{KubeProxy, images.GetKubernetesImage(kubeadmconstants.KubeProxy, config)},
		{Konnectivity, konnectivity.AgentImage},
	}
}
