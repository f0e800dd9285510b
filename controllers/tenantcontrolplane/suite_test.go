package tenantcontrolplane_test

import (
	"flag"
	"os"
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
	"github.com/teapot-cloud/teapot/test/faults"
)

// One real kube-apiserver with one manager serve all tests of the package. No pods run
// there: what needs them is in test/e2e.
var (
	config *rest.Config
	direct client.Client
	writes = &faults.Requests{}
)

// settings are an operator's who has a gateway.
var settings = controlplane.Settings{
	NodePortAddress: "127.0.0.1",
	Gateway:         controlplane.GatewaySettings{Domain: "teapot.test", Address: "127.0.0.1:443"},
}

func TestMain(m *testing.M) {
	// Tests that may run side by side wait for the API server more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (_ apiserver.Manager, err error) {
	config = of
	if direct, err = client.New(config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return nil, err
	}
	watched := rest.CopyConfig(config)
	watched.QPS = -1
	watched.Wrap(writes.Wrap)
	mgr, err := ctrl.NewManager(watched, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: allButByHand(controllers.CacheOptions()),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, err
	}
	err = controllers.Setup(mgr, controllers.Options{
		Settings:                settings,
		MaxConcurrentReconciles: 4,
	})
	if err != nil {
		return nil, err
	}
	return mgr, nil
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

// eventually looks at the API server's state until a condition holds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	apiserver.Eventually(t, 30*time.Second, what, check)
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
