package tenantcontrolplane

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/annotations"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// clusterPatience is how long a reconcile waits for the first look at Clusters.
const clusterPatience = 5 * time.Second

// clusterWatch begins to watch Clusters when the first control plane belongs to one: a
// management cluster without Cluster API has no such kind, and may get it at any time.
type clusterWatch struct {
	controller controller.Controller
	cache      cache.Cache

	mu      sync.Mutex
	started bool
}

// ensure starts the watch once. It fails while Cluster API is not installed.
func (w *clusterWatch) ensure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.controller == nil {
		return nil
	}
	toControlPlane := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, cluster *clusterv1.Cluster) []reconcile.Request {
		if name := clusterapi.ControlPlaneOf(cluster); name != "" {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: cluster.Namespace, Name: name}}}
		}
		return nil
	})
	if err := w.controller.Watch(source.Kind(w.cache, &clusterv1.Cluster{}, toControlPlane)); err != nil {
		return fmt.Errorf("watching Clusters: %w", err)
	}
	w.started = true
	return nil
}

// TrimCluster keeps of a Cluster in the cache what is read of it, here and by the machines'
// controllers.
func TrimCluster(in any) (any, error) {
	cluster, ok := in.(*clusterv1.Cluster)
	if !ok {
		return in, nil // a tombstone
	}
	trimmed := &clusterv1.Cluster{TypeMeta: cluster.TypeMeta}
	trimmed.Namespace, trimmed.Name, trimmed.UID = cluster.Namespace, cluster.Name, cluster.UID
	trimmed.ResourceVersion = cluster.ResourceVersion
	trimmed.Labels = cluster.Labels
	if workers, ok := cluster.Annotations[teapotv1.HibernationAnnotation]; ok {
		trimmed.Annotations = map[string]string{teapotv1.HibernationAnnotation: workers}
	}
	trimmed.DeletionTimestamp = cluster.DeletionTimestamp
	trimmed.Spec.Paused, trimmed.Spec.ControlPlaneRef = cluster.Spec.Paused, cluster.Spec.ControlPlaneRef
	trimmed.Spec.InfrastructureRef, trimmed.Spec.ControlPlaneEndpoint = cluster.Spec.InfrastructureRef, cluster.Spec.ControlPlaneEndpoint
	trimmed.Status.Initialization = cluster.Status.Initialization
	return trimmed, nil
}

// observeCluster finds out whether Cluster API wants the control plane to be left alone.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane#controlplane-pausing
func (s *scope) observeCluster(ctx context.Context) error {
	if annotations.HasPaused(s.tcp) && !s.paused {
		s.paused, s.pausedBy = true, teapotv1.ReasonClusterPaused
	}
	if !s.inCluster {
		return nil
	}
	// Reading waits until the watch has begun, which it cannot without the right to.
	ctx, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	cluster := &clusterv1.Cluster{}
	err := s.clusters.ensure()
	if err == nil {
		err = s.Client.Get(ctx, types.NamespacedName{Namespace: s.tcp.Namespace, Name: s.input.ClusterName}, cluster)
	}
	switch {
	case err == nil:
		s.cluster = cluster
		if clusterapi.ClusterPaused(cluster) && !s.paused {
			s.paused, s.pausedBy = true, teapotv1.ReasonClusterPaused
		}
		return nil
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		// The Cluster goes before its control plane does, or Cluster API was removed: nobody is
		// left to pause anything.
		return nil
	default:
		return fmt.Errorf("reading Cluster %s/%s, which owns TenantControlPlane %s: %w", s.tcp.Namespace, s.input.ClusterName, s.tcp.Name, err)
	}
}

// publishEndpoint writes the endpoint where Cluster API's contract has it, if there is a
// Cluster to read it.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane#controlplane-endpoint
func (s *scope) publishEndpoint(ctx context.Context) error {
	wanted := clusterv1.APIEndpoint{Host: s.input.Endpoint.Host, Port: s.input.Endpoint.Port}
	if !s.inCluster || s.paused || s.tcp.Spec.ControlPlaneEndpoint == wanted {
		return nil
	}
	status := s.tcp.Status
	before := s.tcp.DeepCopy()
	s.tcp.Spec.ControlPlaneEndpoint = wanted
	if err := s.Client.Patch(ctx, s.tcp, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return fmt.Errorf("writing spec.controlPlaneEndpoint of TenantControlPlane %s: %w", s.input.Owner, err)
	}
	// The answer holds the status of before this reconcile.
	s.tcp.Status = status
	s.before.Spec, s.before.ObjectMeta = s.tcp.Spec, *s.tcp.ObjectMeta.DeepCopy()
	return nil
}
