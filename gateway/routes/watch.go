package routes

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Options are what Routes works with.
type Options struct {
	// Leases is the management cluster's API.
	Leases coordinationclient.LeasesGetter
	// Pod is this gateway's name, under which it writes.
	Pod   string
	Clock clock.WithTicker
	Log   logr.Logger
	// Wrote is told of each try to write.
	Wrote func(What, error)
}

// What is something that a gateway writes.
type What string

// Values of What.
const (
	Wake     What = "wake"
	Activity What = "activity"
)

// Routes is a Table that is kept from the Leases, and writes what is to be written on them.
type Routes struct {
	*Table
	options Options
	reports workqueue.TypedDelayingInterface[*Tenant]
	watch   cache.Controller
	// complain limits what is logged of writes that fail: when the management cluster is away, all do.
	complain rate.Sometimes
}

const complainEvery = 10 * time.Second

// New returns Routes that know of nothing until they are run.
func New(options Options) *Routes {
	r := &Routes{Table: NewTable(), options: options, complain: rate.Sometimes{Interval: complainEvery}}
	r.reports = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[*Tenant]{Clock: options.Clock})
	_, r.watch = cache.NewInformerWithOptions(cache.InformerOptions{
		Logger: &options.Log,
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = teapotv1.GatewayLabel
				return options.Leases.Leases(metav1.NamespaceAll).List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.LabelSelector = teapotv1.GatewayLabel
				return options.Leases.Leases(metav1.NamespaceAll).Watch(ctx, o)
			},
		},
		ObjectType: &coordinationv1.Lease{},
		Transform:  onlyRoute,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(added any) { r.take(added.(*coordinationv1.Lease)) },
			UpdateFunc: func(_, updated any) { r.take(updated.(*coordinationv1.Lease)) },
			DeleteFunc: func(deleted any) {
				name, err := cache.DeletionHandlingObjectToName(deleted)
				if err != nil {
					options.Log.Error(err, "a Lease is gone, and which is not known")
					return
				}
				r.remove(name.AsNamespacedName(), options.Clock.Now())
			},
		},
	})
	return r
}

// onlyRoute leaves of a Lease what a route is read from: a thousand of them are kept, and what gateways
// write of users is of no use to them.
func onlyRoute(object any) (any, error) {
	lease, ok := object.(*coordinationv1.Lease)
	if !ok {
		return object, nil // the last that was known of one that is gone
	}
	slim := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: lease.Namespace, Name: lease.Name, ResourceVersion: lease.ResourceVersion,
			Labels: map[string]string{}, Annotations: map[string]string{},
		},
		Spec: coordinationv1.LeaseSpec{RenewTime: lease.Spec.RenewTime},
	}
	for _, key := range []string{teapotv1.ControlPlaneNamespaceLabel, teapotv1.ControlPlaneNameLabel} {
		slim.Labels[key] = lease.Labels[key]
	}
	for _, key := range []string{
		teapotv1.GatewayHostAnnotation, teapotv1.GatewayBackendAnnotation, teapotv1.GatewayCAAnnotation, teapotv1.GatewayStateAnnotation,
		teapotv1.GatewaySinceAnnotation, teapotv1.GatewayAsleepSinceAnnotation, teapotv1.GatewayWakeAnnotation,
	} {
		if value, found := lease.Annotations[key]; found {
			slim.Annotations[key] = value
		}
	}
	return slim, nil
}

// take takes what a Lease says now.
func (r *Routes) take(lease *coordinationv1.Lease) {
	tenant, err := r.set(lease, r.options.Clock.Now())
	if err != nil {
		r.options.Log.Error(err, "a route is not used")
		return
	}
	r.reports.Add(tenant) // it may have come back with users who never left
}

// Known says whether all Leases have been seen once. From then on connections are passed on by what
// is known, also while the management cluster is away.
func (r *Routes) Known() bool { return r.watch.HasSynced() }

// Synced is closed when Known first says yes.
func (r *Routes) Synced() <-chan struct{} { return r.watch.HasSyncedChecker().Done() }

// Run keeps the table and writes activity until the context ends. When it returns, nothing is being
// written any more.
func (r *Routes) Run(ctx context.Context) {
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for r.writeNext(ctx) {
			}
		})
	}
	r.watch.RunWithContext(ctx)
	r.reports.ShutDown()
	writing.Wait()
}
