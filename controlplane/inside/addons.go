package inside

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/proxy"

	"github.com/teapot-cloud/teapot/konnectivity"
)

// Addon is what can be switched on and off inside a tenant's cluster.
type Addon string

// The add-ons.
const (
	CoreDNS      Addon = "coreDNS"
	KubeProxy    Addon = "kubeProxy"
	Konnectivity Addon = "konnectivity"
)

// coreDNSReplicas is kubeadm's number of replicas.
const coreDNSReplicas = 2

// addons lists what can be installed, with the function that renders it and whether it
// is wanted.
func addons(in Input) []addon {
	return []addon{
		{CoreDNS, in.CoreDNS, coreDNS},
		{KubeProxy, in.KubeProxy, kubeProxy},
		{Konnectivity, in.Konnectivity, konnectivityAgent},
	}
}

type addon struct {
	name   Addon
	wanted bool
	render func(Input, *kubeadm.InitConfiguration) ([]unstructured.Unstructured, error)
}

func (a addon) objects(in Input, config *kubeadm.InitConfiguration) ([]unstructured.Unstructured, error) {
	objects, err := a.render(in, config)
	if err != nil {
		return nil, fmt.Errorf("add-on %s: %w", a.name, err)
	}
	return objects, nil
}

// coreDNS returns what kubeadm's phase addon/coredns prints. Without machines its
// Deployment has no replicas.
func coreDNS(in Input, config *kubeadm.InitConfiguration) ([]unstructured.Unstructured, error) {
	var printed bytes.Buffer
	if err := dns.EnsureDNSAddon(&config.ClusterConfiguration, nil, "", &printed, true); err != nil {
		return nil, err
	}
	objects, err := fromManifest(printed.Bytes())
	if err != nil {
		return nil, err
	}
	var replicas int64
	if in.Machines {
		replicas = coreDNSReplicas
	}
	for i := range objects {
		if objects[i].GetKind() != "Deployment" {
			continue
		}
		if err := unstructured.SetNestedField(objects[i].Object, replicas, "spec", "replicas"); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// kubeProxy returns what kubeadm's phase addon/kube-proxy prints, with the address by
// which machines reach the API.
func kubeProxy(in Input, config *kubeadm.InitConfiguration) ([]unstructured.Unstructured, error) {
	cluster := config.ClusterConfiguration.DeepCopy()
	cluster.ControlPlaneEndpoint = in.machinesEndpoint()
	var printed bytes.Buffer
	if err := proxy.EnsureProxyAddon(cluster, &config.LocalAPIEndpoint, nil, &printed, true); err != nil {
		return nil, err
	}
	return fromManifest(printed.Bytes())
}

// konnectivityAgent returns the agents, which come by the same address as the kubelets.
func konnectivityAgent(in Input, _ *kubeadm.InitConfiguration) ([]unstructured.Unstructured, error) {
	objects, err := konnectivity.Agent{Host: in.address(), Port: in.KonnectivityPort}.Objects()
	if err != nil {
		return nil, err
	}
	return fromObjects(objects...)
}
