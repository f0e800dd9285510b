package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// WorkerPool is a number of interchangeable machines of a TenantControlPlane. Teapot writes Cluster
// API's objects for it, which do the work: a MachineDeployment of the pool's name, its templates and a
// MachineHealthCheck, and one Cluster for all pools of the control plane.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=wp,categories=teapot
// +kubebuilder:metadata:labels="clusterctl.cluster.x-k8s.io="
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Control plane",type=string,JSONPath=`.spec.controlPlaneName`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desiredReplicas`
// +kubebuilder:printcolumn:name="Machines",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.availableReplicas`
// +kubebuilder:printcolumn:name="Up to date",type=integer,JSONPath=`.status.upToDateReplicas`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Min",type=integer,priority=1,JSONPath=`.spec.autoscaling.minReplicas`
// +kubebuilder:printcolumn:name="Max",type=integer,priority=1,JSONPath=`.spec.autoscaling.maxReplicas`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS label of at most 40 characters (a-z, 0-9 and '-', no dots), since the names of machines are made from it"
type WorkerPool struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	// +required
	Spec WorkerPoolSpec `json:"spec"`
	// status is what was observed. It may be lost and is rebuilt.
	// +optional
	Status WorkerPoolStatus `json:"status,omitempty,omitzero"`
}

// WorkerPoolList is a list of WorkerPools.
//
// +kubebuilder:object:root=true
type WorkerPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkerPool `json:"items"`
}

