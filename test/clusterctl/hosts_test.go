package clusterctl

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hostsNamespace is the operator's, for hosts.
const hostsNamespace = "metal"

// addHosts makes hosts that the cluster's namespace may claim.
func (m *management) addHosts(t *testing.T, names ...string) {
	t.Helper()
	m.prepareHosts(t)
	for _, name := range names {
		must(t, m.client.Create(t.Context(), claimtest.NewHost(hostsNamespace, name)))
	}
}

// prepareHosts makes what hosts need of an operator: a namespace and a policy.
func (m *management) prepareHosts(t *testing.T) {
	t.Helper()
	must(t, m.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hostsNamespace}}))
	policy := &host.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: hostsNamespace, Name: "all"}}
	policy.Spec.HostClaimNamespaces = &metal3v1.HostClaimNamespaces{Names: []string{namespace}}
	must(t, m.client.Create(t.Context(), policy))
}

// playHosts plays the baremetal-operator: all steps that there are.
func (m *management) playHosts(t *testing.T) {
	t.Helper()
	operator := &claimtest.Operator{Client: m.client}
	for _, o := range m.hosts(t) {
		for {
			more, err := operator.Step(t.Context(), client.ObjectKeyFromObject(&o))
			must(t, err)
			if !more {
				break
			}
		}
	}
}

func (m *management) hosts(t *testing.T) []host.Object {
	t.Helper()
	list := &host.List{}
	must(t, m.client.List(t.Context(), list, client.InNamespace(hostsNamespace)))
	return list.Items
}

// holders are the hosts that are held, by the claims that their consumerRef names.
func (m *management) holders(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, o := range m.hosts(t) {
		h := host.Of(&o)
		if claim, held := h.ClaimOf(); held {
			found[o.Name] = claim.Name
		}
	}
	return found
}

// pauseHosts keeps the baremetal-operator, and Teapot's sweep, from touching hosts, and notes their
// status where the operator looks for it in the new cluster: docs/clusterapi.md, the first step.
func (m *management) pauseHosts(t *testing.T) {
	t.Helper()
	for _, o := range m.hosts(t) {
		status, err := json.Marshal(o.Status)
		must(t, err)
		apiserver.Change(t, m.client, &o, func() {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, metal3v1.PausedAnnotation, "")
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, metal3v1.StatusAnnotation, string(status))
		})
	}
}

// bringHosts makes the hosts of another management cluster here, with the Secrets beside them, and
// plays how the baremetal-operator reads the status from the annotation.
func (m *management) bringHosts(t *testing.T, from *management) {
	t.Helper()
	m.prepareHosts(t)
	secrets := &corev1.SecretList{}
	must(t, from.client.List(t.Context(), secrets, client.InNamespace(hostsNamespace)))
	for _, secret := range secrets.Items {
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels}
		must(t, m.client.Create(t.Context(), &secret))
	}
	for _, o := range from.hosts(t) {
		o.ObjectMeta = metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, Labels: o.Labels, Annotations: o.Annotations, Finalizers: o.Finalizers}
		must(t, m.client.Create(t.Context(), &o))
		var status metal3v1.BareMetalHostStatus
		must(t, json.Unmarshal([]byte(o.Annotations[metal3v1.StatusAnnotation]), &status))
		o.Status = status
		must(t, m.client.Status().Update(t.Context(), &o))
		apiserver.Change(t, m.client, &o, func() { delete(o.Annotations, metal3v1.StatusAnnotation) })
	}
}

// unpauseHosts lets the baremetal-operator go on.
func (m *management) unpauseHosts(t *testing.T) {
	t.Helper()
	for _, o := range m.hosts(t) {
		apiserver.Change(t, m.client, &o, func() { delete(o.Annotations, metal3v1.PausedAnnotation) })
	}
}

// witness sees every revision of every host of a management cluster, and notes each that is used
// otherwise than when it came.
type witness struct {
	of     string
	before map[string]string

	mu    sync.Mutex
	noted []string
}

// watchHosts begins to watch.
func (m *management) watchHosts(t *testing.T) *witness {
	t.Helper()
	list := &host.List{}
	must(t, m.client.List(t.Context(), list, client.InNamespace(hostsNamespace)))
	w := &witness{of: m.name, before: map[string]string{}}
	for i := range list.Items {
		w.before[list.Items[i].Name] = use(&list.Items[i])
	}
	changes, err := m.client.Watch(t.Context(), &host.List{}, client.InNamespace(hostsNamespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	must(t, err)
	t.Cleanup(changes.Stop)
	go func() {
		for event := range changes.ResultChan() {
			w.see(event)
		}
		w.note("the watch of hosts of the %s ended, and with it the sight of their revisions", w.of)
	}()
	return w
}

func (w *witness) see(event watch.Event) {
	o, ok := event.Object.(*host.Object)
	if !ok {
		w.note("the watch of hosts of the %s says %s: %v", w.of, event.Type, event.Object)
		return
	}
	if now := use(o); now != w.before[o.Name] || event.Type == watch.Deleted {
		w.note("host %s of the %s went from %q to %q (%s)", o.Name, w.of, w.before[o.Name], now, event.Type)
	}
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = append(w.noted, fmt.Sprintf(format, args...))
}

// verdict fails the test for what was noted so far.
func (w *witness) verdict(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, each := range w.noted {
		t.Error(each)
	}
}

// use is what a host is used for, and by whom. The UID of its claim is left out: it is another in
// another management cluster.
func use(o *host.Object) string {
	h := host.Of(o)
	claim, _ := h.ClaimOf()
	return fmt.Sprintf("claim %s, image %s, online %t, %s", claim, h.Asked, h.Online, h.State)
}
