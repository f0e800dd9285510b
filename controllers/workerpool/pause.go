package workerpool

import (
	"context"
	"fmt"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// pausedByPool is the value of Cluster API's annotation on what spec.paused of the pool pauses. One
// with another value is somebody else's, and stays.
const pausedByPool = "teapot.dev/worker-pool"

// pause has Cluster API leave the machines alone, if it is the pool that is paused: it neither makes
// nor deletes nor replaces one for the pool's sake. While the Cluster is paused nothing at all is
// written, since clusterctl may be moving it.
func (s *scope) pause(ctx context.Context, why string) (ctrl.Result, error) {
	if why == teapotv1.ReasonPaused && !s.clusterPaused() {
		if err := s.hold(ctx); err != nil {
			return ctrl.Result{}, err
		}
	}
	s.observed(nil).SummarizePaused(why)
	return ctrl.Result{}, s.patchStatus(ctx)
}

// hold pauses the MachineDeployment and its health check.
func (s *scope) hold(ctx context.Context) error {
	if s.machineDeployment != nil {
		if err := s.annotate(ctx, s.machineDeployment, pausedByPool); err != nil {
			return err
		}
	}
	check := &clusterv1.MachineHealthCheck{}
	found, err := s.find(ctx, s.Client, s.pool.Name, check)
	if err != nil || !found || !s.owns(check) {
		return err
	}
	return s.annotate(ctx, check, pausedByPool)
}

// annotate has Cluster API leave an object alone, unless it does already.
func (s *scope) annotate(ctx context.Context, object client.Object, by string) error {
	if _, paused := object.GetAnnotations()[clusterv1.PausedAnnotation]; paused {
		return nil
	}
	return s.patchAnnotations(ctx, object, func(annotations map[string]string) {
		annotations[clusterv1.PausedAnnotation] = by
	})
}

// resume takes back what hold did, and what was done while the control plane slept.
func (s *scope) resume(ctx context.Context, object client.Object) error {
	switch by := object.GetAnnotations()[clusterv1.PausedAnnotation]; {
	case by == pausedByPool:
	case by == pausedBySleep && s.hibernation == "":
	default:
		return nil
	}
	return s.patchAnnotations(ctx, object, func(annotations map[string]string) {
		delete(annotations, clusterv1.PausedAnnotation)
	})
}

func (s *scope) patchAnnotations(ctx context.Context, object client.Object, change func(map[string]string)) error {
	before := object.DeepCopyObject().(client.Object)
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	change(annotations)
	object.SetAnnotations(annotations)
	err := s.Client.Patch(ctx, object, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager+"-pause"))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("changing the annotation %s of %T %s/%s: %w", clusterv1.PausedAnnotation, object, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}
