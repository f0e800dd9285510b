package workerpool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// kindsInterval is how often a management cluster is asked for kinds that it does not have.
const kindsInterval = 15 * time.Second

// needed are the kinds that pools are made of, and that are not Teapot's.
var needed = []schema.GroupVersionKind{
	clusterv1.GroupVersion.WithKind(clusterv1.ClusterKind),
	clusterv1.GroupVersion.WithKind("Machine"),
	clusterv1.GroupVersion.WithKind("MachineDeployment"),
	clusterv1.GroupVersion.WithKind("MachineHealthCheck"),
	bootstrapv1.GroupVersion.WithKind("KubeadmConfigTemplate"),
}

// kinds begins to watch Cluster API's kinds once they are there: it may be installed after Teapot,
// or be removed while there are pools, which must go all the same.
type kinds struct {
	manager    ctrl.Manager
	controller controller.Controller
	// missing is the kind that was missing at the time asked.
	mu      sync.Mutex
	missing string
	asked   time.Time
	// begun is how many of the steps are done.
	begun int
}

// ensure begins the watches, and names a kind that is missing, or "".
func (k *kinds) ensure(ctx context.Context, r *Reconciler, now time.Time) (missing string, err error) {
	if k.manager == nil {
		return "", nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	steps := k.steps(r)
	if k.begun == len(steps) || k.missing != "" && now.Sub(k.asked) < kindsInterval {
		return k.missing, nil
	}
	for _, kind := range needed {
		_, err := k.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			k.missing, k.asked = kind.GroupKind().String(), now
			return k.missing, nil
		}
		if err != nil {
			return "", fmt.Errorf("asking for the kind %s: %w", kind.GroupKind(), err)
		}
	}
	k.missing = ""
	for ; k.begun < len(steps); k.begun++ {
		if err := steps[k.begun](ctx); err != nil {
			return "", fmt.Errorf("beginning to watch Cluster API's objects: %w", err)
		}
	}
	return "", nil
}

// steps are what is done once each.
func (k *kinds) steps(r *Reconciler) []func(context.Context) error {
	watch := func(kind client.Object, to handler.EventHandler, which ...predicate.Predicate) func(context.Context) error {
		return func(context.Context) error {
			return k.controller.Watch(source.Kind(k.manager.GetCache(), kind, to, which...))
		}
	}
	owned := handler.EnqueueRequestForOwner(k.manager.GetScheme(), k.manager.GetRESTMapper(), &teapotv1.WorkerPool{}, handler.OnlyControllerOwner())
	return []func(context.Context) error{
		func(ctx context.Context) error {
			return k.manager.GetFieldIndexer().IndexField(ctx, &clusterv1.Cluster{}, clustersIndex, func(object client.Object) []string {
				if name := clusterapi.ControlPlaneOf(object.(*clusterv1.Cluster)); name != "" {
					return []string{name}
				}
				return nil
			})
		},
		watch(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster), changes(sameCluster)),
		watch(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(toPool), changes(sameMachine)),
		watch(&clusterv1.MachineDeployment{}, owned),
		watch(&clusterv1.MachineHealthCheck{}, owned),
		watch(&bootstrapv1.KubeadmConfigTemplate{}, owned),
	}
}
