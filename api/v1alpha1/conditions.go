package v1alpha1

// Condition types of a TenantControlPlane. Each is True, False or Unknown; a reason
// of the list below says why and the message what to do about it.
const (
	// ReadyCondition sums up the others: True only while an authenticated request by
	// the machines' way in is answered, etcd has quorum and the add-ons asked for are
	// applied.
	ReadyCondition = "Ready"
	// AvailableCondition: the API answers and etcd has quorum. It is what Cluster API reads;
	// Ready asks for more, the add-ons.
	AvailableCondition = "Available"
	// StalledCondition: something does not come true by waiting, or has been waited for longer
	// than it should take; a person must act. The message says how. The name and meaning are
	// kstatus's (sigs.k8s.io/cli-utils/pkg/kstatus).
	StalledCondition = "Stalled"
	// NamespaceReadyCondition: the control plane's own namespace exists and is ours.
	NamespaceReadyCondition = "NamespaceReady"
	// EndpointReadyCondition: the address and ports by which machines come are known.
	EndpointReadyCondition = "EndpointReady"
	// CertificatesReadyCondition: keys and certificates exist, match and are in date.
	CertificatesReadyCondition = "CertificatesReady"
	// DatastoreReadyCondition: etcd has quorum.
	DatastoreReadyCondition = "DatastoreReady"
	// APIServerReadyCondition: an authenticated request by the machines' way in was
	// answered within the last ten seconds.
	APIServerReadyCondition = "APIServerReady"
	// AddonsReadyCondition: kubeadm's objects and the add-ons asked for are applied
	// inside the tenant's cluster.
	AddonsReadyCondition = "AddonsReady"
	// HibernatedCondition: nothing of the control plane runs, and no machines but those that are to be
	// kept. It is there once a control plane was asked to sleep.
	HibernatedCondition = "Hibernated"
	// HostBoundCondition: a MachineClaim holds a host.
	HostBoundCondition = "HostBound"
	// ProvisionedCondition: the host of a MachineClaim runs the image that was asked for.
	ProvisionedCondition = "Provisioned"
	// AppliedCondition: Cluster API's objects are as a WorkerPool has them.
	AppliedCondition = "Applied"
	// PausedCondition: spec.paused is set and nothing is reconciled.
	PausedCondition = "Paused"
	// BootstrapTokenRemovedCondition: the bootstrap token made for a HostMachine is not valid any
	// more. It says nothing of the machine's health and is no part of Ready.
	BootstrapTokenRemovedCondition = "BootstrapTokenRemoved"
)

