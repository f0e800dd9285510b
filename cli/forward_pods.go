package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podSet is what is known of the control-plane pods.
type podSet struct {
	mu      sync.Mutex
	names   []string
	err     error
	changed chan struct{}
}

func newPodSet() *podSet { return &podSet{changed: make(chan struct{})} }

// ready returns the pods that are ready, oldest first, and a channel that is closed when
// that changes; or why nothing is known of them.
func (s *podSet) ready() ([]string, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names, s.changed, s.err
}

// set replaces what is known.
func (s *podSet) set(names []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && slices.Equal(s.names, names) {
		return
	}
	s.names, s.err = names, err
	close(s.changed)
	s.changed = make(chan struct{})
}

// update takes the pods as they are now.
func (s *podSet) update(objects found) {
	var ready []*corev1.Pod
	for _, object := range objects {
		if pod, ok := object.(*corev1.Pod); ok && isReady(pod) {
			ready = append(ready, pod)
		}
	}
	slices.SortFunc(ready, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	names := make([]string, 0, len(ready))
	for _, pod := range ready {
		names = append(names, pod.Name)
	}
	s.set(names, nil)
}

// isReady says whether a pod serves and goes on doing so.
func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// portForwardDialer returns a function that opens port-forward sessions to the pods of a
// namespace: by WebSocket, or else by SPDY, which older API servers and some proxies in
// between need. It is what kubectl port-forward does.
func portForwardDialer(config *rest.Config, c client.Client, namespace string) (func(ctx context.Context, pod string) (httpstream.Connection, error), error) {
	core, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, pod string) (httpstream.Connection, error) {
		url := core.RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
		transport, upgrader, err := spdy.RoundTripperFor(config)
		if err != nil {
			return nil, err
		}
		dialer := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
		if !cmdutil.PortForwardWebsockets.IsDisabled() {
			tunneling, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, config)
			if err != nil {
				return nil, err
			}
			dialer = portforward.NewFallbackDialerForStreaming(tunneling, dialer, func(err error) bool {
				return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
			})
		}
		conn, err := dialWithin(ctx, dialer)
		if err == nil {
			return conn, nil
		}
		// SPDY gives the answer as text only; whether it is a matter of rights is asked.
		if denied := mayNotPortForward(ctx, c, types.NamespacedName{Namespace: namespace, Name: pod}); denied != nil {
			return nil, permanentError{denied}
		}
		return nil, err
	}, nil
}

// dialWithin is Dial, which knows no context, with a deadline.
func dialWithin(ctx context.Context, dialer httpstream.Dialer) (httpstream.Connection, error) {
	type result struct {
		conn httpstream.Connection
		err  error
	}
	results := make(chan result, 1)
	go func() {
		conn, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err == nil && protocol != portforward.PortForwardProtocolV1Name {
			_ = conn.Close()
			conn, err = nil, fmt.Errorf("the server speaks port-forward protocol %q and not %q", protocol, portforward.PortForwardProtocolV1Name)
		}
		results <- result{conn, err}
	}()
	select {
	case r := <-results:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-results; r.err == nil {
				_ = r.conn.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// missingRightError names a right that a user lacks.
type missingRightError struct{ right, namespace string }

func (e missingRightError) Error() string {
	return fmt.Sprintf("the right to %s in namespace %q is missing", e.right, e.namespace)
}

// mayNotPortForward says that the user lacks the right, if that is known for sure.
func mayNotPortForward(ctx context.Context, c client.Client, pod types.NamespacedName) error {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: pod.Namespace, Name: pod.Name, Verb: "create", Resource: "pods", Subresource: "portforward",
		},
	}}
	if err := c.Create(ctx, review); err != nil || review.Status.Allowed {
		return nil
	}
	return missingRightError{right: "create pods/portforward", namespace: pod.Namespace}
}
