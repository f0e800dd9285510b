package hostmachine_test

import (
	"context"
	"errors"
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controllers/hostmachine"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// One real kube-apiserver, with the CRDs of Cluster API and of Metal3, and one manager serve all
// tests of the package. The tests play Cluster API and the claims' controller.
var (
	config  *rest.Config
	scheme  *runtime.Scheme
	direct  client.Client
	cached  client.Reader // what the manager reads
	tenants = tenant.NewRegistry(clock.RealClock{})
	writes  = &writeLog{}
)

// byHandLabel marks machines that a test reconciles by hand: the manager leaves them alone.
const byHandLabel = "test.teapot.dev/by-hand"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
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
	err = apiserver.InstallUpstream(config,
		apiserver.ClusterAPICRDs, apiserver.KubeadmBootstrapCRDs, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD)
	if err != nil {
		panic(err)
	}
	scheme = controllers.Scheme()
	if err := errors.Join(bootstrapv1.AddToScheme(scheme), host.AddToScheme(scheme)); err != nil {
		panic(err)
	}
	if direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	mgr, err := newManager()
	if err != nil {
		panic(err)
	}
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			panic(err)
		}
	}()
	return m.Run()
}

func newManager() (ctrl.Manager, error) {
	watched := rest.CopyConfig(config)
	watched.QPS = -1
	watched.Wrap(func(next http.RoundTripper) http.RoundTripper { return writes.wrap(next) })
	options := controllers.CacheOptions()
	notByHand, err := labels.NewRequirement(byHandLabel, selection.DoesNotExist, nil)
	if err != nil {
		return nil, err
	}
	options.ByObject[&teapotv1.HostMachine{}] = cache.ByObject{Label: labels.NewSelector().Add(*notByHand)}
	mgr, err := ctrl.NewManager(watched, ctrl.Options{
		Scheme: scheme, Cache: options,
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, err
	}
	machines := &hostmachine.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Tokens: tenants,
		Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{},
		NewID: func() string { return string(uuid.NewUUID()) },
	}
	templates := &hostmachine.TemplateReconciler{
		Client: mgr.GetClient(), Hosts: tenantcluster.Hosts{Client: mgr.GetClient(), Live: mgr.GetAPIReader()},
	}
	cached = mgr.GetClient()
	many := controller.Options{MaxConcurrentReconciles: 4}
	return mgr, errors.Join(mgr.Add(tenants), machines.SetupWithManager(mgr, many), templates.SetupWithManager(mgr, many))
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
		if strings.Contains(request, text) && !strings.Contains(request, "/events") {
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	must(t, direct.Create(t.Context(), namespace))
	return namespace.Name
}
