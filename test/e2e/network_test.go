package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/konnectivity"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// webhook serves an admission webhook at an address inside a network namespace. It refuses
// objects whose name says so, and counts connections.
type webhook struct {
	url         string
	caBundle    []byte
	connections atomic.Int32
}

func serveWebhook(t *testing.T, namespace, ip string) *webhook {
	t.Helper()
	certificate, key, err := certutil.GenerateSelfSignedCertKey(ip, []net.IP{net.ParseIP(ip)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	if err := netdial.Do(namespace, func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(ip, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w := &webhook{url: "https://" + listener.Addr().String() + "/validate", caBundle: certificate}
	server := &http.Server{
		Handler:           http.HandlerFunc(refuseByName),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{pair}},
		ReadHeaderTimeout: 10 * time.Second,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				w.connections.Add(1)
			}
		},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	return w
}

func refuseByName(w http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil || review.Request == nil {
		http.Error(w, fmt.Sprint("not an AdmissionReview: ", err), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{
		UID: review.Request.UID, Allowed: !strings.Contains(review.Request.Name, "refused"),
		Result: &metav1.Status{Message: "the tests' webhook says no"},
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// register makes the tenant's API server ask the webhook about ConfigMaps with a label.
func (w *webhook) register(t *testing.T, user kubernetes.Interface, name string) {
	t.Helper()
	hooks := user.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := hooks.Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    name + ".e2e.teapot.dev",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To(w.url), CABundle: w.caBundle},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{"hook": name}},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](3),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hooks.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// createLabelled makes a ConfigMap that the webhook is asked about.
func createLabelled(ctx context.Context, user kubernetes.Interface, hook, name string) error {
	_, err := user.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"hook": hook}},
	}, metav1.CreateOptions{})
	return err
}

// noWayOut aims a tenant's webhook at an address of the management cluster: the call must
// fail, and nobody may have come.
func noWayOut(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	_, user := asUser(t, tcp.Namespace, tcp.Name)
	hook := serveWebhook(t, node.NetNS, node.NodeIP)
	hook.register(t, user, "outward")
	eventually(t, 30*time.Second, "the webhook to be asked for", func(ctx context.Context) error {
		err := createLabelled(ctx, user, "outward", "outward")
		if err == nil {
			// The API server has not heard of the webhook yet.
			return fmt.Errorf("deleting to try again: %w", user.CoreV1().ConfigMaps("default").Delete(ctx, "outward", metav1.DeleteOptions{}))
		}
		if !strings.Contains(err.Error(), "failed calling webhook") {
			return err
		}
		return nil
	})
	if n := hook.connections.Load(); n > 0 {
		t.Errorf("the tenant's API server connected %d times to the management cluster", n)
	}
}

