package tenant

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

// cluster is what a test makes in the tenant's cluster. It is removed at the end of the test,
// also what a test that was killed has left.
type cluster struct {
	t testing.TB
	*kubernetes.Clientset
	namespaces []string
}

func newCluster(t testing.TB, namespaces ...string) *cluster {
	t.Helper()
	fast := rest.CopyConfig(config)
	fast.QPS = -1
	c := &cluster{t: t, Clientset: kubernetes.NewForConfigOrDie(fast), namespaces: namespaces}
	for _, name := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": name}}}
		if _, err := c.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.clear)
	return c
}

// clear removes Nodes, pods and Jobs. Namespaces stay, since nothing would end them here.
func (c *cluster) clear() {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			c.t.Error(err)
		}
	}
	must(c.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	for _, namespace := range c.namespaces {
		pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		must(err)
		for _, pod := range pods.Items {
			if len(pod.Finalizers) > 0 {
				_, err := c.CoreV1().Pods(namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
				if !apierrors.IsNotFound(err) {
					must(err)
				}
			}
		}
		now := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
		must(c.CoreV1().Pods(namespace).DeleteCollection(ctx, now, metav1.ListOptions{}))
		must(c.BatchV1().Jobs(namespace).DeleteCollection(ctx, now, metav1.ListOptions{}))
	}
}

// node makes a Node that is ready.
func (c *cluster) node(name, providerID string) *corev1.Node {
	c.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	made, err := c.CoreV1().Nodes().Create(c.t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	made.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	if made, err = c.CoreV1().Nodes().UpdateStatus(c.t.Context(), made, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	return made
}

// pod makes a pod that is ready, or waits for a Node if it is on none.
func (c *cluster) pod(namespace, name, node string, change ...func(*corev1.Pod)) {
	c.t.Helper()
	if err := c.makePod(namespace, name, node, change...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) makePod(namespace, name, node string, change ...func(*corev1.Pod)) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "example.com/image"}}},
	}
	for _, f := range change {
		f(pod)
	}
	status := pod.Status
	if node != "" {
		status.Phase = corev1.PodRunning
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	} else {
		status.Phase = corev1.PodPending
	}
	if len(status.Conditions) == 0 {
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	}
	made, err := c.CoreV1().Pods(namespace).Create(c.t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	status.QOSClass = made.Status.QOSClass
	made.Status = status
	_, err = c.CoreV1().Pods(namespace).UpdateStatus(c.t.Context(), made, metav1.UpdateOptions{})
	return err
}

// podsOn makes many pods on a Node.
func (c *cluster) podsOn(node, namespace string, count int) {
	c.t.Helper()
	var making errgroup.Group
	making.SetLimit(16)
	for i := range count {
		making.Go(func() error { return c.makePod(namespace, fmt.Sprintf("%s-%d", node, i), node) })
	}
	if err := making.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// pods are the names of a namespace's pods, with " (ready)" after those that are.
func (c *cluster) pods(namespace string) []string {
	c.t.Helper()
	list, err := c.CoreV1().Pods(namespace).List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	names := []string{}
	for i := range list.Items {
		name := list.Items[i].Name
		if podReady(&list.Items[i]) {
			name += " (ready)"
		}
		names = append(names, name)
	}
	return slices.Sorted(slices.Values(names))
}

// nodes are the names of the Nodes, with what their condition Ready says.
func (c *cluster) nodes() []string {
	c.t.Helper()
	list, err := c.CoreV1().Nodes().List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	names := []string{}
	for _, node := range list.Items {
		ready := node.Status.Conditions[0]
		names = append(names, fmt.Sprintf("%s: %s, %s", node.Name, ready.Status, ready.Reason))
	}
	return slices.Sorted(slices.Values(names))
}

// hang makes calls hang that a rule names, in the namespaces that newCluster made with a name: a
// webhook that must be asked, and does not answer.
func (c *cluster) hang(namespace string, rule admissionregistrationv1.RuleWithOperations, hangs func() error) {
	c.t.Helper()
	ended := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	c.t.Cleanup(server.Close)
	c.t.Cleanup(func() { close(ended) })
	c.refuse(namespace, rule, admissionregistrationv1.WebhookClientConfig{URL: ptr.To(server.URL), CABundle: pemOf(server.Certificate())}, hangs)
}

// refuse has a webhook asked, whose failurePolicy is Fail, and waits until a call fails.
func (c *cluster) refuse(namespace string, rule admissionregistrationv1.RuleWithOperations, client admissionregistrationv1.WebhookClientConfig, call func() error) {
	c.t.Helper()
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "in-the-way-" + namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "in-the-way.example.com", ClientConfig: client, Rules: []admissionregistrationv1.RuleWithOperations{rule},
			FailurePolicy: ptr.To(admissionregistrationv1.Fail), SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: ptr.To[int32](30),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		}},
	}
	hooks := c.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	remove := func() {
		if err := hooks.Delete(context.Background(), hook.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	}
	remove() // that of a run that was killed
	if _, err := hooks.Create(c.t.Context(), hook, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		remove()
		// Until the API server knows, what comes after would still be in its way.
		apiserver.Eventually(c.t, 20*time.Second, "the webhook to be gone", func() error { return call() })
	})
	apiserver.Eventually(c.t, 20*time.Second, "the webhook to be asked", func() error {
		if call() == nil {
			return fmt.Errorf("the call went through")
		}
		return nil
	})
}

// deletions is the rule for deletions of pods, and probe a call that it is for.
var deletions = admissionregistrationv1.RuleWithOperations{
	Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Delete},
	Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
}

// probeDeletion tries to delete a pod, but not really.
func (c *cluster) probeDeletion(namespace string) func() error {
	c.pod(namespace, "probe", "")
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return c.CoreV1().Pods(namespace).Delete(ctx, "probe", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}
}

// interposed forwards to the tenant's API server and notes what is asked.
type interposed struct {
	access   Access
	mu       sync.Mutex
	requests []string
}

// interpose lets through what a test does (nil: everything). Another request gets no answer, as if
// there was no API server.
func interpose(t testing.TB, let func(*http.Request) bool) *interposed {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport,
		// Most of these are of clients that no longer wait.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	i := &interposed{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.requests = append(i.requests, r.Method+" "+r.URL.Path)
		i.mu.Unlock()
		if let != nil && !let(r) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.access = Access{URL: server.URL, ServerName: "127.0.0.1", CA: pemOf(server.Certificate())}
	return i
}

func (i *interposed) seen() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.requests)
}

// counted counts those requests that begin so.
func (i *interposed) counted(prefix string) int {
	return len(slices.DeleteFunc(i.seen(), func(request string) bool { return !strings.HasPrefix(request, prefix) }))
}
