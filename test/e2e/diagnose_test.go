package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// TestDiagnoseATenant collects a tenant's archive as an administrator, as an operator and as
// a tenant. Each finds what it may read, and none of them a secret: not even those that
// somebody has put where no rule of Kubernetes protects them.
func TestDiagnoseATenant(t *testing.T) {
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "sick", "--namespace", namespace, "--wait", "--timeout", readyWithin.String())
	tcp := get(t, namespace, "sick")
	secrets := secretsOf(t, tcp)
	planted := plant(t, tcp, secrets)

	bindUsers(t, namespace)
	everyone := []string{"summary.txt", "missing.txt", "versions.txt", "controlplane.yaml", "conditions.txt"}
	operators := slices.Concat(everyone, []string{"namespace/pods.yaml", "namespace/deployments.yaml", "namespace/statefulsets.yaml", "namespace/persistentvolumeclaims.yaml", "namespace/events.txt", "namespace/pods.txt"})
	for of := range logsOf(t, tcp) {
		operators = append(operators, "logs/"+of+".log")
	}
	for _, test := range []struct {
		name  string
		flags []string
		// inside runs it in the network of the development cluster's node.
		inside bool
		has    []string
		lacks  []string
	}{
		// By the management cluster's own address, from where the tenant's can be dialled too.
		{name: "administrator", flags: []string{"--server", "https://" + net.JoinHostPort(node.NodeIP, "6443")}, inside: true, has: slices.Concat(operators, []string{"secrets.txt", "nodes.txt", "namespace/networkpolicies.yaml", "tenant/readyz.txt", "tenant/nodes.txt"})},
		{name: "operator", flags: []string{"--as", operatorUser}, has: operators, lacks: []string{"secrets.txt", "tenant/readyz.txt"}},
		{name: "tenant", flags: []string{"--as", tenantUser}, has: everyone, lacks: []string{"namespace/pods.yaml", "secrets.txt"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := diagnose(t, test.inside, append([]string{tcp.Name, "--namespace", namespace}, test.flags...)...)
			for _, name := range test.has {
				if files[name] == "" {
					t.Errorf("%s is missing or empty; missing.txt says:\n%s", name, files["missing.txt"])
				}
			}
			if test.inside && !strings.HasPrefix(files["tenant/reached.txt"], "Answers by its address") {
				t.Errorf("the tenant's API: %s", files["tenant/reached.txt"])
			}
			for _, name := range test.lacks {
				if _, there := files[name]; there {
					t.Errorf("%s is there", name)
				}
			}
			if !strings.Contains(files["controlplane.yaml"], planted+": ") || !strings.Contains(files["controlplane.yaml"], "(redacted)") {
				t.Error("what was planted is not seen to be taken away")
			}
			for name, text := range files {
				secrets.mustNotBeIn(t, name, text)
			}
		})
	}
	t.Run("describe", func(t *testing.T) {
		if text := teapot(t, "describe", "tcp", tcp.Name, "--namespace", namespace); !strings.Contains(text, "kube-apiserver") || !strings.Contains(text, tcp.Status.Endpoint.URL) {
			t.Errorf("an administrator is shown:\n%s", text)
		}
		if text := teapot(t, "describe", tcp.Name, "--namespace", namespace, "--as", tenantUser); !strings.Contains(text, "not shown: the right to list pods") || !strings.Contains(text, tcp.Status.Endpoint.URL) {
			t.Errorf("a tenant is shown:\n%s", text)
		}
	})
}