// WorkerPoolSpec is what is wanted of a pool.
//
// +kubebuilder:validation:XValidation:rule="self.image.url.startsWith('oci://') || has(self.image.checksum)",fieldPath=".image.checksum",message="is needed with an http or https image, so that what runs is what was asked for; give the image's SHA-256 sum"
// +kubebuilder:validation:XValidation:rule="has(self.replicas) != has(self.autoscaling)",fieldPath=".replicas",message="give either a number of machines or spec.autoscaling, not both: with autoscaling the autoscaler decides"
type WorkerPoolSpec struct {
	// controlPlaneName is the TenantControlPlane of this namespace that the machines join.
	// +required
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a TenantControlPlane of this namespace (lower-case letters, digits and '-')"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed, since machines know one control plane; make a new pool"
	ControlPlaneName string `json:"controlPlaneName"`

	// replicas is the number of machines.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// autoscaling leaves the number of machines to the Cluster Autoscaler, within bounds.
	// +optional
	Autoscaling *PoolAutoscaling `json:"autoscaling,omitempty"`

	// version is the Kubernetes version of the machines' image, for example v1.36.3: that of the
	// control plane, or at most three minor versions older. Machines of a newer version than the
	// control plane runs are not made until it does.
	// https://kubernetes.io/releases/version-skew-policy/#kubelet
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^v1([.](0|[1-9][0-9]*)){2}$')",message="must be a released version of Kubernetes in the form vMAJOR.MINOR.PATCH, for example v1.36.3"
	Version string `json:"version"`

	// HostRequest is what runs on the machines and what they must have. A change replaces them.
	HostRequest `json:",inline"`

	// failureDomain is where all machines of the pool must be: the value of the hosts' label
	// infrastructure.cluster.x-k8s.io/failure-domain. Default: any, see spread.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="must be the value of a label (letters, digits, '-', '_' and '.', not at its ends), since it is compared with the host's label infrastructure.cluster.x-k8s.io/failure-domain; leave it out for any"
	FailureDomain string `json:"failureDomain,omitempty"`

	// labels are labels of the Nodes. Those of the groups node-role.kubernetes.io,
	// node-restriction.kubernetes.io and node.cluster.x-k8s.io are written by Cluster API and follow
	// a change at once; the others are given to the kubelet, and a change replaces the machines.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="keys must be those of labels, for example example.com/rack"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('^([-a-z0-9.]*[.])?(kubernetes|k8s)[.]io/') || k.matches('^(node-role|([-a-z0-9.]*[.])?(node-restriction|node|kubelet))[.]kubernetes[.]io/|^topology[.]kubernetes[.]io/(zone|region)$'))",message="keys of kubernetes.io and k8s.io must be topology.kubernetes.io/zone or region, or of node-role.kubernetes.io, node-restriction.kubernetes.io, node.kubernetes.io or kubelet.kubernetes.io: a kubelet may not give its Node others"
	// +kubebuilder:validation:XValidation:rule="self.map(k, k.size() + self[k].size() + 2).sum() <= 1024",message="are too long together: a kubelet is given them in one argument of at most 1024 characters; give fewer or shorter ones"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// taints are those that the Nodes register with. A change replaces the machines.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=16
	Taints []Taint `json:"taints,omitempty"`

	// bootstrap is what is done on a machine besides joining. A change replaces the machines.
	// +optional
	Bootstrap PoolBootstrap `json:"bootstrap,omitempty,omitzero"`

	// strategy is how machines are replaced when the pool changes.
	// +optional
	// +kubebuilder:default={}
	Strategy PoolStrategy `json:"strategy,omitempty,omitzero"`

	// deletion is how long a machine that goes is waited for.
	// +optional
	// +kubebuilder:default={}
	Deletion PoolDeletion `json:"deletion,omitempty,omitzero"`

	// remediation is when a machine that failed is replaced.
	// +optional
	// +kubebuilder:default={}
	Remediation PoolRemediation `json:"remediation,omitempty,omitzero"`

	// paused stops all changes to the pool's machines, its deletion included: Cluster API's objects
	// of the pool are paused, too.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// PoolAutoscaling are the bounds of the Cluster Autoscaler.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",fieldPath=".minReplicas",message="must not be more than maxReplicas"
type PoolAutoscaling struct {
	// minReplicas is the least number of machines; 0 lets the autoscaler give all of them back.
	// +required
	// +kubebuilder:validation:Minimum=0
	MinReplicas int32 `json:"minReplicas"`
	// maxReplicas is the greatest number of machines.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxReplicas int32 `json:"maxReplicas"`
}

// Taint keeps pods off a Node.
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
type Taint struct {
	// key is the taint's key.
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.indexOf('/') <= 253 && self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="must be a key as labels have them, for example example.com/gpu"
	Key string `json:"key"`
	// value is the taint's value.
	// +optional
	Value LabelValue `json:"value,omitempty"`
	// effect is NoSchedule, PreferNoSchedule or NoExecute.
	// +required
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect corev1.TaintEffect `json:"effect"`
}

// PoolBootstrap is what is done on a machine besides joining. Names and meaning are those of Cluster
// API's KubeadmConfig.
type PoolBootstrap struct {
	// files are written before anything is run.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=32
	Files []BootstrapFile `json:"files,omitempty"`
	// preKubeadmCommands are run by a shell before the machine joins. Like all user data of Cluster
	// API they are a template for cloud-init (Jinja): {{ ds.meta_data.local_hostname }} is the
	// machine's name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=10240
	PreKubeadmCommands []string `json:"preKubeadmCommands,omitempty"`
	// postKubeadmCommands are run by a shell after the machine joined, as preKubeadmCommands are.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=10240
	PostKubeadmCommands []string `json:"postKubeadmCommands,omitempty"`
	// ignorePreflightErrors are checks of kubeadm join that may fail, for example SystemVerification.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	IgnorePreflightErrors []string `json:"ignorePreflightErrors,omitempty"`
}

// BootstrapFile is a file that is written to a machine at its first boot.
type BootstrapFile struct {
	// path is where, from the root.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[-A-Za-z0-9._@+]+)+$')",message="must be an absolute path of a file, of letters, digits, '-', '_', '.', '@' and '+' between slashes, for example /etc/sysctl.d/90-pool.conf"
	Path string `json:"path"`
	// content is what is in it. It is no place for secrets: whoever may read the pool reads it.
	// +optional
	// +kubebuilder:validation:MaxLength=10240
	Content string `json:"content,omitempty"`
	// owner is user:group. Default: root:root.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z_][-a-z0-9_]*(:[a-z_][-a-z0-9_]*)?$')",message="must be a user, or user:group, for example root:root"
	Owner string `json:"owner,omitempty"`
	// permissions are octal, for example 0644, which is the default.
	// +optional
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="self.matches('^0?[0-7]{3}$')",message="must be octal permissions, for example 0644"
	Permissions string `json:"permissions,omitempty"`
}

// PoolStrategyType is the kind of a rolling change.
// +kubebuilder:validation:Enum=RollingUpdate;OnDelete
type PoolStrategyType string

// Kinds of rolling changes.
const (
	RollingUpdate PoolStrategyType = "RollingUpdate"
	OnDelete      PoolStrategyType = "OnDelete"
)

// PoolStrategy is how machines are replaced.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'OnDelete' || (!has(self.maxSurge) && !has(self.maxUnavailable))",fieldPath=".type",message="OnDelete replaces no machine by itself, so maxSurge and maxUnavailable have no meaning with it; leave them out"
// +kubebuilder:validation:XValidation:rule="!(has(self.maxUnavailable) && string(self.maxUnavailable).matches('^0+%?$')) || (has(self.maxSurge) && !string(self.maxSurge).matches('^0+%?$'))",fieldPath=".maxUnavailable",message="cannot be 0 unless maxSurge is more than 0: no machine could be replaced"
type PoolStrategy struct {
	// type is RollingUpdate, or OnDelete, which replaces a machine when somebody deletes it.
	// +optional
	// +kubebuilder:default=RollingUpdate
	Type PoolStrategyType `json:"type,omitempty"`
	// maxSurge is how many machines, as a number or percentage, may be there beyond the number
	// wanted. It needs hosts to spare. Default: 0.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? int(self) >= 0 : string(self).matches('^[0-9]{1,3}%$')",message="must be a number or a percentage, for example 1 or 25%"
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`
	// maxUnavailable is how many machines, as a number or percentage, may be missing from the number
	// wanted. Default: 1 with a maxSurge of 0, or else 0.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? int(self) >= 0 : string(self).matches('^([0-9]{1,2}|100)%$')",message="must be a number or a percentage of at most 100%, for example 1 or 25%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// PoolDeletion is how long a machine that goes is waited for. Each is always set, since Cluster API's
// own default is to wait for ever. Names are those of Cluster API's Machine.
type PoolDeletion struct {
	// nodeDrainTimeoutSeconds is how long pods may take to leave, and so how long a
	// PodDisruptionBudget is honoured.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	NodeDrainTimeoutSeconds int32 `json:"nodeDrainTimeoutSeconds,omitempty"`
	// nodeVolumeDetachTimeoutSeconds is how long volumes may take to be detached.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	NodeVolumeDetachTimeoutSeconds int32 `json:"nodeVolumeDetachTimeoutSeconds,omitempty"`
	// nodeDeletionTimeoutSeconds is how long the Node may take to be deleted.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	NodeDeletionTimeoutSeconds int32 `json:"nodeDeletionTimeoutSeconds,omitempty"`
}

// PoolRemediation is when a machine that failed is replaced.
type PoolRemediation struct {
	// enabled says whether machines that failed are replaced.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
	// unhealthyTimeoutSeconds is how long a Node may be not ready, or its machine without power,
	// before it is replaced.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=86400
	UnhealthyTimeoutSeconds int32 `json:"unhealthyTimeoutSeconds,omitempty"`
	// maxUnhealthy is how many machines, as a number or percentage, may have failed for one to be
	// replaced: when more have, the network or the control plane is ill, not they.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? int(self) >= 1 : string(self).matches('^([1-9][0-9]?|100)%$')",message="must be a number of at least 1, or a percentage of 1% to 100%, for example 2 or 40%; to replace none, set spec.remediation.enabled to false"
	MaxUnhealthy *intstr.IntOrString `json:"maxUnhealthy,omitempty"`
}

// WorkerPoolStatus is what was observed of a pool.
type WorkerPoolStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// selector selects the pool's Machines, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`
	// desiredReplicas is the number of machines wanted: spec.replicas, or what the autoscaler chose.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`
	// replicas is the number of machines that exist.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// readyReplicas is the number of machines that are ready.
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`
	// availableReplicas is the number of machines whose Nodes may be used.
	// +optional
	AvailableReplicas *int32 `json:"availableReplicas,omitempty"`
	// upToDateReplicas is the number of machines that are as the spec has them.
	// +optional
	UpToDateReplicas *int32 `json:"upToDateReplicas,omitempty"`
	// clusterName is the Cluster of Cluster API that the machines belong to.
	// +optional
	ClusterName string `json:"clusterName,omitempty"`
	// conditions: Ready, Applied, Stalled, Paused.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
