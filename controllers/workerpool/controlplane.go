package workerpool

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	"github.com/teapot-cloud/teapot/workers/pool"
)

func refuse(reason, format string, args ...any) *pool.Refusal {
	return &pool.Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// waitForClusterAPI waits for the kinds that a pool is made of.
func (s *scope) waitForClusterAPI(context.Context) error {
	if s.missing == "" {
		return nil
	}
	s.requeueAfter(kindsInterval)
	return refuse(teapotv1.ReasonWaitingForClusterAPI, "waiting for Cluster API to be installed in the management cluster: it has no %s; see docs/operations.md", s.missing)
}

// waitForControlPlane waits for a control plane that machines of the pool's version may join.
func (s *scope) waitForControlPlane(context.Context) error {
	if refusal := s.usable(s.controlPlane); refusal != nil {
		return refusal
	}
	if refusal := pool.Skew(s.pool.Spec.Version, s.controlPlane); refusal != nil {
		return refusal
	}
	return nil
}

// usable says why nothing is made for a control plane; nil: it may be.
func (s *scope) usable(controlPlane *teapotv1.TenantControlPlane) *pool.Refusal {
	switch {
	case controlPlane == nil:
		return refuse(teapotv1.ReasonWaitingForControlPlane, "waiting for TenantControlPlane %s, which spec.controlPlaneName names, to be made in namespace %s",
			s.pool.Spec.ControlPlaneName, s.pool.Namespace)
	case !controlPlane.DeletionTimestamp.IsZero():
		return refuse(teapotv1.ReasonControlPlaneDeleting, "TenantControlPlane %s is being deleted, and its machines with it: nothing is made anew", controlPlane.Name)
	}
	return nil
}

// begin writes the finalizer, before anything is made that could leak, and the owner: the pool goes
// with its control plane, and clusterctl finds it there when it moves the Cluster. The owner's UID
// is read live: by one of an earlier control plane, Kubernetes would delete the pool.
func (s *scope) begin(ctx context.Context) error {
	owner := s.ownerUID()
	if controllerutil.ContainsFinalizer(s.pool, teapotv1.WorkerPoolFinalizer) && owner == s.controlPlane.UID {
		return nil
	}
	if err := s.readControlPlane(ctx); err != nil {
		return err
	}
	if owner != "" && owner != s.controlPlane.UID {
		return refuse(teapotv1.ReasonControlPlaneDeleting, "the TenantControlPlane %s that the pool was made for is gone, and the pool is deleted with it; make the pool again for the new one",
			s.controlPlane.Name)
	}
	return s.patch(ctx, "writing the finalizer and the owner", func() {
		controllerutil.AddFinalizer(s.pool, teapotv1.WorkerPoolFinalizer)
		if owner == "" {
			s.pool.OwnerReferences = append(s.pool.OwnerReferences, metav1.OwnerReference{
				APIVersion: teapotv1.GroupVersion.String(), Kind: "TenantControlPlane",
				Name: s.controlPlane.Name, UID: s.controlPlane.UID,
			})
		}
	})
}

// ownerUID is the UID of the control plane that owns the pool, or "".
func (s *scope) ownerUID() types.UID {
	at := slices.IndexFunc(s.pool.OwnerReferences, func(reference metav1.OwnerReference) bool {
		group, err := schema.ParseGroupVersion(reference.APIVersion)
		return err == nil && group.Group == teapotv1.GroupVersion.Group &&
			reference.Kind == "TenantControlPlane" && reference.Name == s.pool.Spec.ControlPlaneName
	})
	if at < 0 {
		return ""
	}
	return s.pool.OwnerReferences[at].UID
}

// readControlPlane reads the control plane from the API server, and refuses one that is not to be
// used any more.
func (s *scope) readControlPlane(ctx context.Context) error {
	live := &teapotv1.TenantControlPlane{}
	found, err := s.find(ctx, s.Live, s.pool.Spec.ControlPlaneName, live)
	if err != nil {
		return err
	}
	if !found {
		live = nil
	}
	if refusal := s.usable(live); refusal != nil {
		return refusal
	}
	s.controlPlane = live
	return nil
}

// ensureCluster finds the Cluster of the control plane: the one that owns or names it, or else one
// that is made for all its pools.
func (s *scope) ensureCluster(ctx context.Context) error {
	cluster, refusal := pool.ChooseCluster(s.controlPlane.Name, clusterapi.OwnerName(s.controlPlane, clusterv1.ClusterKind), s.naming)
	switch {
	case refusal != nil:
		return refusal
	case cluster == nil:
		return s.makeCluster(ctx)
	case !cluster.DeletionTimestamp.IsZero():
		return clusterGoes(cluster.Name)
	}
	s.cluster = cluster
	if cluster.Name != s.controlPlane.Name || !clusterapi.MadeFor(cluster, s.controlPlane.Name) {
		return nil
	}
	return s.ensureInfrastructure(ctx)
}

func clusterGoes(name string) *pool.Refusal {
	return refuse(teapotv1.ReasonControlPlaneDeleting, "Cluster %s goes, and its machines with it: nothing is made anew", name)
}

// ensureInfrastructure makes the TenantCluster of a Cluster that Teapot made, if it is missing.
func (s *scope) ensureInfrastructure(ctx context.Context) error {
	_, infrastructure := pool.NewCluster(s.controlPlane)
	have := &teapotv1.TenantCluster{}
	found, err := s.find(ctx, s.Client, infrastructure.Name, have)
	if err == nil && !found {
		found, err = s.find(ctx, s.Live, infrastructure.Name, have)
	}
	switch {
	case err != nil:
		return err
	case !found:
		return s.make(ctx, infrastructure)
	case !clusterapi.MadeFor(have, s.controlPlane.Name):
		return taken(infrastructure)
	}
	return nil
}

// makeCluster makes a Cluster with its infrastructure. The control plane's finalizer looks for one,
// so after it was made the control plane must still be there; or else it goes at once.
func (s *scope) makeCluster(ctx context.Context) error {
	if err := s.readControlPlane(ctx); err != nil {
		return err
	}
	cluster, _ := pool.NewCluster(s.controlPlane)
	have := &clusterv1.Cluster{}
	switch found, err := s.find(ctx, s.Live, cluster.Name, have); {
	case err != nil:
		return err
	case found && clusterapi.ControlPlaneOf(have) == s.controlPlane.Name:
		return errStale // the cache is behind
	case found:
		return taken(cluster)
	}
	if err := s.ensureInfrastructure(ctx); err != nil {
		return err
	}
	if err := s.make(ctx, cluster); err != nil {
		return err
	}
	s.cluster = cluster
	if err := s.readControlPlane(ctx); err != nil {
		s.cluster = nil
		return s.endCluster(ctx, cluster, err)
	}
	return nil
}

// endCluster deletes a Cluster that was made in the moment in which its control plane went.
func (s *scope) endCluster(ctx context.Context, cluster *clusterv1.Cluster, why error) error {
	err := s.Client.Delete(ctx, cluster, client.Preconditions{UID: ptr.To(cluster.UID)})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting Cluster %s/%s, whose control plane is gone: %w", cluster.Namespace, cluster.Name, err)
	}
	log.FromContext(ctx).Info("deleted the Cluster of a control plane that is gone", "cluster", cluster.Name)
	return why
}

