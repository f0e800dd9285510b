package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// isolation is what TestIsolation works on.
type isolation struct {
	// tenant has the outpost for an OIDC issuer; neighbour is another tenant.
	tenant, neighbour *teapotv1.TenantControlPlane
	// controlPlane and etcd are the tenant's pods.
	controlPlane, etcd corev1.Pod
	// user is the tenant's administrator.
	user *kubernetes.Clientset
	// outpost is a listener at the node's address, where no tenant has business.
	outpost *webhook
	// bystander is a pod in a namespace that has no policies.
	bystander corev1.Pod
}

// TestIsolation tries the flows that a control plane needs and those that nobody should have,
// with policies enforced. Each step stands on the one before.
func TestIsolation(t *testing.T) {
	namespace := tenantNamespace(t)
	i := &isolation{outpost: serveWebhook(t, node.NetNS, node.NodeIP)}
	i.tenant = newTenant(t, namespace, "isolated",
		teapotv1.ExtraArg{Name: "oidc-issuer-url", Value: i.issuer()}, teapotv1.ExtraArg{Name: "oidc-client-id", Value: "teapot"})
	i.neighbour = newTenant(t, namespace, "neighbour")
	becomes(t, i.tenant, metav1.ConditionTrue, readyWithin)
	becomes(t, i.neighbour, metav1.ConditionTrue, readyWithin)
	i.controlPlane, i.etcd = pods(t, i.tenant, controlplane.ControlPlaneName)[0], pods(t, i.tenant, controlplane.EtcdName)[0]
	_, i.user = asUser(t, namespace, i.tenant.Name)
	i.bystander = newBystander(t, namespace)
	sent := i.countPackets(t)

	t.Run("an OIDC issuer at a management address is not connected to", i.oidcIsInVain)
	t.Run("webhooks at management addresses are not connected to", i.webhooksAreInVain)
	t.Run("nodes and Services of the tenant lead to no management address", i.proxiesAreInVain)
	if n := i.outpost.connections.Load(); n > 0 {
		t.Errorf("tenants' API servers connected %d times to the management cluster", n)
	}
	if n := sent(); n > 0 {
		t.Errorf("the tenant's pods sent %d packets to others than its etcd", n)
	}
	t.Run("wanted flows", i.wantedFlows)
	t.Run("unwanted flows", i.unwantedFlows)
	if sent() == 0 {
		t.Error("packets from inside the pods were not counted")
	}
}

func newTenant(t *testing.T, namespace, name string, args ...teapotv1.ExtraArg) *teapotv1.TenantControlPlane {
	t.Helper()
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	tcp.Spec.Version = node.KubernetesVersion
	tcp.Spec.Components.APIServer.ExtraArgs = args
	if err := management.Create(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// newBystander starts a pod that is free to go anywhere.
func newBystander(t *testing.T, namespace string) corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bystander"},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](0),
			Containers:                    []corev1.Container{{Name: "pause", Image: imageset.PauseImage}},
		},
	}
	eventually(t, time.Minute, "the namespace's service account", func(ctx context.Context) error { return management.Create(ctx, pod) })
	eventually(t, time.Minute, "the bystander to run", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			return fmt.Errorf("status is %+v", pod.Status)
		}
		return nil
	})
	return *pod
}

// inside is the network namespace of a pod, by one of its processes.
func inside(t *testing.T, pod corev1.Pod, process string) string {
	t.Helper()
	return fmt.Sprintf("/proc/%d/ns/net", processOf(t, pod, process).Pid)
}

// issuer is the URL of the outpost without a path.
func (i *isolation) issuer() string { return strings.TrimSuffix(i.outpost.url, "/validate") }

