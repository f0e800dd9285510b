package tenantcluster_test

import (
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
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// One real kube-apiserver, with the CRDs of Cluster API and of Metal3, and one manager serve all
// tests of the package. The tests play Cluster API.
var (
	config *rest.Config
	scheme *runtime.Scheme
	direct client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (apiserver.Manager, error) {
	config = of
	err := apiserver.InstallUpstream(config,
		apiserver.ClusterCRD, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD)
	if err != nil {
		return nil, err
	}
	scheme = controllers.Scheme()
	if direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	return newManager()
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
		Hosts: hosts.Reader{Client: mgr.GetClient(), Live: mgr.GetAPIReader()},
	}
	return mgr, reconciler.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4})
}

// eventually looks at the API server's state until a condition holds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	apiserver.Eventually(t, 30*time.Second, what, check)
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
	apiserver.Change(t, direct, object, what)
}

func changeStatus(t testing.TB, object client.Object, what func()) {
	t.Helper()
	apiserver.ChangeStatus(t, direct, object, what)
}
