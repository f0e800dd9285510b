// Package providers knows what manages machines in the development cluster: Cluster
// API's core, its kubeadm bootstrap provider and the baremetal-operator. It turns the
// manifests that upstream keeps beside its code into what is applied, as clusterctl and
// cert-manager do in a cluster of production.
package providers

import (
	"fmt"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
)

// IronicPort is the port of the Ironic API at the node's address, where the
// baremetal-operator looks for it. Ironic's own default.
const IronicPort = 6385

// Provider is one controller with its CRDs and webhooks.
type Provider struct {
	// Name is what status calls it.
	Name string
	// Group and Version name the build group that yields it.
	Group, Version string
	// Module is the Go module that has its manifests, and Config the directory in that
	// module where kustomize starts.
	Module, Config string
	// Namespace and Deployment are where it runs.
	Namespace, Deployment string
	// Image is the full reference of its image.
	Image string
	// Variables are values for the ${NAME:=default} in its arguments, which clusterctl
	// takes from the environment.
	Variables map[string]string
	// Args are added to its arguments. The last of a flag given twice counts.
	Args []string
	// Env is the data of the ConfigMap ConfigMap, which its environment comes from.
	Env map[string]string
	// ConfigMap is the name of that ConfigMap, empty if there is none.
	ConfigMap string
	// Probe is a manifest that its webhooks admit. Created in a dry run it shows that
	// the API server reaches them, those for conversion included: its version is not
	// the one that is stored, where there are two.
	Probe string
}

// All returns the providers in the order in which they are applied. The
// baremetal-operator looks for Ironic at the address ironic, without a port.
func All(ironic string) []Provider {
	capi := Provider{Group: "cluster-api", Version: build.ClusterAPIVersion, Module: "sigs.k8s.io/cluster-api"}

	core := capi
	core.Name = "cluster-api"
	core.Config = "core/config/default"
	core.Namespace, core.Deployment = "capi-system", "capi-controller-manager"
	core.Image = imageset.ClusterAPIImage("cluster-api-controller", core.Version)
	core.Args = []string{"--leader-elect=false"}
	core.Variables = map[string]string{
		"CLUSTER_TOPOLOGY": "true",
		// Nothing here has machine pools: without the gate nobody watches them.
		"EXP_MACHINE_POOL": "false",
	}
	// Not a Cluster: what it refers to would have to exist.
	core.Probe = `
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineHealthCheck
metadata: {name: webhook-probe, namespace: default}
spec:
  clusterName: webhook-probe
  selector: {matchLabels: {webhook: probe}}
  unhealthyConditions: [{type: Ready, status: Unknown, timeout: 5m}]
`

	bootstrap := capi
	bootstrap.Name = "kubeadm-bootstrap"
	bootstrap.Config = "bootstrap/kubeadm/config/default"
	bootstrap.Namespace = "capi-kubeadm-bootstrap-system"
	bootstrap.Deployment = "capi-kubeadm-bootstrap-controller-manager"
	bootstrap.Image = imageset.ClusterAPIImage("kubeadm-bootstrap-controller", bootstrap.Version)
	bootstrap.Args = []string{"--leader-elect=false"}
	bootstrap.Variables = map[string]string{"EXP_MACHINE_POOL": "false"}
	bootstrap.Probe = `
apiVersion: bootstrap.cluster.x-k8s.io/v1beta1
kind: KubeadmConfig
metadata: {name: webhook-probe, namespace: default}
spec: {}
`

	room := fmt.Sprintf("http://%s:%d", ironic, IronicPort)
	return []Provider{core, bootstrap, {
		Name:  "baremetal-operator",
		Group: "baremetal-operator", Version: build.BaremetalOperatorVersion,
		Module: "github.com/metal3-io/baremetal-operator", Config: "config",
		Namespace:  "baremetal-operator-system",
		Deployment: "baremetal-operator-controller-manager",
		Image:      imageset.BaremetalOperatorImage(build.BaremetalOperatorVersion),
		Args: []string{
			"--enable-leader-election=false",
			// The defaults, 20 and 30, make a thousand hosts wait for the client.
			"--kube-api-qps=200", "--kube-api-burst=400",
			// What it takes by itself on a machine with eight cores or more.
			"--controller-concurrency=8",
		},
		ConfigMap: "ironic",
		Env: map[string]string{
			"IRONIC_ENDPOINT": room + "/v1/",
			// What Ironic boots to inspect, write and clean a machine.
			"DEPLOY_KERNEL_URL":  room + "/images/ironic-python-agent.kernel",
			"DEPLOY_RAMDISK_URL": room + "/images/ironic-python-agent.initramfs",
			// How many hosts may be written, inspected or cleaned at a time. The
			// default, 20, protects an Ironic that copies images.
			"PROVISIONING_LIMIT": "1000",
		},
		Probe: `
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: webhook-probe, namespace: default}
spec: {online: false}
`,
	}}
}
