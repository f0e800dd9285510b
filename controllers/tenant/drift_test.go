package tenant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane/inside"
)

// speed is how many times faster than the world's the clock of these tests runs. Requests
// take as long as ever, so on a busy machine more would not be true to the limits.
const speed = 3

// fastClock is a clock that runs ahead.
type fastClock struct {
	clock.RealClock
	began time.Time
}

func newFastClock() fastClock { return fastClock{began: time.Now()} }

func (c fastClock) Now() time.Time                         { return c.began.Add(speed * time.Since(c.began)) }
func (c fastClock) Since(t time.Time) time.Duration        { return c.Now().Sub(t) }
func (c fastClock) NewTimer(d time.Duration) clock.Timer   { return c.RealClock.NewTimer(d / speed) }
func (c fastClock) After(d time.Duration) <-chan time.Time { return c.RealClock.After(d / speed) }

// follow does what the controller does with a session: it asks for the content whenever
// something is observed, and takes the repairs.
type follower struct {
	session *Session
	mu      sync.Mutex
	repairs []string
}

func follow(t *testing.T, registry *Registry, session *Session, objects []unstructured.Unstructured, settled bool) *follower {
	t.Helper()
	f := &follower{session: session}
	want := func() {
		c := content(t, objects, nil)
		c.Settled = settled
		session.Want(c)
		f.mu.Lock()
		for _, r := range session.TakeRepairs() {
			f.repairs = append(f.repairs, r.Kind+" "+types.NamespacedName{Namespace: r.Namespace, Name: r.Name}.String())
		}
		f.mu.Unlock()
	}
	want()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-registry.Events():
				want()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

// followApplied opens a session and follows it, once the objects are applied.
func followApplied(t *testing.T, access Access, objects []unstructured.Unstructured, settled bool) *follower {
	t.Helper()
	registry := NewRegistry(newFastClock())
	owner := types.NamespacedName{Namespace: "acme", Name: t.Name()}
	session, err := registry.Open(owner, access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close(owner) })
	f := follow(t, registry, session, objects, settled)
	all := content(t, objects, nil)
	within(t, 200*time.Second, "the objects to be applied", func() error {
		if o := session.Observe(); !isApplied(all)(o) {
			return fmt.Errorf("observation is %+v", o)
		}
		return nil
	})
	return f
}

func (f *follower) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(slices.Values(f.repairs))
}

func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repairs = nil
}

// within waits for a condition for as long as a time of the fast clock.
func within(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit / speed)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks at the API server
	}
}

