package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// traffic is what users do to a tenant's API while it changes: requests of clients that keep
// their connection, as controllers do; requests that each come by a new connection, as kubectl
// does; and a watch that goes on from where it was when its connection ends, as informers do.
// There are no retries but client-go's own: every error that it returns is counted.
type traffic struct {
	// stopWriting ends the clients after the requests that they are at, and stopWatching the
	// watch.
	stopWriting, stopWatching func()

	mu       sync.Mutex
	requests int
	failures []string
	// written are, by object, the resource versions that the API server acknowledged, and seen
	// those that the watch told of, both in the order of their coming.
	written, seen map[string][]string
	lastSeen      int64
}

// trafficLabel is on what traffic writes.
const trafficLabel = "traffic"

// trafficPause is between the requests of one client: the load of a few busy controllers, which
// leaves the computer its time to start pods in.
const trafficPause = 50 * time.Millisecond

func newTraffic(t *testing.T, namespace, name string) *traffic {
	t.Helper()
	r := &traffic{written: map[string][]string{}, seen: map[string][]string{}}
	config, user := asUser(t, namespace, name)
	r.stopWatching = r.watch(t, config)
	t.Cleanup(r.stopWatching)

	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	r.stopWriting = func() { cancel(); clients.Wait() }
	t.Cleanup(r.stopWriting)
	for _, writer := range []string{"alpha", "beta"} {
		_, own := asUser(t, namespace, name)
		clients.Go(func() { r.write(ctx, own, writer, func() {}) })
	}
	kubectlConfig, _ := asUser(t, namespace, name)
	transport, err := rest.HTTPClientFor(kubectlConfig)
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := kubernetes.NewForConfigAndClient(kubectlConfig, transport)
	if err != nil {
		t.Fatal(err)
	}
	clients.Go(func() {
		r.write(ctx, kubectl, "kubectl", func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	})
	clients.Go(func() { r.read(ctx, user) })
	return r
}

// write makes ConfigMaps and changes each a few times. What was acknowledged must be what is
// read next, whichever replica answers. between is called after each request.
func (r *traffic) write(until context.Context, user kubernetes.Interface, writer string, between func()) {
	ctx := context.WithoutCancel(until)
	configMaps := user.CoreV1().ConfigMaps("default")
	var object *corev1.ConfigMap
	for n := 0; pause(until); n++ {
		var err error
		if object == nil || n%10 == 0 {
			object, err = configMaps.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", writer, n), Labels: map[string]string{trafficLabel: writer}},
			}, metav1.CreateOptions{})
		} else {
			object = object.DeepCopy()
			object.Data = map[string]string{"n": strconv.Itoa(n)}
			object, err = configMaps.Update(ctx, object, metav1.UpdateOptions{})
		}
		between()
		if !r.count("a write of "+writer, err) {
			object = nil
			continue
		}
		r.note(&r.written, object)

		got, err := configMaps.Get(ctx, object.Name, metav1.GetOptions{})
		between()
		if r.count("a read of "+writer, err) && (got.ResourceVersion != object.ResourceVersion || got.Data["n"] != object.Data["n"]) {
			r.fail("ConfigMap %s was written as %s and read as %s", object.Name, object.ResourceVersion, got.ResourceVersion)
		}
	}
}

// read lists, which is answered from the replica's cache once that has caught up with etcd.
func (r *traffic) read(until context.Context, user kubernetes.Interface) {
	for pause(until) {
		list, err := user.CoreV1().Namespaces().List(context.WithoutCancel(until), metav1.ListOptions{})
		if r.count("a list", err) && len(list.Items) < 4 {
			r.fail("a list has %d namespaces, fewer than Kubernetes makes", len(list.Items))
		}
	}
}

func (r *traffic) watch(t *testing.T, config *rest.Config) (stop func()) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Timeout = 0 // a watch has no end
	user := kubernetes.NewForConfigOrDie(config)
	ours := metav1.ListOptions{LabelSelector: trafficLabel}
	list, err := user.CoreV1().ConfigMaps("default").List(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = ours.LabelSelector
			return user.CoreV1().ConfigMaps("default").Watch(ctx, options)
		},
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range watcher.ResultChan() {
			object, ok := event.Object.(*corev1.ConfigMap)
			if !ok {
				r.fail("the watch ended: %s %v", event.Type, event.Object)
				return
			}
			r.note(&r.seen, object)
			r.inOrder(object)
		}
	})
	return func() { cancel(); reading.Wait() }
}

func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(trafficPause):
		return true
	}
}

// count counts a request and reports whether it was answered.
func (r *traffic) count(what string, err error) bool {
	if err != nil {
		r.fail("%s: %v", what, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	return err == nil
}

func (r *traffic) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (r *traffic) note(where *map[string][]string, object *corev1.ConfigMap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	(*where)[object.Name] = append((*where)[object.Name], object.ResourceVersion)
}

// inOrder makes sure that the watch tells of revisions as they came to be, each once.
func (r *traffic) inOrder(object *corev1.ConfigMap) {
	version, err := strconv.ParseInt(object.ResourceVersion, 10, 64)
	if err != nil || version <= r.lastSeen {
		r.fail("the watch told of %s at %s after %d", object.Name, object.ResourceVersion, r.lastSeen)
	}
	r.lastSeen = version
}

// mustBeFlawless fails the test if a request failed so far.
func (r *traffic) mustBeFlawless(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) > 0 {
		t.Errorf("%d of %d requests failed, among them:\n%s", len(r.failures), r.requests, strings.Join(r.failures[:min(20, len(r.failures))], "\n"))
		r.failures = nil
	}
}

// nothingLost ends the traffic. The watch must have told of every write that was acknowledged,
// and of no other.
func (r *traffic) nothingLost(t *testing.T) {
	t.Helper()
	r.stopWriting()
	r.mustBeFlawless(t)
	eventually(t, 30*time.Second, "the watch to tell of every write", func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for name, written := range r.written {
			if seen := r.seen[name]; !slices.Equal(seen, written) {
				return fmt.Errorf("ConfigMap %s was written as %v and seen as %v", name, written, seen)
			}
		}
		return nil
	})
	r.stopWatching()
	r.mustBeFlawless(t)
	t.Logf("%d requests, %d objects written", r.requests, len(r.written))
}
