package controlplane

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/konnectivity"
)

// Where things are mounted. A container sees its own Secret and no other.
const (
	credentialsDir = "/etc/kubernetes/pki"
	etcdDataDir    = "/var/lib/etcd"
)

// konnectivitySocket is in the abstract namespace of Unix sockets (unix(7)), which a pod's
// containers share with its network. A file would need a volume that all of them see alike:
// inside gVisor each container has its own view of an emptyDir unless annotations say
// otherwise, and Kata's depends on its version.
const konnectivitySocket = "@konnectivity-server"

// user is the UID and GID of every container: "nonroot" of distroless images, the one
// that upstream's CoreDNS and konnectivity images run as.
const user int64 = 65532

// credentialsHashAnnotation rolls the pods when a file changes that its component reads
// only once, at start.
const credentialsHashAnnotation = "teapot.dev/credentials-hash"

// Deployment renders the control-plane pods: one pod per replica with every component in
// it, so that nothing can crash-loop at start (each container starts when the one before
// it answers) and the API server outlives its clients at the end. Restartable init
// containers: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
func Deployment(in Input) (*appsv1.Deployment, error) {
	images, err := ImagesFor(in.ImageRepository(), in.Spec.Version)
	if err != nil {
		return nil, err
	}
	pod := podSpec(in, ControlPlaneName)
	if in.Konnectivity() {
		pod.InitContainers = append(pod.InitContainers, konnectivityContainer(in, images.KonnectivityServer))
		pod.Volumes = append(pod.Volumes, filesVolume(in, ContainerKonnectivityServer))
	}
	pod.InitContainers = append(pod.InitContainers, apiServerContainer(in, images.APIServer))
	pod.Containers = []corev1.Container{
		controllerManagerContainer(in, images.ControllerManager),
		schedulerContainer(in, images.Scheduler),
	}
	pod.Volumes = append(pod.Volumes,
		filesVolume(in, ContainerAPIServer), filesVolume(in, ContainerControllerManager), filesVolume(in, ContainerScheduler))
	hash, err := in.Credentials.restartHash(in)
	if err != nil {
		return nil, err
	}
	labels := ComponentLabels(in.Owner, ControlPlaneName)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: in.meta(ControlPlaneName),
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr.To(DesiredScale(in).Replicas),
			Selector:             &metav1.LabelSelector{MatchLabels: labels},
			RevisionHistoryLimit: ptr.To[int32](2),
			// Surge first: the old replica serves until the new one answers.
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxUnavailable: ptr.To(intstr.FromInt32(0)), MaxSurge: ptr.To(intstr.FromInt32(1)),
				},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
					credentialsHashAnnotation: hash,
					// kubectl logs and exec mean the API server unless told otherwise.
					"kubectl.kubernetes.io/default-container": ContainerAPIServer,
				}},
				Spec: pod,
			},
		},
	}, nil
}

// DisruptionBudget keeps voluntary disruptions from taking more than one replica. It is
// nil for a single replica, whose node could otherwise never be drained.
func DisruptionBudget(in Input, component string, size int32) client.Object {
	if size < 2 {
		return nil
	}
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: in.meta(component),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: ComponentLabels(in.Owner, component)},
		},
	}
}

// podSpec is what the pods of both components share.
func podSpec(in Input, component string) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName:           component,
		AutomountServiceAccountToken: ptr.To(false),
		EnableServiceLinks:           ptr.To(false),
		RuntimeClassName:             in.Spec.RuntimeClassName,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(user), RunAsGroup: ptr.To(user), FSGroup: ptr.To(user),
			// A volume that belongs to the group already need not be walked at each start.
			FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		NodeSelector:              nodeSelector(in.Spec.Scheduling),
		Tolerations:               tolerations(in.Spec.Scheduling),
		PriorityClassName:         in.Spec.Scheduling.PriorityClassName,
		TopologySpreadConstraints: spread(in, component),
	}
}

