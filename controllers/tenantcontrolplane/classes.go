package tenantcontrolplane

import (
	"context"
	"fmt"

	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// missingClass names the first class of the management cluster that the spec asks for and
// that does not exist. It is asked only of control planes whose pods do not run.
func (s *scope) missingClass(ctx context.Context) (string, error) {
	spec := s.tcp.Spec
	for _, class := range []struct {
		field, kind, name string
		object            client.Object
	}{
		{"spec.runtimeClassName", "RuntimeClass", ptr.Deref(spec.RuntimeClassName, ""), &nodev1.RuntimeClass{}},
		{"spec.scheduling.priorityClassName", "PriorityClass", spec.Scheduling.PriorityClassName, &schedulingv1.PriorityClass{}},
		{"spec.datastore.etcd.storageClassName", "StorageClass", ptr.Deref(spec.Datastore.Etcd.StorageClassName, ""), &storagev1.StorageClass{}},
	} {
		if class.name == "" {
			continue
		}
		err := s.Live.Get(ctx, types.NamespacedName{Name: class.name}, class.object)
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Sprintf("%s: %s %q does not exist in the management cluster; have it made, or name another", class.field, class.kind, class.name), nil
		case err != nil:
			return "", fmt.Errorf("reading %s %s: %w", class.kind, class.name, err)
		}
	}
	return "", nil
}
