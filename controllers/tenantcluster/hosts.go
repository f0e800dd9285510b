package tenantcluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/teapot-cloud/teapot/workers/host"
)

// Hosts reads what hosts the claims of a namespace may take, now or when they are free.
type Hosts struct {
	// Client reads BareMetalHosts and HostDeployPolicies from the manager's cache.
	Client client.Reader
	// Live reads namespaces, whose labels a policy may ask for, from the API server.
	Live client.Reader
}

// Each visits those hosts, which share memory with the cache and must not be changed. There may be
// ten thousand of them.
func (h Hosts) Each(ctx context.Context, namespace string, visit func(*host.Host)) error {
	policies := &host.PolicyList{}
	if err := h.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing HostDeployPolicies: %w", err)
	}
	claims := &corev1.Namespace{}
	if host.AskForLabels(policies.Items) {
		if err := h.Live.Get(ctx, types.NamespacedName{Name: namespace}, claims); err != nil {
			return fmt.Errorf("reading namespace %s: %w", namespace, err)
		}
	}
	for of := range host.Namespaces(policies.Items, namespace, claims.Labels) {
		list := &host.List{}
		if err := h.Client.List(ctx, list, client.InNamespace(of), client.UnsafeDisableDeepCopy); err != nil {
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
func (h Hosts) FailureDomains(ctx context.Context, namespace string) ([]string, error) {
	domains := sets.New[string]()
	err := h.Each(ctx, namespace, func(each *host.Host) {
		if each.FailureDomain != "" {
			domains.Insert(each.FailureDomain)
		}
	})
	return sets.List(domains), err
}
