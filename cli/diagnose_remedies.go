package cli

import teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"

// remedies say what to do about a reason, in a sentence; docs/operations.md says it at
// length. {ns} is the control plane's own namespace, {namespace} and {name} are the object's.
var remedies = map[string]string{
	teapotv1.ReasonPaused:                 `when that is no longer wanted: kubectl patch tcp {name} -n {namespace} --type merge -p '{"spec":{"paused":false}}'`,
	teapotv1.ReasonReconcileFailed:        `it is tried again; if it says "forbidden", compare the manager's role with the chart's`,
	teapotv1.ReasonDeleting:               `wait; kubectl get namespace {ns} -o yaml shows what is still in the way`,
	teapotv1.ReasonDeletionBlocked:        `look for finalizers and for volumes that do not detach: kubectl get namespace {ns} -o yaml; kubectl get pvc,pods -n {ns}`,
	teapotv1.ReasonNamespaceTaken:         `find out whose namespace {ns} is; delete it, or choose another name`,
	teapotv1.ReasonNamespaceTerminating:   `wait until the earlier namespace {ns} is gone; if it takes long, kubectl get namespace {ns} -o yaml says why`,
	teapotv1.ReasonRetainedDataFound:      `the message says how the data is adopted; choose another name, or give it up: kubectl delete namespace {ns}`,
	teapotv1.ReasonNoNodeAddress:          `set spec.endpoint.host, or the chart's nodePortAddress`,
	teapotv1.ReasonWaitingForLoadBalancer: `kubectl describe svc control-plane -n {ns}; check that there is an implementation of load balancers and that its pool is not empty`,
	teapotv1.ReasonLoadBalancerHasNoIP:    `set spec.endpoint.host to an IP address of the load balancer that does not change`,
	teapotv1.ReasonPortTaken:              `kubectl get svc -A shows whose port it is; choose another in spec.endpoint, or leave it out`,
	teapotv1.ReasonWaitingForService:      `passes in a moment; if not: kubectl describe svc control-plane -n {ns}`,
	teapotv1.ReasonKeysMissing:            `restore the Secret authorities of namespace {ns} from your backup; Teapot never makes keys anew over existing data`,
	teapotv1.ReasonKeysInvalid:            `restore the Secret authorities of namespace {ns} from your backup; the message names the key`,
	teapotv1.ReasonWaitingForPods:         `wait; if it stays: kubectl describe pods -n {ns}`,
	teapotv1.ReasonPodsFailing:            `the message has the kubelet's or the scheduler's words; see logs/ and namespace/events.txt`,
	teapotv1.ReasonWaitingForStorage:      `kubectl describe pvc -n {ns}; check that the StorageClass exists, or that there is a default one`,
	teapotv1.ReasonNoQuorum:               `see the logs of the etcd pods; of three members two must run`,
	teapotv1.ReasonNotAnswering:           `see tenant/reached.txt; check firewalls, the load balancer, that the address's node still exists, and NetworkPolicies that keep the manager in`,
	teapotv1.ReasonRequestRefused:         `compare the clocks of the nodes (a certificate holds from five minutes before it was made); see the log of kube-apiserver in logs/`,
	teapotv1.ReasonWaitingForAPIServer:    `see the condition APIServerReady`,
	teapotv1.ReasonApplying:               `wait a few seconds`,
	teapotv1.ReasonApplyFailed:            `mostly a webhook or admission policy of the tenant's that cannot be reached: {teapot} proxy {name} -n {namespace} -- kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`,
	teapotv1.ReasonRetainedDataMissing:    `bring the namespace with the keys and volumes from where the control plane was, as docs/clusterapi.md says`,
	teapotv1.ReasonRetainedDataMismatch:   `make spec fit the data that it adopts, as the message says`,
	teapotv1.ReasonAddressFamily:          `choose an address of the family of spec.network.serviceCIDR, or another range`,
	teapotv1.ReasonClassNotFound:          `make the class that the message names, or name one that exists: kubectl get runtimeclass,storageclass,priorityclass`,
	teapotv1.ReasonPodsRefused:            `the message has the API server's words: a quota, an admission policy or webhook of the management cluster; kubectl describe replicaset,statefulset -n {ns}`,
	teapotv1.ReasonClusterPaused:          `resume the owning Cluster (spec.paused), or remove the annotation cluster.x-k8s.io/paused`,
	teapotv1.ReasonAsleep:                 `when it is to be used: {teapot} resume {name} -n {namespace} --wait`,
	teapotv1.ReasonHibernating:            `wait: the message says what for; after four minutes at most it goes on without; or wake it: {teapot} resume {name} -n {namespace}`,
	teapotv1.ReasonWaking:                 `wait: the message says what for`,
	teapotv1.ReasonNoGateway:              `have an operator install the chart with gateway.enabled, or set its gateway.externalAddress; until then: {teapot} resume {name} -n {namespace}`,
	teapotv1.ReasonWorkersLeft:            `the message names the machines: {teapot} get machines --control-plane {name} -n {namespace} -o wide; their hosts come back once that is in order`,
	teapotv1.ReasonUnsupportedVersion:     `ask for a version that this Teapot runs, or upgrade Teapot`,
}
