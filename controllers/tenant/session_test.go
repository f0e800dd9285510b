package tenant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// A real kube-apiserver plays the tenant's.
var config *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	log.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	var stop func() error
	var err error
	if config, stop, err = apiserver.Start(); err != nil {
		panic(err)
	}
	defer func() {
		if err := stop(); err != nil {
			panic(err)
		}
	}()
	return m.Run()
}

func access() Access {
	return Access{URL: strings.TrimSuffix(config.Host, "/"), ServerName: "127.0.0.1", CA: config.CAData, Cert: config.CertData, Key: config.KeyData}
}

func open(t *testing.T, a Access) (*Registry, *Session) {
	t.Helper()
	registry := NewRegistry(clock.RealClock{})
	owner := types.NamespacedName{Namespace: "acme", Name: t.Name()}
	session, err := registry.Open(owner, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close(owner) })
	return registry, session
}

// observed waits for an event after which a condition holds.
func observed(t *testing.T, registry *Registry, session *Session, within time.Duration, what string, check func(Observation) bool) {
	t.Helper()
	deadline := time.After(within)
	for !check(session.Observe()) {
		select {
		case <-registry.Events():
		case <-deadline:
			t.Fatalf("waiting for %s: observation is %+v", what, session.Observe())
		}
	}
}

func configMap(name string, data map[string]any) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "kube-system", "name": name},
		"data":     data,
	}}
}

func content(t *testing.T, objects, absent []unstructured.Unstructured) *Content {
	t.Helper()
	c, err := NewContent(t.Name(), objects, absent)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func isApplied(c *Content) func(Observation) bool {
	return func(o Observation) bool { return o.Applied == c.Hash }
}

func TestATenantsOwnEditSurvives(t *testing.T) {
	registry, session := open(t, access())
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system")
	first := content(t, []unstructured.Unstructured{configMap("coredns", map[string]any{"Corefile": "ours", "other.conf": "1"})}, nil)
	session.Want(first)
	observed(t, registry, session, 20*time.Second, "the objects to be applied", isApplied(first))

	edited, err := client.Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edited.Data["Corefile"] = "theirs"
	if _, err := client.Update(t.Context(), edited, metav1.UpdateOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}

	second := content(t, []unstructured.Unstructured{configMap("coredns", map[string]any{"Corefile": "ours, newer", "other.conf": "2"})}, nil)
	session.Want(second)
	observed(t, registry, session, 20*time.Second, "the newer objects to be applied", isApplied(second))
	got, err := client.Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["Corefile"] != "theirs" || got.Data["other.conf"] != "2" {
		t.Errorf("the ConfigMap is %q; want the tenant's Corefile and our other.conf", got.Data)
	}
}

// TestWhatIsAppliedNeedNotBeMadeAgain: the same source gives the same content as long as none of it
// is to be applied again.
func TestWhatIsAppliedNeedNotBeMadeAgain(t *testing.T) {
	registry, session := open(t, access())
	object := configMap("held", nil)
	object.SetLabels(map[string]string{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot})
	wanted := content(t, []unstructured.Unstructured{object}, nil)
	if session.Holds(wanted.Source) != nil {
		t.Error("held before it was wanted")
	}
	session.Want(wanted)
	observed(t, registry, session, 20*time.Second, "the object to be applied", isApplied(wanted))
	if held := session.Holds(wanted.Source); held == nil || held.Hash != wanted.Hash || held.Count != 1 {
		t.Errorf("held is %+v, want what was applied", held)
	}
	if held := session.Holds("another"); held != nil {
		t.Errorf("held from another source is %+v", held)
	}
	if err := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system").Delete(t.Context(), "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	observed(t, registry, session, 40*time.Second, "the loss to be seen", func(o Observation) bool { return o.Drifts > 0 })
	if session.Holds(wanted.Source) != nil {
		t.Error("held, though the object is gone and must be applied again")
	}
}

func TestWhatIsNoLongerWantedIsDeletedOnlyIfItIsOurs(t *testing.T) {
	registry, session := open(t, access())
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system")
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}}
	if _, err := client.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first := content(t, []unstructured.Unstructured{configMap("ours", nil)}, nil)
	session.Want(first)
	observed(t, registry, session, 20*time.Second, "the objects to be applied", isApplied(first))

	second := content(t, nil, []unstructured.Unstructured{configMap("ours", nil), configMap("theirs", nil), configMap("never-there", nil)})
	session.Want(second)
	observed(t, registry, session, 20*time.Second, "the objects to be deleted", isApplied(second))
	if _, err := client.Get(t.Context(), "ours", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("our object is still there: %v", err)
	}
	if _, err := client.Get(t.Context(), "theirs", metav1.GetOptions{}); err != nil {
		t.Errorf("the tenant's own object is gone: %v", err)
	}
}

