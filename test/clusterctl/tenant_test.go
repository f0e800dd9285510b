package clusterctl

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// pods plays what the management cluster would run of one control plane: its etcd, whose data
// outlives it, and its kube-apiserver, by the command and with the keys that Teapot gives it.
type pods struct {
	owner types.NamespacedName
	// data is etcd's volume.
	data      string
	etcd, api *program
	client    client.Client
}

func (p *pods) namespace() string { return controlplane.Namespace(p.owner) }

// play starts the pods when Teapot asks for them, and says so in the status of what asks.
func (p *pods) play(t *testing.T, m *management) {
	t.Helper()
	deployment, etcd := &appsv1.Deployment{}, &appsv1.StatefulSet{}
	if missing(t, m, p.namespace(), controlplane.ControlPlaneName, deployment) || missing(t, m, p.namespace(), controlplane.EtcdName, etcd) {
		return
	}
	if p.api == nil {
		p.start(t, m, deployment)
	}
	if etcd.Status.ReadyReplicas == *etcd.Spec.Replicas && deployment.Status.ObservedGeneration == deployment.Generation {
		return
	}
	for i := range *etcd.Spec.Replicas {
		volume := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p.namespace(), Name: fmt.Sprintf("%s-%s-%d", controlplane.EtcdVolume, etcd.Name, i),
				Labels: etcd.Spec.VolumeClaimTemplates[0].Labels,
			},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}
		if err := m.client.Create(t.Context(), volume); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	n := *etcd.Spec.Replicas
	etcd.Status = appsv1.StatefulSetStatus{ObservedGeneration: etcd.Generation, Replicas: n, ReadyReplicas: n, AvailableReplicas: n, UpdatedReplicas: n}
	must(t, ignoreRace(m.client.Status().Update(t.Context(), etcd)))
	n = *deployment.Spec.Replicas
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: n, ReadyReplicas: n, AvailableReplicas: n, UpdatedReplicas: n}
	must(t, ignoreRace(m.client.Status().Update(t.Context(), deployment)))
}

func missing(t *testing.T, m *management, namespace, name string, object client.Object) bool {
	t.Helper()
	err := m.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, object)
	must(t, client.IgnoreNotFound(err))
	return err != nil
}

// start starts etcd and the API server.
func (p *pods) start(t *testing.T, m *management, deployment *appsv1.Deployment) {
	t.Helper()
	pod := deployment.Spec.Template.Spec
	at := slices.IndexFunc(pod.InitContainers, func(c corev1.Container) bool { return c.Name == "kube-apiserver" })
	container := pod.InitContainers[at]
	keys := p.mount(t, m, pod)
	service := &corev1.Service{}
	must(t, m.client.Get(t.Context(), types.NamespacedName{Namespace: p.namespace(), Name: controlplane.ControlPlaneName}, service))
	port := service.Spec.Ports[0].NodePort

	assets := os.Getenv(apiserver.AssetsVariable)
	clients, peers := freePort(t), freePort(t)
	address := func(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
	p.etcd = start(t, "the tenant's etcd", filepath.Join(assets, "etcd"), nil, "--data-dir="+p.data, "--unsafe-no-fsync",
		"--listen-client-urls="+address(clients), "--advertise-client-urls="+address(clients), "--listen-peer-urls="+address(peers),
		"--force-new-cluster") // its address is another at each start

	args := []string{fmt.Sprintf("--secure-port=%d", port), "--bind-address=" + ownAddress(t), "--etcd-servers=" + address(clients)}
	for _, arg := range container.Command[1:] {
		// Without konnectivity there is no egress, and this etcd asks for no certificate.
		if name, _, _ := strings.Cut(arg, "="); !slices.Contains([]string{
			"--secure-port", "--etcd-servers", "--etcd-cafile", "--etcd-certfile", "--etcd-keyfile", "--egress-selector-config-file",
		}, name) {
			args = append(args, strings.ReplaceAll(arg, "/etc/kubernetes/pki", keys))
		}
	}
	p.api = start(t, "the tenant's kube-apiserver", filepath.Join(assets, "kube-apiserver"), nil, args...)
	insecure := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	eventually(t, "the tenant's API", func() error {
		answer, err := insecure.Get(fmt.Sprintf("https://%s:%d/livez", ownAddress(t), port)) // asked without a certificate it says 401 at least
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
}

// mount writes the Secret of the API server's volume to a folder.
func (p *pods) mount(t *testing.T, m *management, pod corev1.PodSpec) string {
	t.Helper()
	folder := t.TempDir()
	at := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "kube-apiserver" })
	source := pod.Volumes[at].Secret
	secret := &corev1.Secret{}
	must(t, m.client.Get(t.Context(), types.NamespacedName{Namespace: p.namespace(), Name: source.SecretName}, secret))
	for _, item := range source.Items {
		must(t, os.WriteFile(filepath.Join(folder, item.Path), secret.Data[item.Key], 0o600))
	}
	return folder
}

// stop ends the pods, the API server first, so that all that it was told is in etcd.
func (p *pods) stop() {
	if p.api != nil {
		p.api.stop()
		p.etcd.stop()
	}
	p.api, p.etcd, p.client = nil, nil, nil
}

// tenant is a client of the tenant's API, by the kubeconfig that Teapot wrote for users.
func (p *pods) tenant(t *testing.T, m *management) client.Client {
	t.Helper()
	if p.client != nil {
		return p.client
	}
	secret := &corev1.Secret{}
	must(t, m.client.Get(t.Context(), types.NamespacedName{Namespace: p.owner.Namespace, Name: p.owner.Name + "-kubeconfig"}, secret))
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["value"])
	must(t, err)
	p.client, err = client.New(config, client.Options{})
	must(t, err)
	return p.client
}

// join makes the Node of a machine, with the name and the id that the machine was told.
func (p *pods) join(t *testing.T, m *management, name, providerID string) {
	t.Helper()
	c := p.tenant(t, m)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	err := c.Create(t.Context(), node)
	if apierrors.IsAlreadyExists(err) {
		return
	}
	must(t, err)
	node.Status.NodeInfo.KubeletVersion = version
	for kind, status := range map[corev1.NodeConditionType]corev1.ConditionStatus{
		corev1.NodeReady: corev1.ConditionTrue, corev1.NodeMemoryPressure: corev1.ConditionFalse,
		corev1.NodeDiskPressure: corev1.ConditionFalse, corev1.NodePIDPressure: corev1.ConditionFalse,
	} {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		})
	}
	must(t, c.Status().Update(context.WithoutCancel(t.Context()), node))
}

// ignoreRace passes by what a manager did in the meantime.
func ignoreRace(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}
