package pool

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// The machine's own name and id are in the meta data that it is given (workers/bootstrap). cloud-init
// fills them in: Cluster API writes user data as a Jinja template.
const (
	nodeName   = "{{ ds.meta_data.local_hostname }}"
	providerID = "{{ ds.meta_data.provider_id }}"
)

// kubeadmConfig is how a machine of the pool joins.
func kubeadmConfig(spec teapotv1.WorkerPoolSpec) bootstrapv1.KubeadmConfigSpec {
	node := bootstrapv1.NodeRegistrationOptions{
		Name:                  nodeName,
		KubeletExtraArgs:      []bootstrapv1.Arg{{Name: "provider-id", Value: ptr.To(providerID)}},
		IgnorePreflightErrors: spec.Bootstrap.IgnorePreflightErrors,
	}
	if labels := kubeletLabels(spec.Labels); labels != "" {
		node.KubeletExtraArgs = append(node.KubeletExtraArgs, bootstrapv1.Arg{Name: "node-labels", Value: &labels})
	}
	if len(spec.Taints) > 0 {
		taints := make([]corev1.Taint, len(spec.Taints))
		for i, taint := range spec.Taints {
			taints[i] = corev1.Taint{Key: taint.Key, Value: string(taint.Value), Effect: taint.Effect}
		}
		node.Taints = &taints
	}
	config := bootstrapv1.KubeadmConfigSpec{
		JoinConfiguration:   bootstrapv1.JoinConfiguration{NodeRegistration: node},
		PreKubeadmCommands:  spec.Bootstrap.PreKubeadmCommands,
		PostKubeadmCommands: spec.Bootstrap.PostKubeadmCommands,
	}
	for _, file := range spec.Bootstrap.Files {
		config.Files = append(config.Files, bootstrapv1.File{
			Path: file.Path, Owner: file.Owner, Permissions: file.Permissions,
			// As text its first line's indentation, and what looks like Jinja, would be read as
			// the user data's own (bootstrap/kubeadm/internal/cloudinit, v1.14.2).
			Encoding: bootstrapv1.Base64, Content: base64.StdEncoding.EncodeToString([]byte(file.Content)),
		})
	}
	return config
}

// kubeletLabels are the labels that the kubelet registers its Node with, as its flag has them.
func kubeletLabels(labels map[string]teapotv1.LabelValue) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if !isSynced(key) {
			pairs = append(pairs, key+"="+string(labels[key]))
		}
	}
	return strings.Join(pairs, ",")
}
