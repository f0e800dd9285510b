package v1alpha1

// Labels, annotations and finalizers. Ownership across namespaces is by label and
// finalizer, since an owner reference cannot cross them.
const (
	// ControlPlaneNamespaceLabel and ControlPlaneNameLabel are on every object that
	// belongs to a TenantControlPlane and name it.
	ControlPlaneNamespaceLabel = "teapot.dev/control-plane-namespace"
	ControlPlaneNameLabel      = "teapot.dev/control-plane-name"

	// ManagedByLabel (value ManagedByTeapot) selects what the manager watches.
	// https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
	ManagedByLabel  = "app.kubernetes.io/managed-by"
	ManagedByTeapot = "teapot"

	// ComponentLabel says which component of a control plane an object is of
	// ("control-plane", "etcd").
	ComponentLabel = "app.kubernetes.io/component"

	// ControlPlaneUIDAnnotation is on the control plane's own namespace and holds the
	// UID of its TenantControlPlane. A namespace without it is refused, not adopted.
	ControlPlaneUIDAnnotation = "teapot.dev/control-plane-uid"

	// RetainedLabel marks what deletionPolicy Retain left: the namespace, etcd's
	// volumes and the keys.
	RetainedLabel = "teapot.dev/retained"

	// RetainedSpecAnnotation is on a retained namespace and holds, as JSON, what of the spec its
	// data depends on.
	RetainedSpecAnnotation = "teapot.dev/retained-spec"

	// AppliedHashAnnotation holds a hash of what Teapot last applied to the object,
	// so that a field which the plan no longer names is noticed.
	AppliedHashAnnotation = "teapot.dev/applied-hash"

	// EndpointHostAnnotation is on the control plane's Service and keeps the address
	// that was chosen for it, so that it stays the same when nodes come and go.
	EndpointHostAnnotation = "teapot.dev/endpoint-host"

	// NudgedAnnotation is on a pod that a kubelet was slow to begin: when it was nudged
	// (RFC 3339).
	NudgedAnnotation = "teapot.dev/nudged"

	// ControlPlaneFinalizer holds a TenantControlPlane until all that it owns is gone.
	ControlPlaneFinalizer = "teapot.dev/control-plane"

	// HibernationRequestedAtAnnotation is on a TenantControlPlane and says when spec.hibernation.enabled
	// was last meant (RFC 3339): what schedules and users asked for before does not count any more.
	HibernationRequestedAtAnnotation = "teapot.dev/hibernation-requested-at"

	// HibernationAnnotation is on a Cluster whose control plane sleeps or goes to sleep, and holds
	// spec.hibernation.workers: what is to become of the machines. The Cluster may be paused on account
	// of it; Teapot's own controllers then do what it says. A MachineClaim has it that was switched off
	// on account of it.
	HibernationAnnotation = "teapot.dev/hibernation"
	// AwakeReplicasAnnotation is on a WorkerPool whose control plane sleeps, and holds how many machines
	// it had (and has again later, if an autoscaler decides on their number).
	AwakeReplicasAnnotation = "teapot.dev/awake-replicas"

	// GatewayHostAnnotation is on the Lease by which a control plane is known to the gateway, and holds
	// the name under which users ask for it. Only GatewayActivityAnnotation and the Lease's holder and
	// renewal are written by the gateway.
	GatewayHostAnnotation = "gateway.teapot.dev/host"
	// GatewayBackendAnnotation holds address:port of the control plane's Service.
	GatewayBackendAnnotation = "gateway.teapot.dev/backend"
	// GatewayCAAnnotation holds the certificate (PEM) of the authority that signed the API server's.
	GatewayCAAnnotation = "gateway.teapot.dev/ca-certificate"
	// GatewayStateAnnotation is Awake or Asleep: what was decided, and since when it is so
	// (GatewaySinceAnnotation, RFC 3339 with nanoseconds). It is the record of the decision.
	GatewayStateAnnotation = "gateway.teapot.dev/state"
	GatewaySinceAnnotation = "gateway.teapot.dev/since"
	// GatewayReasonAnnotation is a word for what decided: a reason of HibernationStatus.
	GatewayReasonAnnotation = "gateway.teapot.dev/reason"
	// GatewayAsleepSinceAnnotation is when it was last decided that the control plane sleeps, also after
	// it has come back: a request of before wakes nothing.
	GatewayAsleepSinceAnnotation = "gateway.teapot.dev/asleep-since"
	// GatewayWakeAnnotation is "true" if a user's request wakes the control plane.
	GatewayWakeAnnotation = "gateway.teapot.dev/wake-on-request"
	// GatewayActivityAnnotation, followed by the name of a gateway's pod, is what that pod knows of the
	// control plane's users.
	GatewayActivityAnnotation = "activity.gateway.teapot.dev/"
	// GatewayLabel is on the Leases that the gateway watches.
	GatewayLabel = "gateway.teapot.dev/route"

	// HostAnnotation is on a MachineClaim and names, as namespace/name, the BareMetalHost that it
	// takes or holds. It is written before the host is touched, so that no restart and no stale
	// cache gives one claim two hosts.
	HostAnnotation = "teapot.dev/host"
	// FailedHostsAnnotation is on a MachineClaim and lists, as namespace/name with commas between,
	// the hosts that it gave back because they could not be provisioned.
	FailedHostsAnnotation = "teapot.dev/failed-hosts"
	// AdmittedAnnotation is on a MachineClaim whose spread has a limit, and says at which revision the
	// claim takes the host that HostAnnotation names, as UID/resourceVersion.
	AdmittedAnnotation = "teapot.dev/admitted"
	// ProvisionedAnnotation is on a MachineClaim whose host ran the image, and names that host as
	// HostAnnotation does: without it, wherever it is, the claim takes no other.
	ProvisionedAnnotation = "teapot.dev/provisioned"
	// UncleanedForAnnotation is on a BareMetalHost that was given back without having been
	// cleaned, and holds namespace/uid of the namespace whose data may be on it. Only its claims get
	// the host until an operator removes the annotation; without a uid nobody's do.
	UncleanedForAnnotation = "teapot.dev/uncleaned-for"
	// HolderNamespaceAnnotation is on a host that is held, and holds the UID of the holder's namespace.
	HolderNamespaceAnnotation = "teapot.dev/holder-namespace-uid"
	// CleaningModeAnnotation is on a host whose automatedCleaningMode a claim changed, and holds what
	// it was, so that it is put back when the host is freed.
	CleaningModeAnnotation = "teapot.dev/cleaning-mode"
	// CostAnnotation is on a BareMetalHost and holds the operator's own cost of it, a number, in
	// place of the one made from its hardware.
	CostAnnotation = "teapot.dev/cost"
	// GPUCountLabel and GPUModelLabel are on a BareMetalHost and say what accelerators it has,
	// since Metal3's inspection does not.
	GPUCountLabel = "gpu.teapot.dev/count"
	GPUModelLabel = "gpu.teapot.dev/model"
	// FailureDomainLabel is on a BareMetalHost and says where it is; the label is Metal3's.
	FailureDomainLabel = "infrastructure.cluster.x-k8s.io/failure-domain"
	// ClaimNamespaceLabel and ClaimNameLabel are on the Secrets that Teapot puts beside a host and
	// name the MachineClaim that they are of.
	ClaimNamespaceLabel = "teapot.dev/claim-namespace"
	ClaimNameLabel      = "teapot.dev/claim-name"
	// MachineClaimFinalizer holds a MachineClaim until its host is given back.
	MachineClaimFinalizer = "teapot.dev/machine-claim"
	// CancelledAnnotation is on a HostMachine that had not joined when its control plane went to sleep. It
	// gets no host any more: its bootstrap data hold a token that runs out meanwhile, and Cluster API's
	// kubeadm bootstrap provider makes no other for a Machine (refreshBootstrapTokenIfNeeded in
	// bootstrap/kubeadm/reconcilers/kubeadmconfig/kubeadmconfig_controller.go, v1.14.2).
	CancelledAnnotation = "teapot.dev/cancelled"
	// HostMachineFinalizer holds a HostMachine until its MachineClaim is gone, or is being deleted while
	// the control plane sleeps: the claim gives the host back by itself.
	HostMachineFinalizer = "teapot.dev/host-machine"

	// PoolLabel is on all that belongs to a WorkerPool, its Machines and MachineClaims included, and
	// holds its name.
	PoolLabel = "teapot.dev/pool"
	// WorkerPoolFinalizer holds a WorkerPool until its machines are gone.
	WorkerPoolFinalizer = "teapot.dev/worker-pool"

	// FieldManager owns the fields that Teapot applies (server-side apply).
	FieldManager = "teapot"
)