// TestNoSecretIsLeaked looks for a tenant's keys everywhere but in Secrets: in every other
// object of its namespaces, events among them, in the arguments and environments of all
// processes, and in the logs of the manager and of the control plane.
func TestNoSecretIsLeaked(t *testing.T) {
	namespace := tenantNamespace(t)
	teapot(t, "create", "tcp", "silent", "--namespace", namespace, "--wait", "--timeout", readyWithin.String())
	tcp := get(t, namespace, "silent")
	secrets := secretsOf(t, tcp)

	t.Run("objects", func(t *testing.T) {
		kinds := map[string]int{}
		for _, namespace := range []string{tcp.Namespace, tcp.Status.Namespace} {
			for resource, text := range objectsIn(t, namespace) {
				kinds[resource]++
				secrets.mustNotBeIn(t, resource+" in "+namespace, text)
			}
		}
		for _, resource := range []string{"events", "pods", "deployments", "statefulsets", "tenantcontrolplanes"} {
			if kinds[resource] == 0 {
				t.Errorf("no %s were looked at", resource)
			}
		}
	})
	t.Run("processes", func(t *testing.T) {
		ours := 0
		for _, file := range []string{"cmdline", "environ"} {
			paths, err := filepath.Glob("/proc/[0-9]*/" + file)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				text, err := os.ReadFile(path)
				if err != nil {
					continue // it has ended
				}
				if strings.Contains(string(text), controlplane.ContainerAPIServer+"\x00") {
					ours++
				}
				secrets.mustNotBeIn(t, path, string(text))
			}
		}
		if ours == 0 {
			t.Error("no kube-apiserver is among the processes")
		}
	})
	t.Run("logs", func(t *testing.T) {
		for of, text := range logsOf(t, tcp) {
			secrets.mustNotBeIn(t, "log of "+of, text)
		}
		var managers corev1.PodList
		if err := management.List(t.Context(), &managers, client.InNamespace(managersNamespace)); err != nil {
			t.Fatal(err)
		}
		about := false
		for _, pod := range managers.Items {
			text, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
			if err != nil {
				t.Fatalf("log of %s: %v", pod.Name, err)
			}
			about = about || strings.Contains(string(text), namespace+"/"+tcp.Name)
			secrets.mustNotBeIn(t, "log of "+pod.Name, string(text))
		}
		if !about {
			t.Error("the manager's log does not speak of the control plane, so it is not the right one")
		}
	})
}

// logsOf waits until every container of a control plane has said something, and returns the
// logs by pod and container. Ready is earlier: it needs no scheduler.
func logsOf(t *testing.T, tcp *teapotv1.TenantControlPlane) map[string]string {
	t.Helper()
	logs := map[string]string{}
	eventually(t, readyWithin, "every container to say something", func(ctx context.Context) error {
		for _, pod := range append(pods(t, tcp, controlplane.ControlPlaneName), pods(t, tcp, controlplane.EtcdName)...) {
			for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				text, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container.Name}).DoRaw(ctx)
				if err == nil && len(text) == 0 {
					err = errors.New("nothing yet")
				}
				if err != nil {
					return fmt.Errorf("log of %s, %s: %w", pod.Name, container.Name, err)
				}
				logs[pod.Name+"/"+container.Name] = string(text)
			}
		}
		return nil
	})
	return logs
}

// private are secret texts, each with where it comes from.
type private map[string]string

// public are the values of Secrets that are no secrets: certificates, public keys, and which
// way API servers dial.
func public(key string) bool {
	return strings.HasSuffix(key, ".crt") || strings.HasSuffix(key, ".pub") || key == "egress.yaml"
}

// secretsOf reads everything secret of a control plane, in the forms in which it could turn
// up.
func secretsOf(t *testing.T, tcp *teapotv1.TenantControlPlane) private {
	t.Helper()
	found := private{}
	raw := map[string]string{}
	for _, namespace := range []string{tcp.Namespace, tcp.Status.Namespace} {
		var list corev1.SecretList
		if err := management.List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		for _, secret := range list.Items {
			for key, value := range secret.Data {
				if public(key) {
					continue
				}
				where := secret.Namespace + "/" + secret.Name + ", key " + key
				found.add(where, value)
				raw[where] = string(value)
			}
		}
	}
	// The control of what looks for them: each is where it comes from.
	for where, value := range raw {
		if len(found.in(value)) == 0 {
			t.Fatalf("nothing secret is found in %s itself", where)
		}
	}
	if len(raw) < 10 {
		t.Fatalf("only %d secret values were found: %v", len(raw), slices.Sorted(maps.Keys(raw)))
	}
	return found
}

