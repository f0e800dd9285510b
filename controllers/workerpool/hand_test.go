package workerpool_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controllers/workerpool"
	"github.com/teapot-cloud/teapot/test/faults"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// hand is a manager whose reconciles the test asks for. Its client reads from the API server what a
// cache would hold.
type hand struct {
	workerpool.Reconciler
	recorder *events.FakeRecorder
	pool     types.NamespacedName

	faults.Writes
	// stale, if set, is the control plane that its cache has.
	stale *teapotv1.TenantControlPlane
	// staleCluster, if set, is the Cluster that its cache has.
	staleCluster *clusterv1.Cluster
	// staleDeployment, if set, is the MachineDeployment that its cache has.
	staleDeployment *clusterv1.MachineDeployment
	// beforeCreate, if set, is called before an object is created.
	beforeCreate func(client.Object)
}

// newHand makes one for a pool on a server, that suffers a fault at a write; 0 means never.
func newHand(t testing.TB, of *rest.Config, p *play, c clock.PassiveClock, what faults.Fault, at int) *hand {
	t.Helper()
	live, err := client.NewWithWatch(of, client.Options{Scheme: scheme, Mapper: p.c.RESTMapper()})
	must(t, err)
	h := &hand{pool: p.key(), recorder: events.NewFakeRecorder(1000), Writes: faults.Writes{Fault: what, At: at}}
	h.Reconciler = workerpool.Reconciler{Client: interceptor.NewClient(live, h.intercept()), Live: live, Recorder: h.recorder, Clock: c}
	return h
}

func (h *hand) intercept() interceptor.Funcs {
	funcs := h.Funcs()
	trim := controllers.CacheOptions().DefaultTransform
	funcs.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if controlPlane, ok := object.(*teapotv1.TenantControlPlane); ok && h.stale != nil {
			h.stale.DeepCopyInto(controlPlane)
			return nil
		}
		// A cache fills in the whole object, a client only what the answer has.
		empty := reflect.New(reflect.TypeOf(object).Elem()).Interface().(client.Object)
		if err := c.Get(ctx, key, empty, options...); err != nil {
			return err
		}
		if md, ok := empty.(*clusterv1.MachineDeployment); ok && h.staleDeployment != nil {
			h.staleDeployment.DeepCopyInto(md)
		}
		kind, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			return err
		}
		empty.GetObjectKind().SetGroupVersionKind(kind) // a cache does so, a client does not
		trimmed, err := trim(empty)
		if err != nil {
			return err
		}
		reflect.ValueOf(object).Elem().Set(reflect.ValueOf(trimmed).Elem())
		return nil
	}
	funcs.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		asked := &client.ListOptions{}
		asked.ApplyOptions(options)
		index := asked.FieldSelector
		asked.FieldSelector = nil // an index of the cache's
		if err := c.List(ctx, list, asked); err != nil {
			return err
		}
		if clusters, ok := list.(*clusterv1.ClusterList); ok && index != nil {
			var found []clusterv1.Cluster
			for _, cluster := range clusters.Items {
				if h.staleCluster != nil && cluster.Name == h.staleCluster.Name {
					cluster = *h.staleCluster.DeepCopy()
				}
				if clusterapi.ControlPlaneOf(&cluster) == index.Requirements()[0].Value {
					found = append(found, cluster)
				}
			}
			clusters.Items = found
		}
		return meta.EachListItem(list, func(object runtime.Object) error {
			trimmed, err := trim(object)
			if err == nil {
				reflect.ValueOf(object).Elem().Set(reflect.ValueOf(trimmed).Elem())
			}
			return err
		})
	}
	create := funcs.Create
	funcs.Create = func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
		if h.beforeCreate != nil {
			h.beforeCreate(object)
		}
		return create(ctx, c, object, options...)
	}
	return funcs
}

func (h *hand) once(ctx context.Context) (ctrl.Result, error) {
	return h.Reconcile(ctx, ctrl.Request{NamespacedName: h.pool})
}

// settle reconciles until nothing is written any more, and returns how it ended.
func (h *hand) settle(t testing.TB) ctrl.Result {
	t.Helper()
	for range 50 {
		before := len(h.Asked)
		result, err := h.once(t.Context())
		if h.Ended {
			return result
		}
		if err == nil && len(h.Asked) == before {
			return result
		}
	}
	t.Fatalf("it never ends: %q", h.Asked)
	return ctrl.Result{}
}

// told returns the events so far.
func (h *hand) told() []string {
	return faults.Told(h.recorder)
}

// byHand prepares a pool that no manager but the test's own looks at.
func byHand(t testing.TB, c client.Client) *play {
	t.Helper()
	p := newPlayIn(t, c)
	p.pool.Labels = map[string]string{byHandLabel: ""}
	return p
}

// later is a clock that stands at a time from now.
type later time.Duration

func (l later) Now() time.Time                  { return time.Now().Add(time.Duration(l)) }
func (l later) Since(t time.Time) time.Duration { return l.Now().Sub(t) }
