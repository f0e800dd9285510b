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

// Namespaces are those whose hosts the claims of a namespace may take.
func (r Reader) Namespaces(ctx context.Context, claims string) (sets.Set[string], error) {
	policies := &host.PolicyList{}
	if err := r.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing HostDeployPolicies: %w", err)
	}
	namespace := &corev1.Namespace{}
	if host.AskForLabels(policies.Items) {
		// Live: the manager's cache has Teapot's own namespaces only.
		if err := r.Live.Get(ctx, types.NamespacedName{Name: claims}, namespace); err != nil {
			return nil, fmt.Errorf("reading namespace %s: %w", claims, err)
		}
	}
	return host.Namespaces(policies.Items, claims, namespace.Labels), nil
}

// Each visits those hosts, which share memory with the cache and must not be changed. There may be
// ten thousand of them.
func (r Reader) Each(ctx context.Context, namespace string, visit func(*host.Host)) error {
	namespaces, err := r.Namespaces(ctx, namespace)
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
			switch each.Claimable(namespace) {
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
