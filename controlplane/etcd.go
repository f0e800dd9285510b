package controlplane

import (
	"fmt"
	"path"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// EtcdVolume is the name of the volume claim template of etcd's members; the claims are
// etcd-data-etcd-<ordinal>.
const EtcdVolume = "etcd-data"

// EtcdQuorum is how many of a number of members must be healthy for etcd to serve.
func EtcdQuorum(members int32) int32 { return members/2 + 1 }

// etcdPeerHosts are the names of the members. The short form is completed by the search
// path of the pods, so that the management cluster's DNS domain need not be known.
func etcdPeerHosts(in Input) []string {
	hosts := make([]string, Size(in.Spec).EtcdMembers)
	for ordinal := range hosts {
		hosts[ordinal] = fmt.Sprintf("%s-%d.%s.%s.svc", EtcdName, ordinal, EtcdPeerName, in.Namespace())
	}
	return hosts
}

// StatefulSet renders etcd. Its members start in parallel, since none is ready without
// the others.
func StatefulSet(in Input) (*appsv1.StatefulSet, error) {
	images, err := ImagesFor(in.ImageRepository(), in.Spec.Version)
	if err != nil {
		return nil, err
	}
	hash, err := in.Credentials.etcdRestartHash()
	if err != nil {
		return nil, err
	}
	pod := podSpec(in, EtcdName)
	pod.Containers = []corev1.Container{etcdContainer(in, images.Etcd)}
	pod.Volumes = []corev1.Volume{secretVolume(ContainerEtcd, EtcdName)}
	labels := ComponentLabels(in.Owner, EtcdName)
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: in.meta(EtcdName),
		Spec: appsv1.StatefulSetSpec{
			Replicas:             ptr.To(DesiredScale(in).EtcdMembers),
			ServiceName:          EtcdPeerName,
			PodManagementPolicy:  appsv1.ParallelPodManagement,
			RevisionHistoryLimit: ptr.To[int32](2),
			// The API server's default, which it does not put back if somebody changes a part of it.
			UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
				Type:          appsv1.RollingUpdateStatefulSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](0)},
			},
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{credentialsHashAnnotation: hash}},
				Spec:       pod,
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: EtcdVolume, Labels: OwnerLabels(in.Owner)},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					StorageClassName: in.Spec.Datastore.Etcd.StorageClassName,
					Resources: corev1.VolumeResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceStorage: in.Spec.Datastore.Etcd.StorageSize},
					},
				},
			}},
		},
	}, nil
}

func etcdContainer(in Input, image string) corev1.Container {
	hosts := etcdPeerHosts(in)
	cluster := make([]string, len(hosts))
	for ordinal, host := range hosts {
		cluster[ordinal] = fmt.Sprintf("%s-%d=https://%s:%d", EtcdName, ordinal, host, PortEtcdPeer)
	}
	self := fmt.Sprintf("https://$(POD_NAME).%s.%s.svc", EtcdPeerName, in.Namespace())
	args := []string{
		fmt.Sprintf("--advertise-client-urls=%s:%d", self, PortEtcdClient),
		"--cert-file=" + credential("server.crt"),
		"--client-cert-auth=true",
		// Below the mount point: a file system's own lost+found is not etcd's.
		"--data-dir=" + path.Join(etcdDataDir, "data"),
		"--feature-gates=InitialCorruptCheck=true",
		fmt.Sprintf("--initial-advertise-peer-urls=%s:%d", self, PortEtcdPeer),
		"--initial-cluster=" + strings.Join(cluster, ","),
		"--initial-cluster-state=new",
		// Two clusters never mix, should an address be given to another's pod.
		"--initial-cluster-token=" + in.Namespace(),
		"--key-file=" + credential("server.key"),
		fmt.Sprintf("--listen-client-urls=https://0.0.0.0:%d", PortEtcdClient),
		fmt.Sprintf("--listen-metrics-urls=http://0.0.0.0:%d", PortEtcdMetrics),
		fmt.Sprintf("--listen-peer-urls=https://0.0.0.0:%d", PortEtcdPeer),
		"--name=$(POD_NAME)",
		"--peer-cert-file=" + credential("peer.crt"),
		"--peer-client-cert-auth=true",
		"--peer-key-file=" + credential("peer.key"),
		// A peer's certificate must be of our authority; that its address resolves back
		// to the name in it is not asked, since pod addresses change.
		"--peer-skip-client-san-verification=true",
		"--peer-trusted-ca-file=" + credential("etcd-ca.crt"),
		"--snapshot-count=10000",
		"--trusted-ca-file=" + credential("etcd-ca.crt"),
		"--watch-progress-notify-interval=5s",
	}
	if len(hosts) == 1 {
		// A lone member has nobody to wait for, and still serves only after an election; with
		// the defaults (100 ms, 1 s) that is up to a second of every start. The election
		// time-out must be at least five heartbeats:
		// https://etcd.io/docs/v3.6/tuning/#time-parameters
		args = append(args, "--election-timeout=250", "--heartbeat-interval=50")
	}
	c := container(ContainerEtcd, image, command("etcd", args, in.Spec.Components.Etcd), resources(requests("20m", "64Mi"), in.Spec.Components.Etcd))
	c.Env = append(c.Env, corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"},
	}})
	c.Ports = []corev1.ContainerPort{
		{Name: "client", ContainerPort: PortEtcdClient, Protocol: corev1.ProtocolTCP},
		{Name: "peer", ContainerPort: PortEtcdPeer, Protocol: corev1.ProtocolTCP},
	}
	// etcd 3.6's /readyz asks for a linearizable read, so a ready member has quorum behind it:
	// https://etcd.io/docs/v3.6/op-guide/monitoring/#health-check
	c.StartupProbe = startUp(corev1.URISchemeHTTP, PortEtcdMetrics, "/readyz")
	c.ReadinessProbe = probe(corev1.URISchemeHTTP, PortEtcdMetrics, "/readyz", 3, 5, 2)
	c.LivenessProbe = probe(corev1.URISchemeHTTP, PortEtcdMetrics, "/livez", 10, 10, 6)
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: EtcdVolume, MountPath: etcdDataDir})
	return c
}
