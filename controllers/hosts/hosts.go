// Package hosts reads which hosts the claims of a namespace may take, for every controller that
// asks.
package hosts

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/workers/host"
)

// Reader reads what hosts the claims of a namespace may take, now or when they are free.
type Reader struct {
	// Client reads BareMetalHosts and HostDeployPolicies from the manager's cache.
	Client client.Reader
	// Live reads namespaces, whose labels a policy may ask for, from the API server.
	Live client.Reader
}

// Tenant reads who the claims of a namespace are to hosts.
func (r Reader) Tenant(ctx context.Context, claims string) (host.Tenant, error) {
	tenant, _, err := r.tenant(ctx, claims)
	return tenant, err
}

// tenant returns the namespace's labels, too. It reads live: the manager's cache has Teapot's own
// namespaces only.
func (r Reader) tenant(ctx context.Context, claims string) (host.Tenant, map[string]string, error) {
	namespace := &corev1.Namespace{}
	if err := r.Live.Get(ctx, types.NamespacedName{Name: claims}, namespace); err != nil {
		return host.Tenant{}, nil, fmt.Errorf("reading namespace %s: %w", claims, err)
	}
	return host.Tenant{Namespace: claims, UID: namespace.UID}, namespace.Labels, nil
}

// Allowed are who the claims of a namespace are, and the namespaces whose hosts they may take.
func (r Reader) Allowed(ctx context.Context, claims string) (host.Tenant, sets.Set[string], error) {
	tenant, labels, err := r.tenant(ctx, claims)
	if err != nil {
		return host.Tenant{}, nil, err
	}
	policies := &host.PolicyList{}
	if err := r.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return host.Tenant{}, nil, fmt.Errorf("listing HostDeployPolicies: %w", err)
	}
	return tenant, host.Namespaces(policies.Items, claims, labels), nil
}

// Each visits those hosts, which share memory with the cache and must not be changed. There may be
// ten thousand of them.
func (r Reader) Each(ctx context.Context, claims string, visit func(*host.Host)) error {
	tenant, namespaces, err := r.Allowed(ctx, claims)
	if err != nil {
		return err
	}
	for of := range namespaces {
		list := &host.List{}
		if err := r.Client.List(ctx, list, client.InNamespace(of), client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing the BareMetalHosts of namespace %s: %w", of, err)
		}
		for i := range list.Items {
			each := host.Of(&list.Items[i])
			switch each.Claimable(tenant) {
			case host.Leaving, host.External, host.Detached, host.Unhealthy, host.Unclean:
				// Not without somebody's doing.
			default:
				visit(&each)
			}
		}
	}
	return nil
}

// FailureDomains returns, sorted and each once, where those hosts are.
func (r Reader) FailureDomains(ctx context.Context, namespace string) ([]string, error) {
	domains := sets.New[string]()
	err := r.Each(ctx, namespace, func(each *host.Host) {
		if each.FailureDomain != "" {
			domains.Insert(each.FailureDomain)
		}
	})
	return sets.List(domains), err
}
