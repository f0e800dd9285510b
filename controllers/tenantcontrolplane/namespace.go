package tenantcontrolplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// ensureNamespace creates the control plane's own namespace. One that exists already and
// does not carry our UID is refused: it may hold another's secrets.
func (s *scope) ensureNamespace(ctx context.Context) error {
	s.tcp.Status.Namespace = s.input.Namespace()
	wanted := controlplane.NamespaceObject(s.input)
	live := &corev1.Namespace{}
	err := s.Client.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	if apierrors.IsNotFound(err) && s.awaitsData() {
		// What somebody brings may lack the labels of what is in the cache.
		err = s.Live.Get(ctx, client.ObjectKeyFromObject(wanted), live)
		if apierrors.IsNotFound(err) {
			s.setFalse(teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataMissing,
				"waiting for namespace %s with the keys and volumes of this control plane, which was elsewhere before; bring it from there and name it in spec.datastore.adoptFrom, or remove spec.datastore.adoptFrom and spec.controlPlaneEndpoint to begin without data", wanted.Name)
			return waiting{after: pollInterval}
		}
	}
	if apierrors.IsNotFound(err) {
		if s.paused {
			return waiting{}
		}
		live = wanted.DeepCopy()
		err = s.Client.Create(ctx, live, client.FieldOwner(teapotv1.FieldManager))
		switch {
		case err == nil:
			log.FromContext(ctx).Info("created namespace", "namespace", live.Name)
			if s.established() {
				s.tellRepair(live, "was deleted by somebody else with all that was in it, and is made anew: Namespace %s", live.Name)
			}
		case apierrors.IsAlreadyExists(err):
			// The cache is behind, or the namespace is not labelled as ours.
			err = s.Live.Get(ctx, client.ObjectKeyFromObject(wanted), live)
		}
	}
	if err != nil {
		return fmt.Errorf("ensuring namespace %s: %w", wanted.Name, err)
	}

	owner := live.Annotations[teapotv1.ControlPlaneUIDAnnotation]
	switch {
	case live.Labels[teapotv1.RetainedLabel] != "" && live.DeletionTimestamp.IsZero():
		if err := s.adopt(ctx, live); err != nil {
			return err
		}
	case owner != string(s.tcp.UID) && live.DeletionTimestamp.IsZero():
		s.setFalse(teapotv1.NamespaceReadyCondition, teapotv1.ReasonNamespaceTaken,
			"namespace %s exists and does not belong to this control plane (annotation %s is %q); delete it or choose another name",
			live.Name, teapotv1.ControlPlaneUIDAnnotation, owner)
		return waiting{after: pollInterval}
	case !live.DeletionTimestamp.IsZero():
		s.setFalse(teapotv1.NamespaceReadyCondition, teapotv1.ReasonNamespaceTerminating,
			"namespace %s is being deleted since %s; the control plane is made when it is gone", live.Name, live.DeletionTimestamp.UTC().Format(timeFormat))
		return waiting{after: pollInterval}
	}
	if err := s.apply(ctx, true, wanted); err != nil {
		return err
	}
	s.setTrue(teapotv1.NamespaceReadyCondition, "namespace %s exists", live.Name)
	return nil
}
