package konnectivity

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// agentCredentials is where an agent finds its token and the authority's certificate.
	agentCredentials = "/var/run/secrets/konnectivity"
	tokenName        = "token"
	caName           = "ca.crt"

	// rootCAConfigMap holds, in every namespace, the certificate that the API server is
	// trusted by. kube-controller-manager publishes it.
	rootCAConfigMap = "kube-root-ca.crt"

	// agentUser is an ordinary user; the number is that of "nonroot" in distroless images.
	agentUser = 65532

	// tokenSeconds is how long an agent's token lives; the kubelet renews it in time.
	tokenSeconds = 3600

	// agentGraceSeconds is how long an agent's pod is given to stop. An agent that was
	// told to stop serves the connections that it has until it is killed, so this is how
	// long stopping takes.
	agentGraceSeconds = 10

	// agentLabel selects the agents' pods. It is upstream's label.
	agentLabel = "k8s-app"
)

// Objects returns what stands inside the tenant's cluster, in the order in which it can
// be applied: the right of the server to have tokens reviewed, and the agents.
//
// Agents are a DaemonSet of the machines' own network, so that they work before there is
// a pod network, and tolerate every taint: while a machine has no agent the API server
// cannot reach it.
func (a Agent) Objects() ([]runtime.Object, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	return []runtime.Object{a.serviceAccount(), a.serverBinding(), a.daemonSet()}, nil
}

func (a Agent) serviceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentServiceAccount, Namespace: AgentNamespace},
		// The agent calls no API; the one token that it needs is mounted below.
		AutomountServiceAccountToken: new(false),
	}
}

// serverBinding lets the server create TokenReviews, by which it checks agents' tokens.
func (a Agent) serverBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: ServerUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: ServerUser}},
	}
}

func (a Agent) daemonSet() *appsv1.DaemonSet {
	labels := map[string]string{agentLabel: AgentServiceAccount}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentServiceAccount, Namespace: AgentNamespace, Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromString("10%"))},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       a.podSpec(),
			},
		},
	}
}

func (a Agent) podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName:            AgentServiceAccount,
		AutomountServiceAccountToken:  new(false),
		PriorityClassName:             "system-node-critical",
		HostNetwork:                   true,
		NodeSelector:                  map[string]string{corev1.LabelOSStable: string(corev1.Linux)},
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		TerminationGracePeriodSeconds: new(int64(agentGraceSeconds)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(int64(agentUser)),
			RunAsGroup:     new(int64(agentUser)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name:            AgentServiceAccount,
			Image:           AgentImage,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Command:         []string{AgentCommand},
			Args:            a.Args(),
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("10m"),
				corev1.ResourceMemory: resource.MustParse("32Mi"),
			}},
			LivenessProbe:  agentProbe("/healthz"),
			ReadinessProbe: agentProbe("/readyz"),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false),
				ReadOnlyRootFilesystem:   new(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: []corev1.VolumeMount{{Name: "credentials", MountPath: agentCredentials, ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{
			Name: "credentials",
			VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
					Audience: Audience, ExpirationSeconds: new(int64(tokenSeconds)), Path: tokenName,
				}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: rootCAConfigMap},
					Items:                []corev1.KeyToPath{{Key: caName, Path: caName}},
				}},
			}}},
		}},
	}
}

// agentProbe asks on the loopback address, where the kubelet is too.
func agentProbe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Scheme: corev1.URISchemeHTTP, Host: "127.0.0.1", Port: intstr.FromInt32(AgentHealthPort), Path: path,
		}},
		TimeoutSeconds: 15,
	}
}