func TestOneRefusedObjectDoesNotKeepTheOthersOut(t *testing.T) {
	registry, session := open(t, access())
	bad := configMap("Not A Name", nil)
	session.Want(content(t, []unstructured.Unstructured{bad, configMap("after-the-bad-one", nil)}, nil))
	observed(t, registry, session, 20*time.Second, "the refusal to be reported", func(o Observation) bool { return o.ApplyError != "" })
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system")
	if _, err := client.Get(t.Context(), "after-the-bad-one", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// TestAWebhookInTheWayDoesNotKeepTheOthersOut: after a sleep there is one whose pods are gone, and
// that must be asked.
func TestAWebhookInTheWayDoesNotKeepTheOthersOut(t *testing.T) {
	configMaps := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}
	for name, inTheWay := range map[string]func(*cluster, func() error){
		"it cannot be reached": func(c *cluster, probe func() error) {
			nobody := admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/")} // nothing listens on tcpmux
			c.refuse("kube-system", configMaps, nobody, probe)
		},
		"it hangs": func(c *cluster, probe func() error) { c.hang("kube-system", configMaps, probe) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			accounts := c.CoreV1().ServiceAccounts("kube-system")
			remove := func() {
				for _, name := range []string{"after-the-webhook", "unwanted"} {
					_ = accounts.Delete(context.Background(), name, metav1.DeleteOptions{})
				}
			}
			remove() // those of a run that was killed
			t.Cleanup(remove)
			account := func(name string) unstructured.Unstructured {
				object := configMap(name, nil)
				delete(object.Object, "data")
				object.SetKind("ServiceAccount")
				object.SetLabels(map[string]string{"example.com/test": name}) // a field to own
				return object
			}
			registry, session := open(t, access())
			before := content(t, []unstructured.Unstructured{account("unwanted")}, nil)
			session.Want(before)
			observed(t, registry, session, 20*time.Second, "what was there before", isApplied(before))

			inTheWay(c, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}}
				_, err := c.CoreV1().ConfigMaps("kube-system").Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				return err
			})
			wanted := content(t, []unstructured.Unstructured{
				configMap("refused", nil), configMap("refused-too", nil), account("after-the-webhook"),
			}, []unstructured.Unstructured{account("unwanted")})
			session.Want(wanted)
			observed(t, registry, session, 30*time.Second, "the refusal to be reported", func(o Observation) bool {
				return strings.Contains(o.ApplyError, "ConfigMap kube-system/refused")
			})
			if _, err := accounts.Get(t.Context(), "after-the-webhook", metav1.GetOptions{}); err != nil {
				t.Error(err)
			}
			if _, err := accounts.Get(t.Context(), "unwanted", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("what is no longer wanted is still there: %v", err)
			}
			if o := session.Observe(); !o.Answered || o.Applied != "" {
				t.Errorf("observation is %+v", o)
			}
			if err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "in-the-way-kube-system", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			observed(t, registry, session, 60*time.Second, "the rest to be applied when nothing is in the way", isApplied(wanted))
		})
	}
}

func TestAnEndpointThatDoesNotAnswerIsReported(t *testing.T) {
	a := access()
	a.URL = "https://127.0.0.1:1" // nothing listens on tcpmux
	registry, session := open(t, a)
	observed(t, registry, session, 20*time.Second, "the failure", func(o Observation) bool { return o.Asked && !o.Answered && o.Error != "" })
}

