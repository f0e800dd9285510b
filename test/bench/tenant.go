package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// newTenant names a TenantControlPlane with nothing but a version: what is measured is
// what a user gets by default.
func (b *bench) newTenant() *teapotv1.TenantControlPlane {
	b.tenants++
	tenant := &teapotv1.TenantControlPlane{}
	tenant.Namespace, tenant.Name = tenantsNamespace, fmt.Sprintf("tenant-%d", b.tenants)
	tenant.Spec.Version = b.version
	return tenant
}

// create applies a TenantControlPlane, the moment at which its clock starts.
func (b *bench) create(ctx context.Context, tenant *teapotv1.TenantControlPlane) (time.Time, error) {
	begun := time.Now()
	if err := b.client.Create(ctx, tenant); err != nil {
		return begun, fmt.Errorf("creating TenantControlPlane %s: %w", tenant.Name, err)
	}
	return begun, nil
}

// byAddress waits for the kubeconfig that a user would export, and has it lead to the API server by
// the address of its own, as machines come: the gateway, through which users come where there is one,
// is measured apart.
func (b *bench) byAddress(ctx context.Context, tenant string) (*rest.Config, error) {
	users, err := b.kubeconfig(ctx, controlplane.UserKubeconfigName(tenant))
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(users)
	if err != nil {
		return nil, fmt.Errorf("reading a user's kubeconfig: %w", err)
	}
	// Cluster API's way in is that of machines. No control plane of the bench has a Cluster of another
	// name.
	controllers, err := b.kubeconfig(ctx, controlplane.KubeconfigName(tenant))
	if err != nil {
		return nil, err
	}
	address, err := clientcmd.RESTConfigFromKubeConfig(controllers)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of Cluster API's controllers: %w", err)
	}
	config.Host, config.ServerName = address.Host, address.ServerName
	return config, nil
}

// kubeconfig waits for a kubeconfig in a Secret. It watches, since asking again and again would load
// the machine that is measured.
func (b *bench) kubeconfig(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		// Without a resource version the watch begins with what exists.
		watch, err := b.client.Watch(ctx, &corev1.SecretList{}, client.InNamespace(tenantsNamespace),
			client.MatchingFields{"metadata.name": name})
		if err != nil {
			return nil, fmt.Errorf("watching Secret %s/%s (does teapot-manager run?): %w", tenantsNamespace, name, err)
		}
		for event := range watch.ResultChan() {
			secret, ok := event.Object.(*corev1.Secret)
			if kubeconfig := secretValue(secret, ok); len(kubeconfig) > 0 {
				watch.Stop()
				return kubeconfig, nil
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for Secret %s/%s (does teapot-manager run?): %w", tenantsNamespace, name, ctx.Err())
		}
	}
}

func secretValue(secret *corev1.Secret, ok bool) []byte {
	if !ok {
		return nil
	}
	return secret.Data[controlplane.KubeconfigKey]
}

// waitReady waits for the Ready condition of TenantControlPlanes.
func (b *bench) waitReady(ctx context.Context, tenants ...*teapotv1.TenantControlPlane) error {
	for _, tenant := range tenants {
		err := waitFor(ctx, readyWithin, "TenantControlPlane "+tenant.Name+" to be Ready", func(ctx context.Context) (bool, error) {
			err := b.client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant)
			return meta.IsStatusConditionTrue(tenant.Status.Conditions, teapotv1.ReadyCondition), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// podsOf are the pods of a TenantControlPlane, etcd's among them.
func (b *bench) podsOf(ctx context.Context, tenant *teapotv1.TenantControlPlane) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	namespace := controlplane.Namespace(types.NamespacedName{Namespace: tenant.Namespace, Name: tenant.Name})
	if err := b.client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the pods of namespace %s: %w", namespace, err)
	}
	return pods.Items, nil
}