func nodeSelector(spec teapotv1.SchedulingSpec) map[string]string {
	if len(spec.NodeSelector) == 0 {
		return nil
	}
	selector := map[string]string{}
	for key, value := range spec.NodeSelector {
		selector[key] = string(value)
	}
	return selector
}

func tolerations(spec teapotv1.SchedulingSpec) []corev1.Toleration {
	var tolerations []corev1.Toleration
	for _, t := range spec.Tolerations {
		tolerations = append(tolerations, corev1.Toleration{
			Key: t.Key, Operator: t.Operator, Value: string(t.Value), Effect: t.Effect, TolerationSeconds: t.TolerationSeconds,
		})
	}
	return tolerations
}

// spread asks for pods of a component on different nodes, or whatever the spec names. It is
// a wish: a control plane on too few nodes is better than half of one.
func spread(in Input, component string) []corev1.TopologySpreadConstraint {
	keys := in.Spec.Scheduling.TopologyKeys
	if len(keys) == 0 {
		keys = []string{corev1.LabelHostname}
	}
	constraints := make([]corev1.TopologySpreadConstraint, len(keys))
	for i, key := range keys {
		constraints[i] = corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: ComponentLabels(in.Owner, component)},
		}
	}
	return constraints
}

// command is a program with Teapot's flags and then the spec's.
func command(program string, args []string, spec teapotv1.ComponentSpec) []string {
	return slices.Concat([]string{program}, args, extraArgs(spec))
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: secret,
		// Read by the owner and the pod's group, by nobody else.
		DefaultMode: ptr.To[int32](0o440),
	}}}
}

// filesVolume holds a container's own files of the pod's Secret.
func filesVolume(in Input, container string) corev1.Volume {
	volume := secretVolume(container, ControlPlaneName)
	for _, file := range filesOf(in, container) {
		volume.Secret.Items = append(volume.Secret.Items, corev1.KeyToPath{Key: file, Path: file})
	}
	return volume
}

// heapGrowth is Go's GOGC of each component, in percent: how much a heap may grow before it is
// collected. With Go's default of 100 an idle control plane holds about twice the memory that
// it uses. An idle component collects seldom either way, and what a busy one pays is measured:
// docs/benchmarks.md, request_p50_ms and request_p99_ms against a floor with the default.
// https://go.dev/doc/gc-guide#GOGC
const heapGrowth = "20"

func container(name, image string, command []string, resources corev1.ResourceRequirements) corev1.Container {
	return corev1.Container{
		Name: name, Image: image, Command: command, Resources: resources,
		// Never Always: a control plane must start while its registry is away.
		ImagePullPolicy: corev1.PullIfNotPresent,
		Env:             []corev1.EnvVar{{Name: "GOGC", Value: heapGrowth}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: name, MountPath: credentialsDir, ReadOnly: true}},
	}
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

func probe(scheme corev1.URIScheme, port int32, path string, period, timeout, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Scheme: scheme, Port: intstr.FromInt32(port), Path: path,
		}},
		PeriodSeconds: period, TimeoutSeconds: timeout, FailureThreshold: failures,
	}
}

// startUp probes each second, and for five minutes: a busy machine makes a start slow,
// and a restart in the midst of it would make it slower.
func startUp(scheme corev1.URIScheme, port int32, path string) *corev1.Probe {
	return probe(scheme, port, path, 1, 5, 300)
}

