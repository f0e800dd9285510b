package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	// machinesPatience is how long a control plane that is deleted is kept for its machines, whose
	// pods leave by its API. A machine is given back without it, too: only its pods are not asked.
	machinesPatience = 15 * time.Minute
	// machinesPoll is how often they are looked at.
	machinesPoll = 2 * time.Second
	// namedMachines is how many of them a message names.
	namedMachines = 5
)

// releaseMachines has the machines of the control plane given back, and reports whether nobody need
// wait for them any more. Cluster API deletes Machines with their Cluster, which Teapot deletes if it
// made it. A Cluster of somebody else's is theirs to delete, and is not waited for.
func (s *scope) releaseMachines(ctx context.Context) (bool, error) {
	late := s.now.Sub(s.tcp.DeletionTimestamp.Time) > machinesPatience
	cluster, machines, err := s.endCluster(ctx)
	switch {
	case err != nil && late:
		s.tellMachines("machines, if there are any, go on by themselves: %v", err)
		return true, nil
	case err != nil || len(machines) == 0:
		return err == nil, err
	}
	left := fmt.Sprintf("%d of Cluster %s: %s", len(machines), s.input.ClusterName, enumerate(machines))
	switch {
	case cluster == nil || !s.made(cluster) && cluster.DeletionTimestamp.IsZero():
		s.tellMachines("machines stay without a control plane: delete Cluster %s, which Teapot did not make, or the machines (%s)", s.input.ClusterName, left)
		return true, nil
	case late:
		s.tellMachines("machines were waited for %s, and now go without being drained (%s)", machinesPatience, left)
		return true, nil
	}
	s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonDeleting,
		"waiting until machines are given back, but not longer than until %s; see kubectl get machines -n %s (%s)",
		s.tcp.DeletionTimestamp.Add(machinesPatience).UTC().Format(time.RFC3339), s.tcp.Namespace, left)
	return false, nil
}

// endCluster deletes the Cluster if Teapot made it, and names the Machines that are still there.
func (s *scope) endCluster(ctx context.Context) (*clusterv1.Cluster, []string, error) {
	cluster, err := s.liveCluster(ctx)
	if err != nil {
		return nil, nil, err
	}
	if cluster != nil && s.made(cluster) && cluster.DeletionTimestamp.IsZero() {
		err := s.Client.Delete(ctx, cluster, client.Preconditions{UID: ptr.To(cluster.UID)})
		if client.IgnoreNotFound(err) != nil {
			return nil, nil, fmt.Errorf("deleting Cluster %s/%s: %w", cluster.Namespace, cluster.Name, err)
		}
		log.FromContext(ctx).Info("deleting the Cluster and its machines", "cluster", cluster.Name)
	}
	if _, asleep := clusterapi.Hibernating(cluster); asleep {
		// Cluster API deletes nothing that is paused.
		s.cluster = cluster
		if err := s.markCluster(ctx, teapotv1.HibernatedWorkersRelease, false); err != nil && !errors.As(err, &waiting{}) {
			return nil, nil, err
		}
	}
	machines, err := s.machinesLeft(ctx)
	return cluster, machines, err
}

// serveMachines ends a reconcile of a control plane that still waits for its machines: what serves
// them is kept going, since the pods on them leave by its API.
func (s *scope) serveMachines(ctx context.Context, failure error) (ctrl.Result, error) {
	if failure != nil {
		s.setFalse(teapotv1.ReadyCondition, teapotv1.ReasonReconcileFailed, "%v", failure)
	}
	ready := *meta.FindStatusCondition(s.tcp.Status.Conditions, teapotv1.ReadyCondition)
	if s.initialized() {
		if err := s.run(ctx); err != nil && !errors.As(err, &waiting{}) {
			log.FromContext(ctx).Error(err, "the control plane is not kept going while its machines are given back")
		}
		s.summarizeAvailable()
	}
	s.setFalse(ready.Type, ready.Reason, "%s", ready.Message)
	s.summarizeStalled(nil)
	return ctrl.Result{RequeueAfter: machinesPoll}, errors.Join(failure, s.patchStatus(ctx))
}

// liveCluster reads the Cluster of the control plane; nil if there is none, or no Cluster API.
func (s *scope) liveCluster(ctx context.Context) (*clusterv1.Cluster, error) {
	cluster := &clusterv1.Cluster{}
	name := types.NamespacedName{Namespace: s.tcp.Namespace, Name: s.input.ClusterName}
	switch err := s.Live.Get(ctx, name, cluster); {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Cluster %s: %w", name, err)
	}
	return cluster, nil
}

// made says whether the Cluster is one that Teapot made for this control plane's pools.
func (s *scope) made(cluster *clusterv1.Cluster) bool {
	return clusterapi.MadeFor(cluster, s.tcp.Name) && clusterapi.ControlPlaneOf(cluster) == s.tcp.Name
}

// machinesLeft names the Machines of the control plane's Cluster.
func (s *scope) machinesLeft(ctx context.Context) ([]string, error) {
	machines := &metav1.PartialObjectMetadataList{}
	machines.SetGroupVersionKind(clusterv1.GroupVersion.WithKind("MachineList"))
	err := s.Live.List(ctx, machines, client.InNamespace(s.tcp.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: s.input.ClusterName})
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil // Cluster API was removed, and its objects with it
	case err != nil:
		return nil, fmt.Errorf("listing the Machines of Cluster %s/%s: %w", s.tcp.Namespace, s.input.ClusterName, err)
	}
	names := make([]string, len(machines.Items))
	for i := range machines.Items {
		names[i] = machines.Items[i].Name
	}
	slices.Sort(names)
	return names, nil
}

// machinesReleased says that nobody needed to wait for machines before: what is deleted then serves
// none, and they need not be looked at again. Where the status was lost they are.
func (s *scope) machinesReleased() bool {
	was := meta.FindStatusCondition(s.before.Status.Conditions, teapotv1.ReadyCondition)
	return was != nil && was.Message == deletingMessage
}

// tellMachines tells of machines that are not waited for.
func (s *scope) tellMachines(format string, args ...any) {
	s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeWarning, teapotv1.ReasonMachinesLeft, "Delete", format, args...)
}

// enumerate names the first few.
func enumerate(names []string) string {
	if more := len(names) - namedMachines; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namedMachines], ", "), more)
	}
	return strings.Join(names, ", ")
}
