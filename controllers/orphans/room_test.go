package orphans_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

var (
	config *rest.Config
	direct client.WithWatch
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.RunManaged(m, prepare))
}

func prepare(of *rest.Config) (_ apiserver.Manager, err error) {
	config = of
	if err := claimtest.InstallCRDs(config); err != nil {
		return nil, err
	}
	direct, err = client.NewWithWatch(config, client.Options{Scheme: claimtest.Scheme()})
	return nil, err
}

// room is a namespace with a host, machine-0, and sweeps that the test asks for.
type room struct {
	*orphans.Reconciler
	namespace string
	clock     *testingclock.FakeClock
	recorder  *events.FakeRecorder
	operator  *claimtest.Operator
	writes    int
}

func newRoom(t *testing.T) *room {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "room-"}}
	create(t, namespace)
	r := &room{
		namespace: namespace.Name, clock: testingclock.NewFakeClock(time.Now()),
		recorder: events.NewFakeRecorder(100), operator: &claimtest.Operator{Client: direct},
	}
	r.Reconciler = &orphans.Reconciler{Client: interceptor.NewClient(direct, interceptor.Funcs{
		// What other tests leave is not this one's; and hosts are as the manager's cache has them.
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if err := c.List(ctx, list, append(options, client.InNamespace(r.namespace))...); err != nil {
				return err
			}
			if hosts, ok := list.(*host.List); ok {
				for i := range hosts.Items {
					kept, err := host.Transform(hosts.Items[i].DeepCopy())
					if err != nil {
						return err
					}
					hosts.Items[i] = *kept.(*host.Object)
				}
			}
			return nil
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			r.writes++
			return c.Patch(ctx, object, patch, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			r.writes++
			return c.Delete(ctx, object, options...)
		},
	}), Live: direct, Recorder: r.recorder, Clock: r.clock}
	o := claimtest.NewHost(r.namespace, "machine-0")
	create(t, o)
	claimtest.MakeAvailable(o)
	if err := direct.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := direct.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *room) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: name}
}

// claim makes a claim that holds machine-0.
func (r *room) claim(t *testing.T, name string) *teapotv1.MachineClaim {
	t.Helper()
	c := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: r.namespace, Name: name, Annotations: map[string]string{teapotv1.HostAnnotation: r.namespace + "/machine-0"},
	}}
	c.Spec.Image = teapotv1.Image{URL: "oci://images.example.com/node:v1"}
	create(t, c)
	return c
}

// provisioned lets a claim, which may not exist, hold a host that runs its image, with a Secret.
func (r *room) provisioned(t *testing.T, holder host.Holder) {
	t.Helper()
	r.change(t, func(o *host.Object) {
		host.Take(o, holder, "namespace-0")
		host.Provision(o, host.Provisioning{Image: teapotv1.Image{URL: "oci://images.example.com/node:v1"}})
	})
	create(t, host.Secret(r.host(t), holder.NamespacedName, host.UserData, []byte("secret")))
	r.play(t)
}

func (r *room) host(t *testing.T) *host.Object {
	t.Helper()
	o := &host.Object{}
	if err := direct.Get(t.Context(), r.key("machine-0"), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func (r *room) change(t *testing.T, change func(*host.Object)) {
	t.Helper()
	o := r.host(t)
	before := o.DeepCopy()
	change(o)
	if err := direct.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// play plays the operator until the host rests.
func (r *room) play(t *testing.T) {
	t.Helper()
	for played := true; played; {
		var err error
		if played, err = r.operator.Step(t.Context(), r.key("machine-0")); err != nil {
			t.Fatal(err)
		}
	}
}

// sweep sweeps once, after some time.
func (r *room) sweep(t *testing.T, after time.Duration) {
	t.Helper()
	r.clock.Step(after)
	result, err := r.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter != orphans.Interval {
		t.Fatalf("the sweep ends with %+v, %v", result, err)
	}
	r.play(t)
}

func (r *room) holder(name string, uid types.UID) host.Holder {
	return host.Holder{NamespacedName: r.key(name), UID: uid}
}

// runs says whether the host is untouched.
func (r *room) runs(t *testing.T) bool {
	t.Helper()
	v := host.Of(r.host(t))
	return v.Holder != nil && v.State == string(metal3v1.StateProvisioned) && v.Asked != ""
}

// free says whether the host is back, with nothing beside it.
func (r *room) free(t *testing.T) bool {
	t.Helper()
	secrets := &corev1.SecretList{}
	if err := direct.List(t.Context(), secrets, client.InNamespace(r.namespace), client.HasLabels{teapotv1.ClaimNameLabel}); err != nil {
		t.Fatal(err)
	}
	v := host.Of(r.host(t))
	return v.Claimable(host.Tenant{}) == host.Claimable && len(secrets.Items) == 0
}

func (r *room) told() string {
	var all []string
	for {
		select {
		case event := <-r.recorder.Events:
			all = append(all, event)
		default:
			return strings.Join(all, "\n")
		}
	}
}