// add takes a value, its base64, and what within it is secret by itself. What has 16 bytes
// or fewer could be anywhere by chance.
func (p private) add(where string, value []byte) {
	texts := []string{string(value), strings.TrimSpace(string(value)), base64.StdEncoding.EncodeToString(value)}
	for block, rest := pem.Decode(value); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			texts = append(texts, base64.StdEncoding.EncodeToString(block.Bytes))
			texts = append(texts, strings.Split(string(pem.EncodeToMemory(block)), "\n")[1:]...)
		}
	}
	if config, err := clientcmd.Load(value); err == nil {
		for _, user := range config.AuthInfos {
			p.add(where, user.ClientKeyData)
			p.add(where, []byte(user.Token))
			p.add(where, []byte(user.Password))
		}
	}
	for _, text := range texts {
		if len(text) > 16 && !strings.HasPrefix(text, "-----END") {
			p[text] = where
		}
	}
}

// in names where the secrets come from that are in a text.
func (p private) in(text string) []string {
	var found []string
	for secret, where := range p {
		if strings.Contains(text, secret) {
			found = append(found, where)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (p private) mustNotBeIn(t *testing.T, what, text string) {
	t.Helper()
	// The test's log is no place for them either.
	if found := p.in(text); len(found) > 0 {
		t.Errorf("%s holds what is secret: %s", what, strings.Join(found, "; "))
	}
}

// plant writes a user's whole kubeconfig and an authority's key into an annotation of the
// control plane, and returns its name.
func plant(t *testing.T, tcp *teapotv1.TenantControlPlane, secrets private) string {
	t.Helper()
	const name = "e2e/planted"
	var authorities corev1.Secret
	if err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Status.Namespace, Name: controlplane.AuthoritiesName}, &authorities); err != nil {
		t.Fatal(err)
	}
	key := string(authorities.Data["ca.key"])
	text := teapot(t, "kubeconfig", tcp.Name, "--namespace", tcp.Namespace) + key + " or " + base64.StdEncoding.EncodeToString([]byte(key))
	patch := client.MergeFrom(tcp.DeepCopy())
	metav1.SetMetaDataAnnotation(&tcp.ObjectMeta, name, text)
	if err := management.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
	if len(secrets.in(text)) < 2 {
		t.Fatal("what is planted is not known to be secret")
	}
	return name
}

// e2eUsers are users that exist by their bindings alone.
const (
	operatorUser = "e2e-operator"
	tenantUser   = "e2e-tenant"
)

// bindUsers gives the roles of the chart to one user each.
func bindUsers(t *testing.T, namespace string) {
	t.Helper()
	subject := func(user string) []rbacv1.Subject {
		return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	}
	role := func(name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	}
	operator := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: operatorUser}, RoleRef: role("teapot-operator"), Subjects: subject(operatorUser)}
	remove := func() {
		if err := client.IgnoreNotFound(management.Delete(context.Background(), operator.DeepCopy())); err != nil {
			t.Error(err)
		}
	}
	remove() // what a killed run left
	t.Cleanup(remove)
	tenant := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenantUser}, RoleRef: role("teapot-tenant-view"), Subjects: subject(tenantUser)}
	for _, binding := range []client.Object{operator, tenant} {
		if err := management.Create(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
	}
}

// diagnose runs the command and reads the archive.
func diagnose(t *testing.T, inside bool, args ...string) map[string]string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(root, "bin/teapot"), append([]string{"diagnose", "-o", "-"}, args...)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := command.Start
	if inside {
		start = func() error { return netdial.Do(node.NetNS, command.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("teapot diagnose %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	zipped, err := gzip.NewReader(&stdout)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for reader := tar.NewReader(zipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(text)
	}
}

// objectsIn returns the objects of a namespace as JSON, by resource, without Secrets.
func objectsIn(t *testing.T, namespace string) map[string]string {
	t.Helper()
	lists, err := clientset.Discovery().ServerPreferredNamespacedResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		t.Fatal(err)
	}
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			if resource.Name == "secrets" || strings.Contains(resource.Name, "/") || !slices.Contains(resource.Verbs, "list") {
				continue
			}
			objects, err := all.Resource(group.WithResource(resource.Name)).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				t.Fatalf("listing %s: %v", resource.Name, err)
			}
			if len(objects.Items) == 0 {
				continue
			}
			text, err := json.Marshal(objects)
			if err != nil {
				t.Fatal(err)
			}
			found[resource.Name] += string(text)
		}
	}
	return found
}
