package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

const (
	// hostsTried is how many hosts a claim tries (maxHosts in workers/claim/life.go).
	hostsTried = 3
	// joinTime is how long a machine that runs its image may take to boot and to join. Servers test
	// their memory for minutes before they boot.
	joinTime = 15 * time.Minute
	// defaultProvisioningTimeout is the schema's default of spec.provisioningTimeout.
	defaultProvisioningTimeout = time.Hour
)

// Input is a pool and what its objects depend on.
type Input struct {
	// Pool has the defaults of its schema.
	Pool *teapotv1.WorkerPool
	// Cluster is the name of the Cluster that the machines belong to.
	Cluster string
	// Offers is the status of the pool's HostMachineTemplate: what a machine has at least.
	Offers teapotv1.HostMachineTemplateStatus
	// Hibernation is what is to become of the machines of a control plane that sleeps; empty: it is awake.
	Hibernation teapotv1.HibernatedWorkers
}

// Templates are what machines are made from. Their names change with their content, since Cluster
// API replaces machines when a MachineDeployment names another template.
type Templates struct {
	Bootstrap      *bootstrapv1.KubeadmConfigTemplate
	Infrastructure *teapotv1.HostMachineTemplate
}

// NewTemplates renders the templates. Offers is not needed.
func NewTemplates(in Input) (Templates, error) {
	infrastructure := teapotv1.HostMachineTemplateResourceSpec{HostRequest: in.Pool.Spec.HostRequest}
	infrastructureName, err := nameByContent(in.Pool.Name, infrastructure)
	if err != nil {
		return Templates{}, err
	}
	bootstrap := kubeadmConfig(in.Pool.Spec)
	bootstrapName, err := nameByContent(in.Pool.Name, bootstrap)
	if err != nil {
		return Templates{}, err
	}
	return Templates{
		Bootstrap: &bootstrapv1.KubeadmConfigTemplate{
			TypeMeta:   metav1.TypeMeta{APIVersion: bootstrapv1.GroupVersion.String(), Kind: "KubeadmConfigTemplate"},
			ObjectMeta: in.owned(bootstrapName),
			Spec:       bootstrapv1.KubeadmConfigTemplateSpec{Template: bootstrapv1.KubeadmConfigTemplateResource{Spec: bootstrap}},
		},
		Infrastructure: &teapotv1.HostMachineTemplate{
			TypeMeta:   metav1.TypeMeta{APIVersion: teapotv1.GroupVersion.String(), Kind: "HostMachineTemplate"},
			ObjectMeta: in.owned(infrastructureName),
			Spec:       teapotv1.HostMachineTemplateSpec{Template: teapotv1.HostMachineTemplateResource{Spec: infrastructure}},
		},
	}, nil
}

// nameByContent is the name of a template: the pool's, and a hash of what is in it.
func nameByContent(pool string, content any) (string, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encoding %T of WorkerPool %s: %w", content, pool, err)
	}
	sum := sha256.Sum256(encoded)
	return pool + "-" + hex.EncodeToString(sum[:4]), nil
}

// NewMachineDeployment renders the MachineDeployment. With autoscaling it has no replicas, which are
// the autoscaler's then: Cluster API begins with the least number, and keeps what there is within
// the bounds (calculateMachineDeploymentReplicas in core/webhooks/admission/machinedeployment.go,
// v1.14.2).
func NewMachineDeployment(in Input, templates Templates) *clusterv1.MachineDeployment {
	spec := in.Pool.Spec
	md := &clusterv1.MachineDeployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "MachineDeployment"},
		ObjectMeta: in.owned(in.Pool.Name),
		Spec: clusterv1.MachineDeploymentSpec{
			ClusterName: in.Cluster,
			Replicas:    in.replicas(),
			Selector:    in.selector(),
			Rollout:     clusterv1.MachineDeploymentRolloutSpec{Strategy: strategy(spec.Strategy)},
			Template: clusterv1.MachineTemplateSpec{
				ObjectMeta: clusterv1.ObjectMeta{Labels: in.machineLabels()},
				Spec: clusterv1.MachineSpec{
					ClusterName:   in.Cluster,
					Version:       spec.Version,
					FailureDomain: spec.FailureDomain,
					Bootstrap: clusterv1.Bootstrap{ConfigRef: clusterv1.ContractVersionedObjectReference{
						APIGroup: bootstrapv1.GroupVersion.Group, Kind: templates.Bootstrap.Kind, Name: templates.Bootstrap.Name,
					}},
					InfrastructureRef: clusterv1.ContractVersionedObjectReference{
						APIGroup: teapotv1.GroupVersion.Group, Kind: templates.Infrastructure.Kind, Name: templates.Infrastructure.Name,
					},
					Deletion: clusterv1.MachineDeletionSpec{
						NodeDrainTimeoutSeconds:        ptr.To(spec.Deletion.NodeDrainTimeoutSeconds),
						NodeVolumeDetachTimeoutSeconds: ptr.To(spec.Deletion.NodeVolumeDetachTimeoutSeconds),
						NodeDeletionTimeoutSeconds:     ptr.To(spec.Deletion.NodeDeletionTimeoutSeconds),
					},
				},
			},
		},
	}
	// Cluster API would make no machine of an older minor version than the control plane's, not even
	// in place of one that failed. Teapot's own rule is the kubelet's (skew.go).
	md.Annotations = map[string]string{
		clusterv1.MachineSetSkipPreflightChecksAnnotation: string(clusterv1.MachineSetPreflightCheckKubeadmVersionSkew),
	}
	if spec.Autoscaling != nil {
		maps.Copy(md.Annotations, autoscaling(in))
	}
	if Released(in.Pool, in.Hibernation) {
		release(md)
	}
	return md
}

