package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/machineroom/floor"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
)

// namespace is that of the tests' control plane in the management cluster.
const namespace = "e2e-boot"

// TestJoin joins machines to a tenant's cluster with user data written by hand, which is what
// the whole chain is measured against.
func TestJoin(t *testing.T) {
	config := tenant(t)
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	join, err := floor.Prepare(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	connectPods(t, config)
	machines := []*machine.Machine{aMachine(t, "boot-1"), aMachine(t, "boot-2")}
	start := map[string]time.Time{}
	for _, m := range machines {
		drive, err := join.Drive(m.Name, "teapot://"+m.Name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, m, drive)
		start[m.Name] = time.Now()
		powerOn(t, m)
	}
	for _, m := range machines {
		node := ready(t, clientset, m.Name)
		t.Logf("%s was Ready %.1f s after power on", m.Name, time.Since(start[m.Name]).Seconds())
		if want := "teapot://" + m.Name; node.Spec.ProviderID != want {
			t.Errorf("the provider id of %s is %q, want %q", m.Name, node.Spec.ProviderID, want)
		}
		if addresses := fmt.Sprint(node.Status.Addresses); !strings.Contains(addresses, m.Address.Addr().String()) {
			t.Errorf("the addresses of %s are %s, want %s", m.Name, addresses, m.Address.Addr())
		}
	}
	addOnsRun(t, clientset)
	logsAreRead(t, clientset)
	networkReaches(t, clientset, machines...)
	comesBack(t, clientset, machines[1])
	powersOff(t, machines[0]) // with all its pods
}

// tenant makes a control plane and returns its administrator's configuration.
func tenant(t *testing.T) *rest.Config {
	t.Helper()
	kubectl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(os.Getenv("KUBECTL"), args...).CombinedOutput(); err != nil {
			t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	kubectl("delete", "namespace", namespace, "--ignore-not-found")
	t.Cleanup(func() { kubectl("delete", "namespace", namespace) })
	kubectl("create", "namespace", namespace)
	teapot := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin/teapot"), args...)
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("teapot %s: %v: %s", strings.Join(args, " "), err, &problems)
		}
		return out
	}
	teapot("create", "tcp", "boot", "--namespace", namespace, "--wait", "--timeout", "2m")
	// Machines come by the address, not through the users' gateway.
	config, err := clientcmd.RESTConfigFromKubeConfig(teapot("kubeconfig", "boot", "--namespace", namespace, "--direct"))
	if err != nil {
		t.Fatal(err)
	}
	config.Dial = netdial.DialContext
	return config
}

// connectPods applies what leads packets between machines' pods.
func connectPods(t *testing.T, config *rest.Config) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "test/machineroom/pod-network.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if err := tenant.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// ready waits until a Node is Ready and returns it.
func ready(t *testing.T, clientset kubernetes.Interface, name string) *corev1.Node {
	t.Helper()
	var node *corev1.Node
	eventually(t, time.Minute, "Node "+name+" to be Ready", func(ctx context.Context) (err error) {
		if node, err = clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", node.Status.Conditions)
	})
	return node
}

// addOnsRun waits until all that Teapot has in the cluster runs: on every machine kube-proxy and
// the konnectivity agent, and CoreDNS.
func addOnsRun(t *testing.T, clientset kubernetes.Interface) {
	t.Helper()
	eventually(t, 2*time.Minute, "the add-ons to run", func(ctx context.Context) error {
		pods, err := clientset.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := map[string]int{}
		for _, pod := range pods.Items {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					running[pod.Labels["k8s-app"]]++
				}
			}
		}
		for _, app := range []string{"kube-proxy", "konnectivity-agent", "kube-dns"} {
			if running[app] != 2 {
				err = errors.Join(err, fmt.Errorf("%d of 2 pods of %s are Ready", running[app], app))
			}
		}
		return err
	})
}

// logsAreRead reads a log by the way that konnectivity is: API server, tunnel, kubelet.
func logsAreRead(t *testing.T, clientset kubernetes.Interface) {
	t.Helper()
	pods, err := clientset.CoreV1().Pods(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		log, err := io.ReadAll(stream)
		if err != nil || !strings.Contains(string(log), "Caches are synced") {
			t.Errorf("the log of %s is %q, %v", pod.Name, log, err)
		}
	}
}

// networkReaches asks CoreDNS' pods and its Service from each machine: the pods by way of the pod
// network, wherever they run, and the Service by kube-proxy's rules.
func networkReaches(t *testing.T, clientset kubernetes.Interface, machines ...*machine.Machine) {
	t.Helper()
	service, err := clientset.CoreV1().Services(metav1.NamespaceSystem).Get(t.Context(), "kube-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		eventually(t, 2*time.Minute, "CoreDNS to be reached from "+m.Name, func(ctx context.Context) error {
			pods, err := clientset.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
			if err != nil {
				return err
			}
			targets := []string{service.Spec.ClusterIP}
			for _, pod := range pods.Items {
				targets = append(targets, pod.Status.PodIP)
			}
			for _, target := range targets {
				if _, err := in(ctx, m, "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+target+"/53"); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// comesBack cuts a machine's power for a moment: its disk has all that it needs to go on.
func comesBack(t *testing.T, clientset kubernetes.Interface, m *machine.Machine) {
	t.Helper()
	if err := m.PowerOff(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	powerOn(t, m)
	eventually(t, time.Minute, "the kubelet of "+m.Name+" to be heard of again", func(ctx context.Context) error {
		lease, err := clientset.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, m.Name, metav1.GetOptions{})
		if err == nil && !lease.Spec.RenewTime.After(start) {
			err = fmt.Errorf("it was last at %s, power came at %s", lease.Spec.RenewTime, start)
		}
		return err
	})
	networkReaches(t, clientset, m)
}