func TestARefusalIsNotToldAsALossOfEtcd(t *testing.T) {
	stranger := access()
	var err error
	if stranger.Cert, stranger.Key, err = cert.GenerateSelfSignedCertKey("stranger", nil, nil); err != nil {
		t.Fatal(err)
	}
	registry, session := open(t, stranger)
	observed(t, registry, session, 20*time.Second, "the refusal", func(o Observation) bool {
		return o.Asked && !o.Answered && o.Refused && !o.DatastoreDown && strings.HasSuffix(o.Error, "401 Unauthorized")
	})

	// One that was let in, and is not any more.
	idle, err := newSession(types.NamespacedName{}, stranger, clock.RealClock{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := true
	change, answered := idle.ask(t.Context(), &ready, false)
	var seen Observation
	change(&seen)
	if answered || ready || !seen.Refused || seen.DatastoreDown {
		t.Errorf("answered %t, ready %t, %+v; want a refusal, and no loss of etcd", answered, ready, seen)
	}
}

func TestALossIsNoticedWithinTenSeconds(t *testing.T) {
	own := &envtest.Environment{}
	cfg, err := own.Start()
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			if err := own.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	registry, session := open(t, Access{URL: strings.TrimSuffix(cfg.Host, "/"), ServerName: "127.0.0.1", CA: cfg.CAData, Cert: cfg.CertData, Key: cfg.KeyData})
	observed(t, registry, session, 20*time.Second, "an answer", func(o Observation) bool { return o.Answered })

	// An etcd that hangs is worse than one that is gone: nothing is refused, all waits.
	etcd := childOnPort(t, own.ControlPlane.Etcd.URL.Port())
	if err := etcd.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = etcd.Signal(syscall.SIGCONT) })
	observed(t, registry, session, 10*time.Second, "the loss of etcd", func(o Observation) bool { return !o.Answered && o.DatastoreDown })
	if err := etcd.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	observed(t, registry, session, 20*time.Second, "the return of etcd", func(o Observation) bool { return o.Answered })

	if err := own.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped = true
	observed(t, registry, session, 10*time.Second, "the loss of the API server", func(o Observation) bool { return !o.Answered && !o.DatastoreDown })
}

// childOnPort finds the etcd that was started with a client port.
func childOnPort(t *testing.T, port string) *os.Process {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(command), "etcd\x00") || !strings.Contains(string(command), "--listen-client-urls=http://127.0.0.1:"+port) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return process
	}
	t.Fatalf("no etcd with client port %s", port)
	return nil
}

func TestConflictingFieldsAreLeftOut(t *testing.T) {
	object := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"k8s-app": "kube-dns", "example.com/team": "x"}},
			"data":     map[string]any{"Corefile": "a", "config.conf": "b"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "a", "image": "1"}, map[string]any{"name": "b", "image": "2", "ports": []any{
					map[string]any{"containerPort": int64(53), "protocol": "UDP", "name": "dns"},
				}},
			}}}},
		}}
	}
	tests := map[string]struct {
		field string
		left  []string
		gone  bool
	}{
		"a field":                  {`.data.Corefile`, []string{"data", "Corefile"}, true},
		"a name with a dot":        {`.data.config.conf`, []string{"data", "config.conf"}, true},
		"a label with a dot":       {`.metadata.labels.example.com/team`, []string{"metadata", "labels", "example.com/team"}, true},
		"a field that is not ours": {`.data.other`, nil, false},
		"no path":                  {`nonsense`, nil, false},
	}
	conflict := func(field string) error {
		return fmt.Errorf("wrapped: %w", apierrors.NewApplyConflict([]metav1.StatusCause{{
			Type: metav1.CauseTypeFieldManagerConflict, Field: field,
		}}, "conflict"))
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := object()
			if got := leaveOut(o, conflict(test.field)); got != test.gone {
				t.Fatalf("something was left out = %v, want %v", got, test.gone)
			}
			if _, found, _ := unstructured.NestedFieldNoCopy(o.Object, test.left...); test.gone && found {
				t.Errorf("%s is still there", test.field)
			}
		})
	}
	t.Run("an element of a list", func(t *testing.T) {
		o := object()
		if !leaveOut(o, conflict(`.spec.template.spec.containers[name="b"].ports[containerPort=53,protocol="UDP"].name`)) {
			t.Fatal("nothing was left out")
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		b := containers[1].(map[string]any)
		if port := b["ports"].([]any)[0].(map[string]any); port["name"] != nil || b["image"] != "2" {
			t.Errorf("container b is %v", b)
		}
	})
	t.Run("another error", func(t *testing.T) {
		if leaveOut(object(), errors.New("no")) || leaveOut(object(), context.DeadlineExceeded) {
			t.Error("something was left out")
		}
	})
}