// make creates an object that no pool owns. One that was made meanwhile is looked at again.
func (s *scope) make(ctx context.Context, object client.Object) error {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	err := s.Client.Create(ctx, object, client.FieldOwner(teapotv1.FieldManager))
	if apierrors.IsAlreadyExists(err) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("making %s %s/%s for %s: %w", kind, object.GetNamespace(), object.GetName(), s.name(), err)
	}
	log.FromContext(ctx).Info("made", "object", kind+" "+object.GetNamespace()+"/"+object.GetName())
	s.eventAbout(object, corev1.EventTypeNormal, teapotv1.ReasonApplied, fmt.Sprintf("%s %s was made for TenantControlPlane %s", kind, object.GetName(), s.pool.Spec.ControlPlaneName))
	return nil
}

func taken(object client.Object) *pool.Refusal {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	refusal := refuse(teapotv1.ReasonNameTaken, "%s %s exists and is somebody else's; delete it, or give the pool another name", kind, object.GetName())
	if kind == clusterv1.ClusterKind || kind == "TenantCluster" {
		refusal = refuse(teapotv1.ReasonNameTaken, "%s %s exists, and Teapot did not make it for this control plane; delete it, or have a Cluster name the control plane in spec.controlPlaneRef", kind, object.GetName())
	}
	refusal.Stalled = true
	return refusal
}
