package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// passing are kinds that come and go by themselves, or are not kept (componentstatuses).
var passing = sets.New("events", "leases", "endpointslices", "componentstatuses")

// managersNamespace holds the manager's own pods, which a test restarts.
const managersNamespace = "teapot-system"

// snapshot names every object of the management cluster.
func snapshot(ctx context.Context, t *testing.T) (sets.Set[string], error) {
	t.Helper()
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := clientset.Discovery().ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	found := sets.New[string]()
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") || passing.Has(resource.Name) || !slices.Contains(resource.Verbs, "list") {
				continue
			}
			objects, err := client.Resource(group.WithResource(resource.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", resource.Name, err)
			}
			for _, object := range objects.Items {
				if object.Namespace == managersNamespace {
					continue
				}
				found.Insert(fmt.Sprintf("%s/%s %s/%s", group, resource.Name, object.Namespace, object.Name))
			}
		}
	}
	return found, nil
}

// nothingLeft compares with what was there before.
func nothingLeft(ctx context.Context, t *testing.T, before sets.Set[string]) error {
	after, err := snapshot(ctx, t)
	if err != nil {
		return err
	}
	if left := sets.List(after.Difference(before)); len(left) > 0 {
		return errors.New("left: " + strings.Join(left, ", "))
	}
	return nil
}
