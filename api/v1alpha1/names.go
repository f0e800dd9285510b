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

	// FieldManager owns the fields that Teapot applies (server-side apply).
	FieldManager = "teapot"
)