// insideObjects are those of a tenant with every add-on. The test's API server writes its own
// endpoints, so ours have another name.
func insideObjects(t *testing.T) []unstructured.Unstructured {
	t.Helper()
	objects, err := inside.Render(inside.Input{
		ClusterName: "acme", Version: "v1.36.3", ServiceCIDR: "10.0.0.0/24", PodCIDR: "10.244.0.0/16", DNSDomain: "cluster.local",
		EndpointHost: "acme.example.com", EndpointAddress: "192.0.2.10", EndpointPort: 30443, KonnectivityPort: 30132,
		CACert:  []byte("-----BEGIN CERTIFICATE-----\nYWNtZQ==\n-----END CERTIFICATE-----\n"),
		CoreDNS: true, KubeProxy: true, Konnectivity: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		if objects[i].GetNamespace() == metav1.NamespaceDefault {
			objects[i].SetName(objects[i].GetName() + "-of-teapot")
		}
	}
	return objects
}

// TestWhatATenantTakesAwayReturns deletes an object of every kind, and then takes the label of
// one of every kind away.
func TestWhatATenantTakesAwayReturns(t *testing.T) {
	objects := insideObjects(t)
	client := dynamic.NewForConfigOrDie(config)
	resource := func(object *unstructured.Unstructured) dynamic.ResourceInterface {
		if object.GetNamespace() != "" {
			return client.Resource(resourceOf(object)).Namespace(object.GetNamespace())
		}
		return client.Resource(resourceOf(object))
	}
	// The session looks at nothing while it is meddled with: a label that goes after the look is put right
	// and cannot be told of.
	var meddling sync.RWMutex
	proxy := interpose(t, func(*http.Request) bool {
		meddling.RLock()
		defer meddling.RUnlock()
		return true
	})
	f := followApplied(t, proxy.access, objects, false)

	for name, meddle := range map[string]func(*unstructured.Unstructured) error{
		"delete": func(object *unstructured.Unstructured) error {
			return resource(object).Delete(t.Context(), object.GetName(), metav1.DeleteOptions{})
		},
		"remove the label": func(object *unstructured.Unstructured) error {
			patch := fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, teapotv1.ManagedByLabel)
			_, err := resource(object).Patch(t.Context(), object.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.forget()
			var meddled []*unstructured.Unstructured
			var want []string // in words that an event can carry: the resource, and the object's name
			kinds := map[string]bool{}
			meddling.Lock()
			for i := range objects {
				object := &objects[i]
				if kinds[object.GetKind()] {
					continue
				}
				kinds[object.GetKind()] = true
				if err := meddle(object); err != nil {
					meddling.Unlock()
					t.Fatal(err)
				}
				meddled = append(meddled, object)
				want = append(want, object.GetKind()+" "+types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}.String())
			}
			meddling.Unlock()
			slices.Sort(want)
			within(t, 30*time.Second, "all of it to be put right and told of", func() error {
				for _, object := range meddled {
					live, err := resource(object).Get(t.Context(), object.GetName(), metav1.GetOptions{})
					if err != nil {
						return err
					}
					if live.GetLabels()[teapotv1.ManagedByLabel] != teapotv1.ManagedByTeapot {
						return fmt.Errorf("labels of %s %s are %v", object.GetKind(), object.GetName(), live.GetLabels())
					}
				}
				if told := f.told(); !slices.Equal(told, want) {
					return fmt.Errorf("told of %q, want %q", told, want)
				}
				return nil
			})
		})
	}

	kinds := map[string]bool{}
	for i := range objects {
		kinds[objects[i].GetKind()] = true
	}
	atRest := func(t *testing.T, nodesEvery time.Duration) {
		f.forget()
		before := len(proxy.seen())
		began := f.session.clock.Now()
		rounds := 0
		for last := 0; rounds < 2; { // until every kind was looked at twice
			if n := countOf(proxy.seen()[before:], "daemonsets"); n > last {
				last, rounds = n, rounds+1
			}
			time.Sleep(20 * time.Millisecond)
		}
		requests, lasted := proxy.seen()[before:], f.session.clock.Since(began)
		rounded := func(every time.Duration) float64 { return float64(lasted)/float64(every) + 1 }
		expected := rounded(nodesEvery) + float64(len(kinds))*rounded(driftPeriod)
		if float64(len(requests)) > expected {
			t.Errorf("%d requests in %s, expected are at most %.0f: %q", len(requests), lasted, expected, requests)
		}
		for _, request := range requests {
			if !strings.HasPrefix(request, "GET ") {
				t.Errorf("it asked for %s", request)
			}
		}
	}
	t.Run("at rest, few requests are made", func(t *testing.T) { atRest(t, steadyInterval) })
	t.Run("at rest with a machine, fewer are made", func(t *testing.T) {
		newCluster(t).node("drift-machine", "")
		within(t, steadyInterval+askTimeout, "the machine to be seen", func() error {
			if !f.session.Observe().Machines {
				return errors.New("it is not")
			}
			return nil
		})
		atRest(t, driftPeriod)
	})
}

func countOf(requests []string, what string) int {
	n := 0
	for _, request := range requests {
		if strings.HasSuffix(request, "/"+what) {
			n++
		}
	}
	return n
}

