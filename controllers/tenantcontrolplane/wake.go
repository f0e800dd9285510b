package tenantcontrolplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
	"github.com/teapot-cloud/teapot/workers/hibernation"
)

// bootPatience is how long Nodes that were switched on may take to be ready before Cluster API looks at
// their health again, counted from when the control plane was to come back.
const bootPatience = 10 * time.Minute

// markCluster writes onto the control plane's Cluster what is to become of its machines (empty: what their
// pools ask), and whether Cluster API leaves them alone.
func (s *scope) markCluster(ctx context.Context, workers teapotv1.HibernatedWorkers, paused bool) error {
	was := teapotv1.HibernatedWorkers(s.cluster.Annotations[teapotv1.HibernationAnnotation])
	if was == workers && ptr.Deref(s.cluster.Spec.Paused, false) == paused {
		return nil
	}
	// Somebody may have paused it meanwhile: that is theirs.
	cluster, err := s.liveCluster(ctx)
	if err != nil || cluster == nil {
		return err
	}
	if clusterapi.ClusterPaused(cluster) {
		return waiting{}
	}
	before := cluster.DeepCopy()
	if workers == "" {
		delete(cluster.Annotations, teapotv1.HibernationAnnotation)
	} else {
		if cluster.Annotations == nil {
			cluster.Annotations = map[string]string{}
		}
		cluster.Annotations[teapotv1.HibernationAnnotation] = string(workers)
	}
	cluster.Spec.Paused = nil
	if paused {
		cluster.Spec.Paused = ptr.To(true)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, cluster, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("marking Cluster %s/%s: %w", cluster.Namespace, cluster.Name, err)
	}
	log.FromContext(ctx).Info("marked Cluster", "cluster", cluster.Name, "hibernation", workers, "paused", paused)
	s.cluster = cluster
	return nil
}

// wakeWorkers brings the machines back once the API answers: those that were given back are made
// anew, as their pools ask; those that were kept are switched on and joined again by themselves, and
// Cluster API looks at their health when they had time for that.
func (s *scope) wakeWorkers(ctx context.Context) error {
	workers, marked := clusterapi.Hibernating(s.cluster)
	if s.paused || s.asleep() || !marked {
		return nil
	}
	// With Release some may have stayed, too: those that are not Teapot's to give back.
	if workers != teapotv1.HibernatedWorkersRelease || len(s.chores.Nodes) > 0 {
		if err := s.markCluster(ctx, clusterapi.Waking, true); err != nil {
			return err
		}
	}
	since := s.sleep.record.Since
	nodes := s.answers.Nodes
	switch {
	case !s.observation.Answered:
		s.sleep.waits = "Waiting until the API answers, for the machines to come back."
		return nil
	case len(s.chores.Nodes) > 0 && (nodes.At.IsZero() || len(nodes.NotReady) > 0) && s.now.Before(since.Add(bootPatience)):
		s.sleep.waits = fmt.Sprintf("Waiting until the machines are back (%d of %d Nodes are ready), but not longer than until %s.",
			nodes.Ready, len(s.chores.Nodes), since.Add(bootPatience).UTC().Format(time.RFC3339))
		s.requeueAfter(pollInterval)
		return nil
	}
	return s.markCluster(ctx, "", false)
}

// stopWorkers has the machines given back, switched off or kept, and reports whether nobody need wait
// for them any more.
func (s *scope) stopWorkers(ctx context.Context, deadline time.Time) (machines hibernation.Workers, done bool, err error) {
	if s.cluster == nil || s.paused {
		return machines, true, nil
	}
	workers := controlplane.WorkersAtRest(s.tcp.Spec)
	machines, pause, err := s.observeWorkers(ctx)
	if err != nil {
		return machines, false, err
	}
	// What stays is left alone by Cluster API from the beginning: it would replace what does not answer.
	paused := workers != teapotv1.HibernatedWorkersRelease && pause.MayPause(workers) == ""
	if err := s.markCluster(ctx, workers, paused); err != nil {
		return machines, false, err
	}
	handover := hibernation.HandedOver(workers, machines)
	s.sleep.left = asSentence(handover.Left)
	switch {
	case handover.Waiting == "":
		return machines, true, nil
	case !s.now.Before(deadline):
		s.sleep.left = joinSentences(s.sleep.left, asSentence("not waited for any longer: "+handover.Waiting))
		s.Recorder.Eventf(s.tcp, s.cluster, corev1.EventTypeWarning, teapotv1.ReasonWorkersLeft, "Hibernate", "%s", s.sleep.left)
		return machines, true, nil
	}
	s.waitsFor("%s", asSentence(handover.Waiting))
	return machines, false, nil
}

// restWorkers has Cluster API leave alone what is left of the machines while nothing answers. It has
// to see to those that are given back until they are gone.
func (s *scope) restWorkers(ctx context.Context) error {
	if s.cluster == nil || s.paused {
		return nil
	}
	workers := controlplane.WorkersAtRest(s.tcp.Spec)
	if !s.cluster.DeletionTimestamp.IsZero() {
		return s.markCluster(ctx, teapotv1.HibernatedWorkersRelease, false)
	}
	pools, err := s.pools(ctx, s.Client)
	if err != nil {
		return err
	}
	going := slices.ContainsFunc(pools, func(p teapotv1.WorkerPool) bool { return !p.DeletionTimestamp.IsZero() })
	if !going && ptr.Deref(s.cluster.Spec.Paused, false) && teapotv1.HibernatedWorkers(s.cluster.Annotations[teapotv1.HibernationAnnotation]) == workers {
		return nil
	}
	_, pause, err := s.observeWorkers(ctx)
	if err != nil {
		return err
	}
	why := pause.MayPause(workers)
	if why != "" {
		s.requeueAfter(pollInterval)
	}
	return s.markCluster(ctx, workers, why == "")
}

// pools are the control plane's.
func (s *scope) pools(ctx context.Context, reader client.Reader) ([]teapotv1.WorkerPool, error) {
	pools := &teapotv1.WorkerPoolList{}
	if err := reader.List(ctx, pools, client.InNamespace(s.tcp.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the WorkerPools of namespace %s: %w", s.tcp.Namespace, err)
	}
	return slices.DeleteFunc(pools.Items, func(p teapotv1.WorkerPool) bool { return p.Spec.ControlPlaneName != s.tcp.Name }), nil
}

// observeWorkers reads the machines of the control plane's Cluster from the API server: what the
// cache does not show yet would be left running.
func (s *scope) observeWorkers(ctx context.Context) (hibernation.Workers, hibernation.Pause, error) {
	machines, hostMachines, claims := &clusterv1.MachineList{}, &teapotv1.HostMachineList{}, &teapotv1.MachineClaimList{}
	deployments := &clusterv1.MachineDeploymentList{}
	for _, list := range []client.ObjectList{machines, hostMachines, claims, deployments} {
		err := s.Live.List(ctx, list, client.InNamespace(s.tcp.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: s.input.ClusterName})
		if err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			return hibernation.Workers{}, hibernation.Pause{}, fmt.Errorf("listing the machines of Cluster %s/%s: %w", s.tcp.Namespace, s.input.ClusterName, err)
		}
	}
	pools, err := s.pools(ctx, s.Live)
	if err != nil {
		return hibernation.Workers{}, hibernation.Pause{}, err
	}
	return hibernation.Workers{Machines: machines.Items, HostMachines: hostMachines.Items, Claims: claims.Items},
		hibernation.Pause{Cluster: s.cluster, Pools: pools, MachineDeployments: deployments.Items, Machines: machines.Items}, nil
}

// asSentence begins with a capital and ends with a full stop.
func asSentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
