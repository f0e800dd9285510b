package inside

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeadmv1beta4 "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	"k8s.io/kubernetes/cmd/kubeadm/app/componentconfigs"
	kubeadmconstants "k8s.io/kubernetes/cmd/kubeadm/app/constants"
	kubeadmconfigutil "k8s.io/kubernetes/cmd/kubeadm/app/util/config"
)

// The three ConfigMaps that a machine reads when it joins. kubeadm's phases that upload
// them print to standard output, which is no place for a controller; so they are made
// with the encoders that these phases use, and a test compares the results.

// kubeadmConfigMap returns kubeadm-config, as kubeadm's phase upload-config makes it.
func kubeadmConfigMap(config *kubeadm.InitConfiguration) (*corev1.ConfigMap, error) {
	cluster := config.ClusterConfiguration.DeepCopy()
	// The components' configurations have ConfigMaps of their own.
	cluster.ComponentConfigs = kubeadm.ComponentConfigMap{}
	encoded, err := kubeadmconfigutil.MarshalKubeadmConfigObject(cluster, kubeadmv1beta4.SchemeGroupVersion)
	if err != nil {
		return nil, fmt.Errorf("encode kubeadm's configuration: %w", err)
	}
	return configMap(metav1.NamespaceSystem, kubeadmconstants.KubeadmConfigConfigMap,
		kubeadmconstants.ClusterConfigurationConfigMapKey, encoded), nil
}

// kubeletConfigMap returns kubelet-config, as kubeadm's phase upload-config makes it.
func kubeletConfigMap(config *kubeadm.InitConfiguration) (*corev1.ConfigMap, error) {
	encoded, err := config.ComponentConfigs[componentconfigs.KubeletGroup].Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode the kubelet's configuration: %w", err)
	}
	object := configMap(metav1.NamespaceSystem, kubeadmconstants.KubeletBaseConfigurationConfigMap,
		kubeadmconstants.KubeletBaseConfigurationConfigMapKey, encoded)
	// The signature tells kubeadm that it may replace the configuration at an upgrade.
	componentconfigs.SignConfigMap(object)
	return object, nil
}

// clusterInfoConfigMap returns cluster-info, as kubeadm's phase bootstrap-token makes it:
// a kubeconfig without a user, by which a machine that holds a token finds the cluster.
// kube-controller-manager's bootstrap signer adds signatures to it.
func clusterInfoConfigMap(in Input) (*corev1.ConfigMap, error) {
	encoded, err := clientcmd.Write(clientcmdapi.Config{Clusters: map[string]*clientcmdapi.Cluster{
		"": {Server: in.machinesServer(), CertificateAuthorityData: in.CACert},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode cluster-info: %w", err)
	}
	return configMap(metav1.NamespacePublic, bootstrapapi.ConfigMapClusterInfo, bootstrapapi.KubeConfigKey, encoded), nil
}

func configMap(namespace, name, key string, value []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{key: string(value)},
	}
}
