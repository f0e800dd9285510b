package tenantcontrolplane_test

import (
	"context"
	"flag"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// One real kube-apiserver with one manager serve all tests of the package. No pods run
// there: what needs them is in test/e2e.
var (
	config *rest.Config
	direct client.Client
	writes = &writeLog{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	// Tests that may run side by side wait for the API server more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
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
	if direct, err = client.New(config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		panic(err)
	}
	watched := rest.CopyConfig(config)
	watched.QPS = -1
	watched.Wrap(func(next http.RoundTripper) http.RoundTripper { return writes.wrap(next) })
	mgr, err := ctrl.NewManager(watched, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: allButByHand(controllers.CacheOptions()),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		panic(err)
	}
	err = controllers.Setup(mgr, controllers.Options{
		Settings:                controlplane.Settings{NodePortAddress: "127.0.0.1"},
		MaxConcurrentReconciles: 4,
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			panic(err)
		}
	}()
	return m.Run()
}

// allButByHand leaves out the control planes that a test reconciles by itself.
func allButByHand(options cache.Options) cache.Options {
	for kind, by := range options.ByObject {
		if _, ok := kind.(*teapotv1.TenantControlPlane); ok {
			by.Label = labels.NewSelector().Add(*must(labels.NewRequirement(byHandLabel, selection.DoesNotExist, nil)))
			options.ByObject[kind] = by
		}
	}
	return options
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// writeLog notes every request of the manager that is not a read.
type writeLog struct {
	mu       sync.Mutex
	requests []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *writeLog) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet {
			w.mu.Lock()
			w.requests = append(w.requests, r.Method+" "+r.URL.Path)
			w.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

// about returns the writes to objects whose path holds a text.
func (w *writeLog) about(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, request := range w.requests {
		if strings.Contains(request, text) {
			found = append(found, request)
		}
	}
	return found
}

// eventually polls a condition of the API server's state.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	var err error
	for time.Now().Before(deadline) {
		if err = check(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond) // between two looks at the API server
	}
	t.Fatalf("waiting for %s: %v", what, err)
}

// tenantNamespace makes a namespace of the test's own.
func tenantNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	if err := direct.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// create makes a control plane and removes it at the end of the test.
func create(t *testing.T, change func(*teapotv1.TenantControlPlane)) *teapotv1.TenantControlPlane {
	t.Helper()
	tcp := &teapotv1.TenantControlPlane{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace(t), Name: "cp"},
		Spec:       teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"},
	}
	if change != nil {
		change(tcp)
	}
	if err := direct.Create(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, tcp) })
	return tcp
}

func key(tcp *teapotv1.TenantControlPlane) types.NamespacedName {
	return client.ObjectKeyFromObject(tcp)
}