// machineJoins runs, on the tests' machine, the real kube-proxy and konnectivity agent by
// what Teapot wrote into the tenant's cluster.
func machineJoins(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	_, user := asUser(t, tcp.Namespace, tcp.Name)
	newMachine(t)

	machine := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0", Labels: map[string]string{corev1.LabelHostname: "machine-0"}}}
	if _, err := user.CoreV1().Nodes().Create(t.Context(), machine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "CoreDNS to be scaled up for the first machine", func(ctx context.Context) error {
		coreDNS, err := user.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		if err == nil && *coreDNS.Spec.Replicas == 0 {
			err = fmt.Errorf("it has 0 replicas")
		}
		return err
	})

	directory := t.TempDir()
	kubeconfig := filepath.Join(directory, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(teapot(t, "kubeconfig", tcp.Name, "--namespace", tcp.Namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	onMachine(t, binary(t, "kube-proxy"), "--kubeconfig="+kubeconfig, "--proxy-mode=nftables", "--hostname-override=machine-0",
		"--conntrack-max-per-core=0", "--conntrack-min=0", "--cluster-cidr="+tcp.Spec.Network.PodCIDR)

	podsReachTheAPI(t, user)
	agentCarriesWebhooks(t, user, directory)
}

// podsReachTheAPI makes the request of a pod with in-cluster configuration (rest.InClusterConfig):
// the Service's address, a service-account token, the authority from kube-root-ca.crt.
func podsReachTheAPI(t *testing.T, user kubernetes.Interface) {
	t.Helper()
	token := requestToken(t, user, "default", "default", nil)
	authority := rootAuthority(t, user, "default")
	service, err := user.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := kubernetes.NewForConfigOrDie(&rest.Config{
		Host:            "https://" + net.JoinHostPort(service.Spec.ClusterIP, "443"),
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(authority)},
		Dial:            netdial.Dialer(machinePath),
		Timeout:         5 * time.Second,
	})
	eventually(t, time.Minute, "an answer to a pod", func(ctx context.Context) error {
		review, err := pod.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil && review.Status.UserInfo.Username != "system:serviceaccount:default:default" {
			t.Fatalf("the pod is taken for %s", review.Status.UserInfo.Username)
		}
		return err
	})
}

// rootAuthority is what pods trust the API server by. The controller-manager makes it, and
// the service accounts; one that was killed gets its lease back after 15 s.
func rootAuthority(t *testing.T, user kubernetes.Interface, namespace string) string {
	t.Helper()
	var configMap *corev1.ConfigMap
	eventually(t, time.Minute, "kube-root-ca.crt", func(ctx context.Context) (err error) {
		configMap, err = user.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	return configMap.Data["ca.crt"]
}

func requestToken(t *testing.T, user kubernetes.Interface, namespace, account string, audiences []string) string {
	t.Helper()
	var request *authenticationv1.TokenRequest
	eventually(t, time.Minute, "service account "+account, func(ctx context.Context) (err error) {
		request, err = user.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account,
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		return err
	})
	return request.Status.Token
}

// agentCarriesWebhooks runs the agent with the arguments of the rendered DaemonSet; only
// the two files are where the test put them instead of where a pod would find them.
func agentCarriesWebhooks(t *testing.T, user kubernetes.Interface, directory string) {
	t.Helper()
	daemonSet, err := user.AppsV1().DaemonSets(konnectivity.AgentNamespace).Get(t.Context(), konnectivity.AgentServiceAccount, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"--service-account-token-path": requestToken(t, user, konnectivity.AgentNamespace, konnectivity.AgentServiceAccount, []string{konnectivity.Audience}),
		"--ca-cert":                    rootAuthority(t, user, konnectivity.AgentNamespace),
	}
	container := daemonSet.Spec.Template.Spec.Containers[0]
	var args []string
	for _, arg := range append(container.Command, container.Args...)[1:] {
		flag, _, _ := strings.Cut(arg, "=")
		if content, ok := files[flag]; ok {
			path := filepath.Join(directory, strings.TrimLeft(flag, "-"))
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			arg = flag + "=" + path
			delete(files, flag)
		}
		args = append(args, arg)
	}
	if len(files) > 0 {
		t.Fatalf("the DaemonSet's arguments %v lack %v", args, files)
	}
	onMachine(t, binary(t, "proxy-agent"), args...)

	hook := serveWebhook(t, machinePath, hiddenIP)
	hook.register(t, user, "inward")
	eventually(t, time.Minute, "the webhook behind the agent to refuse", func(ctx context.Context) error {
		err := createLabelled(ctx, user, "inward", "refused")
		if err == nil {
			return fmt.Errorf("deleting to try again: %w", user.CoreV1().ConfigMaps("default").Delete(ctx, "refused", metav1.DeleteOptions{}))
		}
		if !strings.Contains(err.Error(), "the tests' webhook says no") {
			return err
		}
		return nil
	})
	if err := createLabelled(t.Context(), user, "inward", "allowed"); err != nil {
		t.Errorf("the webhook allowed it: %v", err)
	}
	if n := hook.connections.Load(); n == 0 {
		t.Error("the webhook was not connected to")
	}
	if err := user.CoreV1().ConfigMaps("default").Delete(t.Context(), "allowed", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}
