package hostmachine_test

import (
	"errors"
	"os"
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
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/test/faults"
)

// One real kube-apiserver, with the CRDs of Cluster API and of Metal3, and one manager serve all
// tests of the package. The tests play Cluster API and the claims' controller.
var (
	config  *rest.Config
	scheme  *runtime.Scheme
	direct  client.Client
	cached  client.Reader // what the manager reads
	tenants = tenant.NewRegistry(clock.RealClock{})
	writes  = &faults.Requests{}
)

// byHandLabel marks machines that a test reconciles by hand: the manager leaves them alone.
const byHandLabel = "test.teapot.dev/by-hand"

func TestMain(m *testing.M) {
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (apiserver.Manager, error) {
	config = of
	err := apiserver.InstallUpstream(config,
		apiserver.ClusterAPICRDs, apiserver.KubeadmBootstrapCRDs, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD)
	if err != nil {
		return nil, err
	}
	scheme = controllers.Scheme()
	if err := bootstrapv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	return newManager()
}

func newManager() (ctrl.Manager, error) {
	watched := rest.CopyConfig(config)
	watched.QPS = -1
	watched.Wrap(writes.Wrap)
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
		Client: mgr.GetClient(), Hosts: hosts.Reader{Client: mgr.GetClient(), Live: mgr.GetAPIReader()},
	}
	cached = mgr.GetClient()
	many := controller.Options{MaxConcurrentReconciles: 4}
	return mgr, errors.Join(mgr.Add(tenants), machines.SetupWithManager(mgr, many), templates.SetupWithManager(mgr, many))
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

func newNamespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-"}}
	must(t, direct.Create(t.Context(), namespace))
	return namespace.Name
}
