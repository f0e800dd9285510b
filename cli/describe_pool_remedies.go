package cli

import teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"

// poolRemedies say what to do about a reason of a pool, in a sentence, where remedies do not, or
// otherwise. {namespace} and {name} are the pool's, and {tcp} is its control plane.
var poolRemedies = map[string]string{
	teapotv1.ReasonPaused:                 `when that is no longer wanted: kubectl patch wp {name} -n {namespace} --type merge -p '{"spec":{"paused":false}}'`,
	teapotv1.ReasonDeleting:               `wait: the message says which machines are left, and what is in the way; {teapot} get machines --pool {name} -n {namespace}`,
	teapotv1.ReasonWaitingForControlPlane: `make the control plane, or a new pool that names another: {teapot} create tcp {tcp} -n {namespace}`,
	teapotv1.ReasonWaitingForClusterAPI:   `have an operator install Cluster API with its kubeadm bootstrap provider: the message names the kind that is missing`,
	teapotv1.ReasonVersionSkew:            `set spec.version, with an image of it, to one that the message allows; or change the control plane first: kubectl edit tcp {tcp} -n {namespace}`,
	teapotv1.ReasonNameTaken:              `the message names the object: delete it, or make the pool under another name`,
	teapotv1.ReasonApplied:                `wait: Cluster API makes the machines`,
	teapotv1.ReasonScaling:                `wait: a host takes minutes. What each machine waits for: {teapot} get machines --pool {name} -n {namespace} -o wide`,
	teapotv1.ReasonRolling:                `wait: machines are replaced in turns. What each one waits for: {teapot} get machines --pool {name} -n {namespace} -o wide`,
	teapotv1.ReasonMachinesNotReady:       `the table below says why each is not; of a machine without a host or Node see its claim: {teapot} get claims -n {namespace} -l teapot.dev/pool={name} -o wide`,
	teapotv1.ReasonAsleep:                 `when it is to be used, wake its control plane: {teapot} resume {tcp} -n {namespace} --wait`,
	teapotv1.ReasonHibernating:            `wait: the machines are given back, since the control plane sleeps; to have them again: {teapot} resume {tcp} -n {namespace}`,
	teapotv1.ReasonWaking:                 `wait: machines boot; the control plane's status says how long at most: {teapot} describe {tcp} -n {namespace}`,
	teapotv1.ReasonControlPlaneDeleting:   `wait: the pool goes with its control plane; to keep the machines' work, make another control plane and pool`,
}
