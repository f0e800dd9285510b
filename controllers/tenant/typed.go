package tenant

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/pager"
)

// typed are clients for chores. They are made for each of them over the session's connections and
// let go, so that a tenant that does not hibernate has none. They speak protobuf, which is read in a
// fraction of the time and memory.
type typed struct {
	core         coreclient.CoreV1Interface
	batch        batchclient.BatchV1Interface
	coordination coordinationclient.CoordinationV1Interface
}

func (s *Session) typed() (*typed, error) {
	config := s.access.config()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := coreclient.NewForConfigAndClient(config, s.conn.http)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	batch, err := batchclient.NewForConfigAndClient(config, s.conn.http)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	coordination, err := coordinationclient.NewForConfigAndClient(config, s.conn.http)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	return &typed{core: core, batch: batch, coordination: coordination}, nil
}

// each reads a list page by page, each page within callTimeout.
func each[T any, L runtime.Object](ctx context.Context, options metav1.ListOptions, list func(context.Context, metav1.ListOptions) (L, error), do func(*T)) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return list(ctx, options)
	})
	pages.PageBufferSize, pages.FullListIfExpired = 0, false
	return pages.EachListItem(ctx, options, func(item runtime.Object) error {
		do(any(item).(*T))
		return nil
	})
}

// eachPod reads all pods that a field selector selects.
func (c *typed) eachPod(ctx context.Context, selector string, do func(*corev1.Pod)) error {
	if err := each(ctx, metav1.ListOptions{FieldSelector: selector}, c.core.Pods(metav1.NamespaceAll).List, do); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	return nil
}

// eachNode reads all Nodes.
func (c *typed) eachNode(ctx context.Context, do func(*corev1.Node)) error {
	if err := each(ctx, metav1.ListOptions{}, c.core.Nodes().List, do); err != nil {
		return fmt.Errorf("listing Nodes: %w", err)
	}
	return nil
}

// isReady says whether a Node's kubelet says that it is ready.
func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && node.DeletionTimestamp.IsZero()
		}
	}
	return false
}

// called returns by which of the names a Node is known: its name, or its provider ID, which has a
// scheme and so cannot be a name. It is empty if it is none of them.
func called(node *corev1.Node, names sets.Set[string]) string {
	switch {
	case names.Has(node.Name):
		return node.Name
	case node.Spec.ProviderID != "" && names.Has(node.Spec.ProviderID):
		return node.Spec.ProviderID
	}
	return ""
}
