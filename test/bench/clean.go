package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// goneWithin is how long a removal may take before it is called stuck.
const goneWithin = 2 * time.Minute

// cleanWithin is how long the removal of everything may take: that of one thing after the other
// has its own limit. A thousand hosts are given back and removed in a few minutes.
const cleanWithin = time.Hour

// clean removes everything that this or an earlier bench made and waits until it is gone.
func (b *bench) clean(ctx context.Context) error {
	if err := b.removeHandMachines(ctx); err != nil {
		return err
	}
	if err := b.unregister(ctx); err != nil {
		return err
	}
	if err := b.removeTenants(ctx); err != nil {
		return err
	}
	namespaces := &corev1.NamespaceList{}
	if err := b.client.List(ctx, namespaces, client.HasLabels{label}); err != nil {
		return fmt.Errorf("listing the bench's namespaces: %w", err)
	}
	names := make([]string, len(namespaces.Items))
	for i, namespace := range namespaces.Items {
		names[i] = namespace.Name
	}
	return b.removeNamespaces(ctx, names...)
}

// removeTenants deletes all TenantControlPlanes of the bench, and returns when they, their
// pods and their namespaces are gone.
func (b *bench) removeTenants(ctx context.Context) error {
	in := client.InNamespace(tenantsNamespace)
	if err := b.client.DeleteAllOf(ctx, &teapotv1.TenantControlPlane{}, in); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the bench's TenantControlPlanes: %w", err)
	}
	return waitFor(ctx, goneWithin, "the bench's TenantControlPlanes to be gone", func(ctx context.Context) (bool, error) {
		left := &teapotv1.TenantControlPlaneList{}
		if err := b.client.List(ctx, left, in); err != nil || len(left.Items) > 0 {
			return false, err
		}
		namespaces := &corev1.NamespaceList{}
		err := b.client.List(ctx, namespaces, client.MatchingLabels{teapotv1.ControlPlaneNamespaceLabel: tenantsNamespace})
		return len(namespaces.Items) == 0, err
	})
}

// removeNamespaces deletes namespaces and returns when they are gone. Pods end at once:
// nobody needs what they would still write.
func (b *bench) removeNamespaces(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := b.client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(name), client.GracePeriodSeconds(1)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting the pods of namespace %s: %w", name, err)
		}
		namespace := &corev1.Namespace{}
		namespace.Name = name
		if err := b.client.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting namespace %s: %w", name, err)
		}
	}
	for _, name := range names {
		err := waitFor(ctx, goneWithin, "namespace "+name+" to be gone", func(ctx context.Context) (bool, error) {
			err := b.client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// waitFor asks every quarter of a second; none of these waits is measured.
func waitFor(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, limit, true, done)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}
