package inside

import (
	"fmt"

	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeadmscheme "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/scheme"
	kubeadmv1beta4 "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	"k8s.io/kubernetes/cmd/kubeadm/app/componentconfigs"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
)

// kubeadmConfig returns kubeadm's configuration of the cluster, with kubeadm's defaults.
//
// Only the static defaults and those of the components are applied. The dynamic ones
// (SetInitDynamicDefaults) look at the host that the program runs on, may ask the
// internet for a version, and compare it with the version stamped into the program;
// all that they would fill in is given here.
func kubeadmConfig(in Input) (*kubeadm.InitConfiguration, error) {
	versionedInit := &kubeadmv1beta4.InitConfiguration{
		LocalAPIEndpoint: kubeadmv1beta4.APIEndpoint{AdvertiseAddress: in.address(), BindPort: in.EndpointPort},
		NodeRegistration: kubeadmv1beta4.NodeRegistrationOptions{
			Name:      in.ClusterName,
			CRISocket: kubeadmconstants.DefaultCRISocket,
		},
	}
	versionedCluster := &kubeadmv1beta4.ClusterConfiguration{
		ClusterName:          in.ClusterName,
		KubernetesVersion:    in.Version,
		ControlPlaneEndpoint: joinHostPort(in.EndpointHost, in.EndpointPort),
		EncryptionAlgorithm:  kubeadmv1beta4.EncryptionAlgorithmECDSAP256,
		// What is switched off is not to be brought back by a `kubeadm upgrade`.
		DNS:   kubeadmv1beta4.DNS{Disabled: !in.CoreDNS},
		Proxy: kubeadmv1beta4.Proxy{Disabled: !in.KubeProxy},
		// The folder on machines: the kubelet's clientCAFile is made from it.
		CertificatesDir: kubeadmv1beta4.DefaultCertificatesDir,
		Networking: kubeadmv1beta4.Networking{
			ServiceSubnet: in.ServiceCIDR,
			PodSubnet:     in.PodCIDR,
			DNSDomain:     in.DNSDomain,
		},
	}
	config := &kubeadm.InitConfiguration{}
	kubeadmscheme.Scheme.Default(versionedInit)
	if err := kubeadmscheme.Scheme.Convert(versionedInit, config, nil); err != nil {
		return nil, fmt.Errorf("kubeadm's configuration: %w", err)
	}
	// kubeadm's defaults name a token that would be the same for every tenant.
	config.BootstrapTokens = nil
	kubeadmscheme.Scheme.Default(versionedCluster)
	if err := kubeadmscheme.Scheme.Convert(versionedCluster, &config.ClusterConfiguration, nil); err != nil {
		return nil, fmt.Errorf("kubeadm's configuration: %w", err)
	}
	componentconfigs.Default(&config.ClusterConfiguration, &config.LocalAPIEndpoint, &config.NodeRegistration)
	return config, nil
}