func konnectivityContainer(in Input, image string) corev1.Container {
	c := container(ContainerKonnectivityServer, image,
		command(konnectivity.ServerCommand, konnectivity.Server{
			Socket:     konnectivitySocket,
			CertFile:   credential("konnectivity-server.crt"),
			KeyFile:    credential("konnectivity-server.key"),
			Kubeconfig: credential(konnectivityServerConf),
			AgentPort:  PortKonnectivityAgent,
			HealthPort: PortKonnectivityHealth,
			Replicas:   Size(in.Spec).Replicas,
		}.Args(), in.Spec.Components.KonnectivityServer),
		resources(requests("5m", "32Mi"), in.Spec.Components.KonnectivityServer))
	c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	c.Ports = []corev1.ContainerPort{{Name: "agent", ContainerPort: PortKonnectivityAgent, Protocol: corev1.ProtocolTCP}}
	c.LivenessProbe = probe(corev1.URISchemeHTTP, PortKonnectivityHealth, konnectivity.ServerHealthPath, 10, 5, 6)
	return c
}

func apiServerContainer(in Input, image string) corev1.Container {
	c := container(ContainerAPIServer, image, command("kube-apiserver", apiServerArgs(in), teapotv1.ComponentSpec{ExtraArgs: withoutOIDC(in.Spec.Components.APIServer.ExtraArgs)}),
		resources(requests("40m", "256Mi"), in.Spec.Components.APIServer))
	c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	c.Ports = []corev1.ContainerPort{{Name: "https", ContainerPort: PortAPIServer, Protocol: corev1.ProtocolTCP}}
	c.StartupProbe = startUp(corev1.URISchemeHTTPS, PortAPIServer, "/readyz")
	c.ReadinessProbe = probe(corev1.URISchemeHTTPS, PortAPIServer, "/readyz", 3, 5, 2)
	// livez without etcd: restarting the API server does not bring etcd back.
	c.LivenessProbe = probe(corev1.URISchemeHTTPS, PortAPIServer, "/livez?exclude=etcd", 10, 10, 6)
	// Upstream's image gives the binary this file capability: without it in the bounding
	// set the kernel refuses to start the binary as an ordinary user.
	c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
	return c
}

func controllerManagerContainer(in Input, image string) corev1.Container {
	c := container(ContainerControllerManager, image, command("kube-controller-manager", controllerManagerArgs(in), in.Spec.Components.ControllerManager),
		resources(requests("10m", "64Mi"), in.Spec.Components.ControllerManager))
	c.LivenessProbe = probe(corev1.URISchemeHTTPS, PortControllerManager, "/healthz", 10, 10, 6)
	return c
}

func schedulerContainer(in Input, image string) corev1.Container {
	c := container(ContainerScheduler, image, command("kube-scheduler", schedulerArgs(), in.Spec.Components.Scheduler),
		resources(requests("5m", "32Mi"), in.Spec.Components.Scheduler))
	c.LivenessProbe = probe(corev1.URISchemeHTTPS, PortScheduler, "/healthz", 10, 10, 6)
	return c
}

// egressConfiguration is the API server's egress selector configuration: cluster and
// control-plane egress go through konnectivity's socket and nowhere else. Without
// konnectivity nobody listens on the socket, and those calls fail instead of being made
// from the management cluster.
func egressConfiguration(in Input) ([]byte, error) {
	socket := konnectivitySocket
	if !in.Konnectivity() {
		socket = konnectivity.AbsentSocket
	}
	return konnectivity.EgressSelectorConfiguration(socket)
}

// Workloads renders everything that runs and what it reads: etcd and the control plane
// are applied at once.
func Workloads(in Input) ([]client.Object, error) {
	statefulSet, err := StatefulSet(in)
	if err != nil {
		return nil, err
	}
	deployment, err := Deployment(in)
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	secrets, err := credentialSecrets(in)
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets {
		objects = append(objects, secret)
	}
	// etcd first: its volume takes the longest.
	objects = append(objects, statefulSet, deployment)
	size := Size(in.Spec)
	for _, budget := range []client.Object{
		DisruptionBudget(in, ControlPlaneName, size.Replicas),
		DisruptionBudget(in, EtcdName, size.EtcdMembers),
	} {
		if budget != nil {
			objects = append(objects, budget)
		}
	}
	return objects, nil
}
