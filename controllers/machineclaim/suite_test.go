package machineclaim_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// One real kube-apiserver with upstream's CRDs serves all tests of the package. No
// baremetal-operator runs there: claimtest.Operator plays it.
var (
	config *rest.Config
	direct client.WithWatch
)

func TestMain(m *testing.M) {
	// Tests that may run side by side wait for the API server more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard()) // managers that are killed have much to say
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (_ apiserver.Manager, err error) {
	config = of
	config.QPS = -1
	if err := claimtest.InstallCRDs(config); err != nil {
		return nil, err
	}
	direct, err = client.NewWithWatch(config, client.Options{Scheme: claimtest.Scheme()})
	return nil, err
}

// newNamespace makes a namespace of the test's own.
func newNamespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "room-"}}
	if err := direct.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// newClaim is a claim of hosts of its own namespace, with user data.
func newClaim(namespace, name string) *teapotv1.MachineClaim {
	claim := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	claim.Spec.Image = teapotv1.Image{
		URL:      claimtest.ImageOf(client.ObjectKeyFromObject(claim)),
		Checksum: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	}
	claim.Spec.UserData = &teapotv1.SecretReference{Name: name + "-bootstrap"}
	return claim
}

// bootstrap is the Secret that newClaim names, as Cluster API writes it.
func bootstrap(claim *teapotv1.MachineClaim) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: claim.Spec.UserData.Name},
		Data:       map[string][]byte{"value": []byte("#cloud-config of " + claim.Name), "format": []byte("cloud-config")},
	}
}

func create(ctx context.Context, t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := direct.Create(ctx, object); err != nil {
			t.Fatal(err)
		}
	}
}

func request(object client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}
