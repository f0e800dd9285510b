package tenantcluster_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// One real kube-apiserver, with the CRDs of Cluster API and of Metal3, and one manager serve all
// tests of the package. The tests play Cluster API.
var (
	config *rest.Config
	scheme *runtime.Scheme
	direct client.Client
)

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
		apiserver.ClusterCRD, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD)
	if err != nil {
		panic(err)
	}
	scheme = controllers.Scheme()
	if err := host.AddToScheme(scheme); err != nil {
		panic(err)
	}
	if direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		panic(err)
	}
	mgr, err := newManager()
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

func newManager() (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: controllers.CacheOptions(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, err
	}
	reconciler := &tenantcluster.Reconciler{
		Client: mgr.GetClient(), Clock: clock.RealClock{},
		Hosts: tenantcluster.Hosts{Client: mgr.GetClient(), Live: mgr.GetAPIReader()},
	}
	return mgr, reconciler.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4})
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

func newNamespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-", Labels: labels}}
	must(t, direct.Create(t.Context(), namespace))
	return namespace.Name
}

// change writes a change to the newest state of an object.
func change(t testing.TB, object client.Object, what func()) {
	t.Helper()
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	before := object.DeepCopyObject().(client.Object)
	what()
	must(t, direct.Patch(t.Context(), object, client.MergeFrom(before)))
}

func changeStatus(t testing.TB, object client.Object, what func()) {
	t.Helper()
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	before := object.DeepCopyObject().(client.Object)
	what()
	must(t, direct.Status().Patch(t.Context(), object, client.MergeFrom(before)))
}
