package tenantcontrolplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// adopt takes over the namespace that an earlier control plane of the same name retained,
// if the spec names it. The namespace is marked as ours last and with a lock on what was
// read: whatever ends this in between, it begins anew.
func (s *scope) adopt(ctx context.Context, namespace *corev1.Namespace) error {
	if s.tcp.Spec.Datastore.AdoptFrom != namespace.Name {
		s.setFalse(teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataFound,
			"namespace %s holds the data that an earlier control plane of this name retained; set spec.datastore.adoptFrom to %s to take it over, delete that namespace to give the data up, or choose another name", namespace.Name, namespace.Name)
		return waiting{after: pollInterval}
	}
	if s.paused {
		return waiting{}
	}
	if err := controlplane.CanAdopt(s.input, namespace.Annotations[teapotv1.RetainedSpecAnnotation]); err != nil {
		s.setFalse(teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataMismatch, "the data in namespace %s cannot be adopted: %v", namespace.Name, err)
		return waiting{after: pollInterval}
	}

	retained := []client.ListOption{client.InNamespace(namespace.Name), client.HasLabels{teapotv1.RetainedLabel}}
	secrets, claims := &corev1.SecretList{}, &corev1.PersistentVolumeClaimList{}
	for _, list := range []client.ObjectList{secrets, claims} {
		if err := s.Live.List(ctx, list, retained...); err != nil {
			return fmt.Errorf("listing what is retained in namespace %s: %w", namespace.Name, err)
		}
	}
	var objects []client.Object
	for i := range secrets.Items {
		objects = append(objects, &secrets.Items[i])
	}
	for i := range claims.Items {
		objects = append(objects, &claims.Items[i])
	}
	for _, object := range objects {
		before := object.DeepCopyObject().(client.Object)
		delete(object.GetLabels(), teapotv1.RetainedLabel)
		if err := s.Client.Patch(ctx, object, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("adopting %T %s: %w", object, client.ObjectKeyFromObject(object), err)
		}
	}

	before := namespace.DeepCopy()
	delete(namespace.Labels, teapotv1.RetainedLabel)
	delete(namespace.Annotations, teapotv1.RetainedSpecAnnotation)
	namespace.Annotations[teapotv1.ControlPlaneUIDAnnotation] = string(s.tcp.UID)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, namespace, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return fmt.Errorf("adopting namespace %s: %w", namespace.Name, err)
	}
	log.FromContext(ctx).Info("adopted retained data", "namespace", namespace.Name)
	return nil
}
