package cli

import teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"

// claimRemedies say what to do about a reason of a claim or a machine, in a sentence, where
// remedies do not; docs/hosts.md says it at length. {namespace} and {name} are the object's, {host}
// and {hosts} name the host and its namespace.
var claimRemedies = map[string]string{
	teapotv1.ReasonPaused:                  `when that is no longer wanted: kubectl annotate mc {name} -n {namespace} cluster.x-k8s.io/paused-`,
	teapotv1.ReasonDeleting:                `wait: the host is being given back; {teapot} describe claim {name} -n {namespace}`,
	teapotv1.ReasonNoHost:                  `wait for a host to become free, or have an operator add hosts or a HostDeployPolicy ({teapot} get hosts -A). To ask for less, make a new claim: spec.hardware, spec.hostSelector and spec.failureDomain of this one are fixed`,
	teapotv1.ReasonWaitingForSecret:        `make the Secret that the message names, with the key that it names`,
	teapotv1.ReasonBinding:                 `passes in a moment`,
	teapotv1.ReasonProvisioning:            `wait: a host takes minutes, most of them its own start. An operator sees more: kubectl describe bmh {host} -n {hosts}`,
	teapotv1.ReasonProvisioningFailed:      `the events say what each host failed with: mostly the image's URL or checksum. Then delete the claim, or the Machine that made it, for a new attempt`,
	teapotv1.ReasonHostFailed:              `have an operator look: kubectl describe bmh {host} -n {hosts}, and the baremetal-operator's log. It is tried again; when the time limit is over, another host is taken`,
	teapotv1.ReasonHostPaused:              `have an operator take the annotation that the message names off the host: kubectl describe bmh {host} -n {hosts}`,
	teapotv1.ReasonHostLost:                `delete the claim, or the Machine that made it: another host would be another machine`,
	teapotv1.ReasonPoweredOff:              `have an operator look: kubectl describe bmh {host} -n {hosts}. The baremetal-operator switches it on again, unless it cannot reach the management controller`,
	teapotv1.ReasonReleasing:               `wait: cleaning takes the machine's own start and some minutes. An operator sees more: kubectl describe bmh {host} -n {hosts}`,
	teapotv1.ReasonCleaningFailed:          `have an operator look: kubectl describe bmh {host} -n {hosts}; docs/hosts.md, "A host that cannot be cleaned"`,
	teapotv1.ReasonWaitingForCluster:       `make the Cluster that the message names, or see why it is not provisioned: kubectl describe cluster,tenantcluster -n {namespace}`,
	teapotv1.ReasonWaitingForMachine:       `let a MachineDeployment make the machines: one that no Machine of Cluster API owns is not worked on`,
	teapotv1.ReasonWaitingForBootstrapData: `kubectl describe kubeadmconfig -n {namespace} says what it waits for: mostly the control plane`,
	teapotv1.ReasonWaitingForClaim:         `{teapot} describe claim {name} -n {namespace}`,
}
