package controlplane

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/kubernetes/cmd/kubeadm/app/constants"

	"github.com/teapot-cloud/teapot/konnectivity"
)

// Images are the images of one control plane. All are upstream's own; docs/operations.md
// lists them, so that an operator can mirror them.
type Images struct {
	APIServer, ControllerManager, Scheduler, Etcd, KonnectivityServer string
}

// ImagesFor returns the images for a Kubernetes version ("v1.36.3"). The tag of etcd is
// the one that kubeadm pairs with that minor version.
func ImagesFor(repository, kubernetesVersion string) (Images, error) {
	parsed, err := version.ParseSemantic(kubernetesVersion)
	if err != nil {
		return Images{}, fmt.Errorf("spec.version %q: %w", kubernetesVersion, err)
	}
	etcd, ok := constants.SupportedEtcdVersion[uint8(parsed.Minor())]
	if parsed.Major() != 1 || !ok {
		return Images{}, fmt.Errorf("spec.version %s: no etcd version is known for it; ask for a version that this Teapot supports", kubernetesVersion)
	}
	if repository == "" {
		repository = DefaultImageRepository
	}
	kube := func(name string) string { return repository + "/" + name + ":" + kubernetesVersion }
	return Images{
		APIServer:          kube(constants.KubeAPIServer),
		ControllerManager:  kube(constants.KubeControllerManager),
		Scheduler:          kube(constants.KubeScheduler),
		Etcd:               repository + "/etcd:" + etcd,
		KonnectivityServer: strings.Replace(konnectivity.ServerImage, DefaultImageRepository, repository, 1),
	}, nil
}