// countPackets counts at the node what the tenant's pods send on their own account, to
// whomever, before any policy judges it. Replies do not count, nor does what the API server
// has to say to etcd.
func (i *isolation) countPackets(t *testing.T) (read func() int) {
	t.Helper()
	const table = "inet teapot-e2e-isolation"
	nft := func(input string, args ...string) string {
		command := exec.Command("nft", args...)
		command.Stdin = strings.NewReader(input)
		var out []byte
		if err := netdial.Do(node.NetNS, func() (err error) { out, err = command.CombinedOutput(); return err }); err != nil {
			t.Fatalf("nft %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	// Between conntrack (-200) and the translation of Services (-100).
	nft(fmt.Sprintf(`
table %[1]s
delete table %[1]s
table %[1]s {
	counter sent {}
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		ct direction reply accept
		ip saddr %[2]s tcp dport %[4]d ip daddr { %[5]s, %[3]s } accept
		ip saddr { %[2]s, %[3]s } counter name sent
	}
}`, table, i.controlPlane.Status.PodIP, i.etcd.Status.PodIP, controlplane.PortEtcdClient, i.service(t, i.tenant, controlplane.EtcdName).Spec.ClusterIP), "-f", "-")
	t.Cleanup(func() { nft("", append([]string{"delete", "table"}, strings.Fields(table)...)...) })
	return func() int {
		out := nft("", append([]string{"list", "counter"}, append(strings.Fields(table), "sent")...)...)
		found := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("no packets in %q", out)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func (i *isolation) service(t *testing.T, tcp *teapotv1.TenantControlPlane, name string) *corev1.Service {
	t.Helper()
	service := &corev1.Service{}
	if err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Status.Namespace, Name: name}, service); err != nil {
		t.Fatal(err)
	}
	return service
}

// oidcIsInVain makes the request for which the API server would need its issuer, and waits
// until that was tried. Were the flags passed on, kube-apiserver would dial the issuer itself
// and the network policy alone would be in its way; packets that it drops are counted, too.
//
// No field of a control plane sets an audit webhook, whose URL is in a file. The dials from
// inside the pod, below, stand for that one too.
func (i *isolation) oidcIsInVain(t *testing.T) {
	user, _ := asUser(t, i.tenant.Namespace, i.tenant.Name)
	pod := i.controlPlane
	segment := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	stranger := rest.AnonymousClientConfig(user)
	stranger.BearerToken = strings.Join([]string{
		segment(`{"alg":"RS256","kid":"e2e"}`),
		segment(fmt.Sprintf(`{"iss":%q,"aud":"teapot","sub":"e2e","exp":%d}`, i.issuer(), time.Now().Add(time.Hour).Unix())),
		segment("no signature"),
	}, ".")
	_, err := kubernetes.NewForConfigOrDie(stranger).AuthenticationV1().SelfSubjectReviews().
		Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("a token of an issuer that cannot be reached: %v", err)
	}
	eventually(t, time.Minute, "the API server to try the issuer", func(ctx context.Context) error {
		log, err := clientset.CoreV1().Pods(pod.Namespace).
			GetLogs(pod.Name, &corev1.PodLogOptions{Container: controlplane.ContainerAPIServer}).DoRaw(ctx)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, i.issuer()+"/.well-known/openid-configuration") {
				return nil
			}
		}
		return errors.New("its log does not name the issuer's discovery document")
	})
}

// webhooksAreInVain aims webhooks at the management API, by its node's and its Service's
// address, and at the outpost.
func (i *isolation) webhooksAreInVain(t *testing.T) {
	for name, hook := range map[string]*webhook{
		"node":    {url: fmt.Sprintf("https://%s:6443/", node.NodeIP), caBundle: config.CAData},
		"service": {url: "https://" + net.JoinHostPort(managementService(t), "443") + "/", caBundle: config.CAData},
		"outpost": i.outpost,
	} {
		t.Run(name, func(t *testing.T) {
			hook.register(t, i.user, name)
			eventually(t, 30*time.Second, "the webhook to be asked for", func(ctx context.Context) error {
				err := createLabelled(ctx, i.user, name, name)
				if err == nil {
					// The API server has not heard of the webhook yet.
					return fmt.Errorf("deleting to try again: %w", i.user.CoreV1().ConfigMaps("default").Delete(ctx, name, metav1.DeleteOptions{}))
				}
				// It went to konnectivity, which has no agent to hand it to.
				if !strings.Contains(err.Error(), "failed calling webhook") || !strings.Contains(err.Error(), "No agent available") {
					return err
				}
				return nil
			})
		})
	}
}

// managementService is the address of the Service of the management cluster's API.
func managementService(t *testing.T) string {
	t.Helper()
	service, err := clientset.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// proxiesAreInVain registers a node and a Service of the tenant at the outpost's address and
// asks the API server to go there.
func (i *isolation) proxiesAreInVain(t *testing.T) {
	host, portText, err := net.SplitHostPort(strings.TrimPrefix(i.issuer(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(portText, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	port := int32(number)
	// As kubelets do, with its status from the start.
	machine := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "intruder"}}
	machine.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	machine.Status.DaemonEndpoints.KubeletEndpoint.Port = port
	if _, err := i.user.CoreV1().Nodes().Create(t.Context(), machine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "intruder"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}},
	}
	if _, err := i.user.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The API server's proxy reads Endpoints still.
	endpoints := &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "intruder"},
		Subsets:    []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: host}}, Ports: []corev1.EndpointPort{{Port: port}}}},
	}
	if _, err := i.user.CoreV1().Endpoints("default").Create(t.Context(), endpoints, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		fmt.Sprintf("/api/v1/nodes/https:intruder:%d/proxy/", port),
		fmt.Sprintf("/api/v1/namespaces/default/services/https:intruder:%d/proxy/", port),
	} {
		if out, err := i.user.RESTClient().Get().AbsPath(path).DoRaw(t.Context()); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("%s, without an agent: %v, %s", path, err, out)
		}
	}
}