// Reasons, shared by conditions and events.
const (
	// ReasonReady: what the condition speaks of was asked and answered.
	ReasonReady = "Ready"
	// ReasonPaused: spec.paused is true, or Cluster API's annotation is set.
	ReasonPaused = "Paused"
	// ReasonNotPaused: neither is so.
	ReasonNotPaused = "NotPaused"
	// ReasonReconcileFailed: a call to the management cluster's API failed and is tried again.
	ReasonReconcileFailed = "ReconcileFailed"
	// ReasonDeleting: the control plane is being deleted.
	ReasonDeleting = "Deleting"

	// ReasonAsleep: the control plane sleeps, as it should.
	ReasonAsleep = "Asleep"
	// ReasonAwake: the control plane is awake, as it should be.
	ReasonAwake = "Awake"
	// ReasonHibernating: the control plane goes to sleep.
	ReasonHibernating = "Hibernating"
	// ReasonWaking: the control plane comes back.
	ReasonWaking = "Waking"
	// ReasonNoGateway: something needs the shared gateway, and Teapot runs without one.
	ReasonNoGateway = "NoGateway"
	// ReasonWorkersLeft: machines could not be given back or switched off in time, and were not waited
	// for any longer.
	ReasonWorkersLeft = "WorkersLeft"

	// ReasonNamespaceTaken: the namespace exists and does not belong to this object.
	ReasonNamespaceTaken = "NamespaceTaken"
	// ReasonNamespaceTerminating: an earlier namespace of the same name is still going.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonRetainedDataMissing: the data of a control plane that was elsewhere before is not here, and
	// nothing is made in its place.
	ReasonRetainedDataMissing = "RetainedDataMissing"
	// ReasonRetainedDataMismatch: the spec does not fit the retained data that it adopts.
	ReasonRetainedDataMismatch = "RetainedDataMismatch"
	// ReasonRetainedDataFound: the namespace holds what an earlier control plane retained.
	ReasonRetainedDataFound = "RetainedDataFound"

	// ReasonNoNodeAddress: no address could be found for a NodePort endpoint.
	ReasonNoNodeAddress = "NoNodeAddress"
	// ReasonWaitingForLoadBalancer: the load balancer has given no address yet.
	ReasonWaitingForLoadBalancer = "WaitingForLoadBalancer"
	// ReasonLoadBalancerHasNoIP: the load balancer gives a host name only.
	ReasonLoadBalancerHasNoIP = "LoadBalancerHasNoIP"
	// ReasonAddressFamily: the address is not of the tenant's first address family.
	ReasonAddressFamily = "AddressFamily"
	// ReasonPortTaken: the port asked for belongs to another Service.
	ReasonPortTaken = "PortTaken"
	// ReasonWaitingForService: the Service has no ports or address yet.
	ReasonWaitingForService = "WaitingForService"

	// ReasonKeysMissing: data exists but the keys that go with it do not.
	ReasonKeysMissing = "KeysMissing"
	// ReasonKeysInvalid: a stored authority cannot be read.
	ReasonKeysInvalid = "KeysInvalid"

	// ReasonWaitingForPods: pods are starting.
	ReasonWaitingForPods = "WaitingForPods"
	// ReasonPodsFailing: a pod cannot run; the message has the cause.
	ReasonPodsFailing = "PodsFailing"
	// ReasonWaitingForStorage: a volume claim is not bound.
	ReasonWaitingForStorage = "WaitingForStorage"
	// ReasonClassNotFound: a RuntimeClass, StorageClass or PriorityClass does not exist.
	ReasonClassNotFound = "ClassNotFound"
	// ReasonPodsRefused: the API server refuses to make the pods.
	ReasonPodsRefused = "PodsRefused"
	// ReasonNoQuorum: fewer than half of etcd's members answer.
	ReasonNoQuorum = "NoQuorum"

	// ReasonNotAnswering: the endpoint does not answer.
	ReasonNotAnswering = "NotAnswering"
	// ReasonRequestRefused: the API server answers, and refuses Teapot's own requests.
	ReasonRequestRefused = "RequestRefused"
	// ReasonWaitingForAPIServer: waits until the API server answers.
	ReasonWaitingForAPIServer = "WaitingForAPIServer"
	// ReasonApplying: objects inside the tenant's cluster are being applied.
	ReasonApplying = "Applying"
	// ReasonApplyFailed: an object inside the tenant's cluster could not be applied.
	ReasonApplyFailed = "ApplyFailed"

	// ReasonRepaired: an object of Teapot's was changed or deleted by somebody else and is as it
	// was (events only).
	ReasonRepaired = "Repaired"
	// ReasonProgressing: nothing is wrong, or not for long enough to be (Stalled is False).
	ReasonProgressing = "Progressing"
	// ReasonClusterPaused: the owning Cluster is paused, or the annotation
	// cluster.x-k8s.io/paused is set.
	ReasonClusterPaused = "ClusterPaused"

	// ReasonUnsupportedVersion: this Teapot cannot run that version of Kubernetes.
	ReasonUnsupportedVersion = "UnsupportedVersion"
	// ReasonNoHost: no host that may be claimed suffices; the message counts why.
	ReasonNoHost = "NoHost"
	// ReasonWaitingForSecret: a Secret that the claim names does not exist or lacks its key.
	ReasonWaitingForSecret = "WaitingForSecret"
	// ReasonBinding: a host was chosen and is being taken.
	ReasonBinding = "Binding"
	// ReasonProvisioning: the image is being written.
	ReasonProvisioning = "Provisioning"
	// ReasonProvisioned: the host runs the image.
	ReasonProvisioned = "Provisioned"
	// ReasonProvisioningFailed: hosts failed or took too long, and no more are tried.
	ReasonProvisioningFailed = "ProvisioningFailed"
	// ReasonHostFailed: the host has an error; the message is the provisioner's.
	ReasonHostFailed = "HostFailed"
	// ReasonHostPaused: the host is paused, detached or unmanaged, and makes no progress.
	ReasonHostPaused = "HostPaused"
	// ReasonHostLost: the host was deleted or is held by something else.
	ReasonHostLost = "HostLost"
	// ReasonPoweredOff: the machine's power is off, though it should be on.
	ReasonPoweredOff = "PoweredOff"
	// ReasonReleasing: the host is being deprovisioned and cleaned.
	ReasonReleasing = "Releasing"
	// ReasonCleaningFailed: the host could not be cleaned, and is not handed on.
	ReasonCleaningFailed = "CleaningFailed"
	// ReasonWaitingForCluster: the Cluster or its control plane is not there yet.
	ReasonWaitingForCluster = "WaitingForCluster"
	// ReasonWaitingForMachine: no Machine of Cluster API owns the object yet.
	ReasonWaitingForMachine = "WaitingForMachine"
	// ReasonWaitingForBootstrapData: Cluster API has not written the machine's user data yet.
	ReasonWaitingForBootstrapData = "WaitingForBootstrapData"
	// ReasonWaitingForClaim: the machine's claim is not Ready.
	ReasonWaitingForClaim = "WaitingForClaim"

	// ReasonWaitingForControlPlane: the TenantControlPlane that a WorkerPool names is not there yet.
	ReasonWaitingForControlPlane = "WaitingForControlPlane"
	// ReasonWaitingForClusterAPI: the management cluster lacks a kind that WorkerPools are made of.
	ReasonWaitingForClusterAPI = "WaitingForClusterAPI"
	// ReasonVersionSkew: the machines' version is newer than the control plane's, or too old.
	ReasonVersionSkew = "VersionSkew"
	// ReasonNameTaken: an object of the name that a WorkerPool needs belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonApplied: what was asked for is written.
	ReasonApplied = "Applied"
	// ReasonScaling: machines are being made or given back.
	ReasonScaling = "Scaling"
	// ReasonRolling: machines are being replaced by others.
	ReasonRolling = "Rolling"
	// ReasonMachinesNotReady: machines exist and are not ready; the message names them and says why.
	ReasonMachinesNotReady = "MachinesNotReady"
	// ReasonControlPlaneDeleting: the control plane is being deleted, and its machines with it.
	ReasonControlPlaneDeleting = "ControlPlaneDeleting"

	// ReasonOrphaned: nothing answers for a host, a Secret or a claim any more (events only).
	ReasonOrphaned = "Orphaned"
	// ReasonOrphanRemoved: an orphan was given back or deleted (events only).
	ReasonOrphanRemoved = "OrphanRemoved"

	// ReasonMachinesLeft: machines are still there, and are not waited for any longer (events only).
	ReasonMachinesLeft = "MachinesLeft"
	// ReasonDeletionBlocked: something that must go is still there after its deadline.
	ReasonDeletionBlocked = "DeletionBlocked"
)