// strategy fills in what depends on what else is given: without a host to spare one machine goes
// before its successor comes.
func strategy(asked teapotv1.PoolStrategy) clusterv1.MachineDeploymentRolloutStrategy {
	if asked.Type == teapotv1.OnDelete {
		return clusterv1.MachineDeploymentRolloutStrategy{Type: clusterv1.OnDeleteMachineDeploymentStrategyType}
	}
	surge, unavailable := asked.MaxSurge, asked.MaxUnavailable
	if surge == nil {
		surge = ptr.To(intstr.FromInt32(0))
	}
	if unavailable == nil {
		unavailable = ptr.To(intstr.FromInt32(0))
		if isZero(surge) {
			unavailable = ptr.To(intstr.FromInt32(1))
		}
	}
	return clusterv1.MachineDeploymentRolloutStrategy{
		Type:          clusterv1.RollingUpdateMachineDeploymentStrategyType,
		RollingUpdate: clusterv1.MachineDeploymentRolloutStrategyRollingUpdate{MaxSurge: surge, MaxUnavailable: unavailable},
	}
}

func isZero(value *intstr.IntOrString) bool {
	return strings.Trim(value.String(), "0") == "" || strings.Trim(value.String(), "0") == "%"
}

// NewHealthCheck renders the MachineHealthCheck; nil if machines that fail are left as they are.
func NewHealthCheck(in Input) *clusterv1.MachineHealthCheck {
	asked := in.Pool.Spec.Remediation
	if !ptr.Deref(asked.Enabled, true) {
		return nil
	}
	patience := ptr.To(asked.UnhealthyTimeoutSeconds)
	return &clusterv1.MachineHealthCheck{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "MachineHealthCheck"},
		ObjectMeta: in.owned(in.Pool.Name),
		Spec: clusterv1.MachineHealthCheckSpec{
			ClusterName: in.Cluster,
			Selector:    in.selector(),
			Checks: clusterv1.MachineHealthCheckChecks{
				NodeStartupTimeoutSeconds: ptr.To(int32(startupTime(in.Pool.Spec).Seconds())),
				// False is a machine that failed or lost its power; one on its way is Unknown
				// (readiness in controllers/hostmachine).
				UnhealthyMachineConditions: []clusterv1.UnhealthyMachineCondition{
					{Type: clusterv1.MachineInfrastructureReadyCondition, Status: metav1.ConditionFalse, TimeoutSeconds: patience},
				},
				UnhealthyNodeConditions: []clusterv1.UnhealthyNodeCondition{
					{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, TimeoutSeconds: patience},
					{Type: corev1.NodeReady, Status: corev1.ConditionFalse, TimeoutSeconds: patience},
				},
			},
			Remediation: clusterv1.MachineHealthCheckRemediation{
				TriggerIf: clusterv1.MachineHealthCheckRemediationTriggerIf{UnhealthyLessThanOrEqualTo: asked.MaxUnhealthy},
			},
		},
	}
}

// startupTime is how long a machine may take from being made to being a Node: each host that a claim
// tries may take its time, and then it has to boot and join.
func startupTime(spec teapotv1.WorkerPoolSpec) time.Duration {
	perHost, err := time.ParseDuration(spec.ProvisioningTimeout)
	if err != nil {
		perHost = defaultProvisioningTimeout // the schema lets nothing else than a duration through
	}
	return hostsTried*perHost + joinTime
}

// owned is the metadata of an object of the pool.
func (in Input) owned(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: in.Pool.Namespace, Name: name,
		Labels: map[string]string{
			teapotv1.ManagedByLabel:    teapotv1.ManagedByTeapot,
			teapotv1.PoolLabel:         in.Pool.Name,
			clusterv1.ClusterNameLabel: in.Cluster,
		},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(in.Pool, teapotv1.GroupVersion.WithKind("WorkerPool"))},
	}
}

// selector selects the pool's Machines: as Cluster API itself would by default.
func (in Input) selector() metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{
		clusterv1.ClusterNameLabel:           in.Cluster,
		clusterv1.MachineDeploymentNameLabel: in.Pool.Name,
	}}
}

// machineLabels are on each Machine, and from there on its HostMachine and MachineClaim.
func (in Input) machineLabels() map[string]string {
	labels := in.selector().MatchLabels
	labels[teapotv1.PoolLabel] = in.Pool.Name
	for key, value := range in.Pool.Spec.Labels {
		if isSynced(key) {
			labels[key] = string(value)
		}
	}
	return labels
}

// isSynced says whether Cluster API brings a label of a Machine to its Node (GetManagedLabels in
// util/labels/helpers.go, v1.14.2). Others are given to the kubelet.
func isSynced(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == clusterv1.NodeRoleLabelPrefix ||
		isOrBelow(domain, clusterv1.NodeRestrictionLabelDomain) || isOrBelow(domain, clusterv1.ManagedNodeLabelDomain)
}

func isOrBelow(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}