func TestAnEditIsNoDrift(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system")
	label := map[string]any{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot}
	var objects []unstructured.Unstructured
	for _, name := range []string{"edited", "taken-over", "other"} {
		object := configMap(name, map[string]any{"Corefile": "ours", "other": "1"})
		object.Object["metadata"].(map[string]any)["labels"] = label
		objects = append(objects, object)
	}
	proxy := interpose(t, nil)
	f := followApplied(t, proxy.access, objects, true)
	edit := func(name string, change func(*corev1.ConfigMap)) {
		object, err := client.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil {
			change(object)
			_, err = client.Update(t.Context(), object, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edit("edited", func(c *corev1.ConfigMap) { c.Data["Corefile"] = "theirs" })
	edit("taken-over", func(c *corev1.ConfigMap) { c.Labels[teapotv1.ManagedByLabel] = "theirs" })
	// Something that is really put right shows that the edits were looked at.
	for range 2 {
		f.forget()
		if err := client.Delete(t.Context(), "other", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		within(t, 30*time.Second, "the deleted one to return, and nothing else to be told of", func() error {
			if told := f.told(); !slices.Equal(told, []string{"ConfigMap kube-system/other"}) {
				return fmt.Errorf("told of %q", told)
			}
			return nil
		})
	}
	before := len(proxy.seen())
	for countOf(proxy.seen()[before:], "configmaps") < 2 {
		time.Sleep(20 * time.Millisecond)
	}
	for _, request := range proxy.seen()[before:] {
		if strings.HasPrefix(request, "PATCH") {
			t.Errorf("nothing has drifted, and it applied: %s", request)
		}
	}
	if object, err := client.Get(t.Context(), "edited", metav1.GetOptions{}); err != nil || object.Data["Corefile"] != "theirs" {
		t.Errorf("the edit is gone: %v, %v", object, err)
	}
}

// TestWhatGoesWhileARepairIsMadeIsTold: the look that found another edit has not seen it.
func TestWhatGoesWhileARepairIsMadeIsTold(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kube-system")
	var objects []unstructured.Unstructured
	for _, name := range []string{"gone-first", "gone-later"} {
		object := configMap(name, map[string]any{"other": "1"})
		object.Object["metadata"].(map[string]any)["labels"] = map[string]any{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot}
		objects = append(objects, object)
	}
	var armed atomic.Bool
	proxy := interpose(t, func(r *http.Request) bool {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/gone-first") && armed.CompareAndSwap(true, false) {
			if err := client.Delete(r.Context(), "gone-later", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	f := followApplied(t, proxy.access, objects, true)
	armed.Store(true)
	if err := client.Delete(t.Context(), "gone-first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "both to be told of", func() error {
		if told := f.told(); !slices.Equal(told, []string{"ConfigMap kube-system/gone-first", "ConfigMap kube-system/gone-later"}) {
			return fmt.Errorf("told of %q", told)
		}
		return nil
	})
	if armed.Load() {
		t.Error("the second was not taken away between the look and the repair")
	}
}

// TestARepairThatIsRefusedIsAProblem: a tenant's webhook or quota may refuse what it deleted.
func TestARepairThatIsRefusedIsAProblem(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(config)
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "refusing-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object := configMap("refused", map[string]any{"a": "1"})
	object.SetNamespace(namespace.Name)
	object.SetLabels(map[string]string{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot})
	registry := NewRegistry(newFastClock())
	owner := types.NamespacedName{Namespace: "acme", Name: t.Name()}
	session, err := registry.Open(owner, access())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close(owner) })
	follow(t, registry, session, []unstructured.Unstructured{object}, true)
	all := content(t, []unstructured.Unstructured{object}, nil)
	within(t, 100*time.Second, "the object to be applied", func() error {
		if !isApplied(all)(session.Observe()) {
			return fmt.Errorf("observation is %+v", session.Observe())
		}
		return nil
	})
	// Nothing can be made in a namespace that is being deleted; it stays so beside a bare API server.
	if err := client.CoreV1().Namespaces().Delete(t.Context(), namespace.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().ConfigMaps(namespace.Name).Delete(t.Context(), "refused", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "the refusal to be told", func() error {
		if o := session.Observe(); o.Applied == all.Hash || !strings.Contains(o.ApplyError, "refused") {
			return fmt.Errorf("observation is %+v", o)
		}
		return nil
	})
}
