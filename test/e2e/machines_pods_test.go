package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/images/oci"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// podImage is the image of podserver. It is put on the machines by hand: they have no registry.
const podImage = "teapot.dev/e2e/podserver:built"

// podsManifest runs a pod of podserver on each machine. Its account may read what API servers
// publish for aggregated APIs, and list pods.
const podsManifest = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: podserver, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: podserver, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: podserver, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: podserver, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: podserver, namespace: default}]
---
apiVersion: v1
kind: Secret
metadata: {name: podserver, namespace: default}
type: kubernetes.io/tls
data: {tls.crt: CERTIFICATE, tls.key: KEY}
---
apiVersion: v1
kind: Service
metadata: {name: podserver, namespace: default}
spec:
  selector: {app: podserver}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: podserver, namespace: default}
spec:
  selector: {matchLabels: {app: podserver}}
  template:
    metadata: {labels: {app: podserver}}
    spec:
      serviceAccountName: podserver
      terminationGracePeriodSeconds: 1
      containers:
      - name: podserver
        image: IMAGE
        imagePullPolicy: Never
        args: [serve, /certificate]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: certificate, mountPath: /certificate, readOnly: true}]
      volumes: [{name: certificate, secret: {secretName: podserver}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.pods.e2e.teapot.dev}
spec:
  group: pods.e2e.teapot.dev
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  caBundle: CERTIFICATE
  service: {namespace: default, name: podserver}
`

// inPods is what the checks of pods work on.
type inPods struct {
	*machinesTenant
	pods        []corev1.Pod // one on each machine
	certificate []byte
}

// podsAreReached runs pods on the machines and reaches them in every way that there is: from the
// outside and by the API server through konnectivity, and from pods.
func podsAreReached(t *testing.T, f *fleet, x *machinesTenant) {
	p := &inPods{machinesTenant: x}
	p.run(t, f)
	for _, check := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"logs", p.logs},
		{"exec", p.exec},
		{"port-forward", p.portForward},
		{"admission webhook", p.webhook},
		{"aggregated API", p.aggregated},
		{"Services and DNS, across machines", p.services},
		{"in-cluster configuration", p.inCluster},
	} {
		t.Run(check.name, check.run)
	}
}

// run starts the pods.
func (p *inPods) run(t *testing.T, f *fleet) {
	t.Helper()
	image := buildPodImage(t)
	for _, name := range f.names {
		if _, err := f.on(t.Context(), name, image, "ctr", "--namespace", "k8s.io", "images", "import", "-"); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key, err := certutil.GenerateSelfSignedCertKey("podserver.default.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.certificate = certificate
	network, err := os.ReadFile(filepath.Join(root, "test/machineroom/pod-network.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	manifest := strings.NewReplacer("CERTIFICATE", encode(certificate), "KEY", encode(key), "IMAGE", podImage).Replace(podsManifest)
	tenant, err := client.New(p.config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := func(*unstructured.Unstructured) bool { return true }
	apply(t, tenant, string(network), all)
	apply(t, tenant, manifest, all)
	eventually(t, 2*time.Minute, "a pod on each machine", func(ctx context.Context) error {
		list, err := p.user.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=podserver"})
		if err != nil {
			return err
		}
		p.pods = slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return !isReady(pod) })
		if len(p.pods) != len(f.names) {
			return fmt.Errorf("%d are Ready of %d", len(p.pods), len(list.Items))
		}
		return nil
	})
}

// buildPodImage returns an archive of the image.
func buildPodImage(t *testing.T) []byte {
	t.Helper()
	directory := t.TempDir()
	program, archive := filepath.Join(directory, "podserver"), filepath.Join(directory, "image.tar")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", program, "./test/e2e/podserver")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // there is no libc in the image
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building podserver: %v\n%s", err, out)
	}
	image, err := oci.Build(oci.Spec{
		Platform: "linux/" + runtime.GOARCH,
		Files:    []oci.File{{Path: "/podserver", HostPath: program}},
		Config:   oci.Config{User: "65532:65532", Entrypoint: []string{"/podserver"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.WriteArchive(archive, podImage, image); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (p *inPods) logs(t *testing.T) {
	for _, pod := range p.pods {
		eventually(t, time.Minute, "the log of "+pod.Name, func(ctx context.Context) error {
			log, err := p.kubectl(ctx, "logs", pod.Name)
			if err != nil {
				return err
			}
			return contains(log, []string{"serving pod=" + pod.Name})
		})
	}
}

// exec runs a program in each pod that reads what its own pod serves.
func (p *inPods) exec(t *testing.T) {
	for _, pod := range p.pods {
		eventually(t, time.Minute, "a program in "+pod.Name, func(ctx context.Context) error {
			out, err := p.in(ctx, pod, "get", "http://127.0.0.1:8080/")
			if err == nil && strings.TrimSpace(out) != pod.Name {
				err = fmt.Errorf("it prints %q", out)
			}
			return err
		})
	}
}

// in runs podserver's commands in a pod.
func (p *inPods) in(ctx context.Context, pod corev1.Pod, args ...string) (string, error) {
	return p.kubectl(ctx, append([]string{"exec", pod.Name, "--", "/podserver"}, args...)...)
}

func (p *inPods) portForward(t *testing.T) {
	for _, pod := range p.pods {
		p.forward(t, pod)
	}
}

// forward asks a pod by a port of the node, where the tenant's users would be.
func (p *inPods) forward(t *testing.T, pod corev1.Pod) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, os.Getenv("KUBECTL"), "--kubeconfig", p.kubeconfig, "port-forward", pod.Name, ":8080")
	output, err := command.StdoutPipe()
	if err == nil {
		err = netdial.Do(node.NetNS, command.Start)
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = command.Wait() // it was ended
	}()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("port-forward says %q: %v", line, err)
	}
	var port int
	if _, err := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); err != nil {
		t.Fatalf("port-forward says %q: %v", line, err)
	}
	eventually(t, time.Minute, "an answer by the forwarded port", func(ctx context.Context) error {
		conn, err := netdial.Dialer(node.NetNS)(ctx, "tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
		if err != nil {
			return err
		}
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		if err := errors.Join(conn.SetDeadline(deadline), write(conn, "GET / HTTP/1.0\r\n\r\n")); err != nil {
			return err
		}
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if lines.Text() == pod.Name {
				return nil
			}
		}
		return errors.Join(errors.New("the pod's name was not answered"), lines.Err())
	})
}

func write(conn net.Conn, text string) error {
	_, err := conn.Write([]byte(text))
	return err
}

// webhook has the API server ask the pods, by their Service, about ConfigMaps.
func (p *inPods) webhook(t *testing.T) {
	hooks := p.user.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := hooks.Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "pods"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "pods.e2e.teapot.dev",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service:  &admissionregistrationv1.ServiceReference{Namespace: "default", Name: "podserver", Path: ptr.To("/validate")},
				CABundle: p.certificate,
			},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{"hook": "pods"}},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](5),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the pods' webhook to refuse", func(ctx context.Context) error {
		err := createLabelled(ctx, p.user, "pods", "refused")
		if err == nil {
			// The API server has not heard of the webhook yet.
			return fmt.Errorf("deleting to try again: %w", p.user.CoreV1().ConfigMaps("default").Delete(ctx, "refused", metav1.DeleteOptions{}))
		}
		return contains(err.Error(), []string{"a pod's webhook says no"})
	})
	if err := createLabelled(t.Context(), p.user, "pods", "allowed"); err != nil {
		t.Errorf("the webhook allowed it: %v", err)
	}
}

// aggregated lists what the pods serve as an API. It holds the name of who asks, which only the
// API server can tell them.
func (p *inPods) aggregated(t *testing.T) {
	eventually(t, time.Minute, "the pods' API", func(ctx context.Context) error {
		who, err := p.kubectl(ctx, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		if err != nil {
			return err
		}
		names, err := p.kubectl(ctx, "get", "greetings.v1.pods.e2e.teapot.dev", "-o", "name")
		if err == nil && strings.TrimSpace(names) != "greeting.pods.e2e.teapot.dev/"+who {
			err = fmt.Errorf("%s is greeted as %q", who, names)
		}
		return err
	})
}

// services asks from each pod until every pod has answered: by name and by address of the Service,
// and each pod by its own address.
func (p *inPods) services(t *testing.T) {
	service, err := p.user.CoreV1().Services("default").Get(t.Context(), "podserver", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range p.pods {
		names = append(names, pod.Name)
	}
	for _, pod := range p.pods {
		for _, host := range []string{"podserver.default.svc.cluster.local", service.Spec.ClusterIP} {
			missing := slices.Clone(names)
			eventually(t, time.Minute, fmt.Sprintf("each pod to answer %s at http://%s/", pod.Name, host), func(ctx context.Context) error {
				out, err := p.in(ctx, pod, "get", "http://"+host+"/")
				if err != nil {
					return err
				}
				missing = slices.DeleteFunc(missing, func(name string) bool { return name == strings.TrimSpace(out) })
				if len(missing) > 0 {
					return fmt.Errorf("no answer yet of %v", missing)
				}
				return nil
			})
		}
		for _, other := range p.pods {
			eventually(t, time.Minute, other.Name+" to be reached from "+pod.Name, func(ctx context.Context) error {
				out, err := p.in(ctx, pod, "get", "http://"+net.JoinHostPort(other.Status.PodIP, "8080")+"/")
				if err != nil {
					return err
				}
				return contains(out, []string{other.Name})
			})
		}
	}
}

// inCluster has each pod list the pods, by what every pod is given.
func (p *inPods) inCluster(t *testing.T) {
	for _, pod := range p.pods {
		eventually(t, time.Minute, "a list of pods from "+pod.Name, func(ctx context.Context) error {
			out, err := p.in(ctx, pod, "pods", "default")
			if err != nil {
				return err
			}
			return contains(out, []string{p.pods[0].Name, p.pods[len(p.pods)-1].Name})
		})
	}
}
