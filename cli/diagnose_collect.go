package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilversion "k8s.io/apimachinery/pkg/version"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/internal/version"
)

// requestDeadline bounds each request to the management cluster, so that what hangs costs
// little beside what answers.
const requestDeadline = 10 * time.Second

// diagnosedKinds are the objects of a control plane's own namespace that are collected
// whole.
var diagnosedKinds = []schema.GroupVersionKind{
	appsv1.SchemeGroupVersion.WithKind("Deployment"),
	appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
	appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
	corev1.SchemeGroupVersion.WithKind("Pod"),
	corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"),
	corev1.SchemeGroupVersion.WithKind("Service"),
	networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),
	policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
}

// collector reads everything and remembers what it could not read.
type collector struct {
	*diagnoseOptions
	client client.Client
	core   coreclient.CoreV1Interface
	// config reaches the management cluster.
	config  *rest.Config
	started time.Time
	plain   *redactor

	files   map[string]string
	missing []missing

	// tcp is nil if it could not be read, and tcpErr says why.
	tcp    *teapotv1.TenantControlPlane
	tcpErr error
	// own is the control plane's own namespace.
	own string
	// found says that something of the control plane is there.
	found  bool
	pods   []corev1.Pod
	events []corev1.Event
	// secrets are kept to know what must not be written.
	secrets []corev1.Secret
	// versions are lines of versions.txt.
	versions []string
}

func newCollector(o *diagnoseOptions, started time.Time) (*collector, error) {
	config, err := o.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	// A few dozen requests, and then no more.
	config.QPS, config.Burst = 50, 100
	c := &collector{
		diagnoseOptions: o, config: config, started: started, plain: newRedactor(nil),
		files: map[string]string{}, own: controlplane.Namespace(o.key),
	}
	if c.client, err = clientFor(config); err != nil {
		return nil, err
	}
	c.core, err = coreclient.NewForConfig(config)
	return c, err
}

// lack remembers that something is missing.
func (c *collector) lack(what string, err error) {
	c.missing = append(c.missing, missing{what, whyMissing(err)})
}

// collect reads everything that can be read. It fails if that is nothing.
func (c *collector) collect(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"the TenantControlPlane", c.controlPlane},
		{"Secrets' names and certificates", c.secretFacts},
		{"objects in namespace " + c.own, c.objects},
		{"events", c.allEvents},
		{"logs", c.logs},
		{"the manager's log", c.managerLog},
		{"nodes", c.nodes},
		{"the tenant's API", c.tenant},
		{"versions", c.collectVersions},
	}
	for _, step := range steps {
		c.notef("Collecting %s", step.what)
		if err := step.do(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if !c.found {
		return c.tcpErr
	}
	return nil
}

// controlPlane reads the object itself. Unless it is merely forbidden or gone, nothing else
// can be read either.
func (c *collector) controlPlane(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	// As it is stored: a field that this program does not know is kept.
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(controlPlaneKind)
	if c.tcpErr = c.client.Get(ctx, c.key, object); c.tcpErr != nil {
		c.lack("controlplane.yaml", c.tcpErr)
		if apierrors.IsForbidden(c.tcpErr) || isNotFound(c.tcpErr) {
			return nil
		}
		return c.tcpErr
	}
	tidy(object)
	c.tcp, c.found = &teapotv1.TenantControlPlane{}, true
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, c.tcp); err != nil {
		return fmt.Errorf("read %s %q: %w", controlPlaneWord, c.key.Name, err)
	}
	c.own = ownNamespace(c.tcp)
	c.files["conditions.txt"] = tableText(conditionRows(c.tcp.Status.Conditions, inFiles))
	return c.addYAML("controlplane.yaml", object.Object)
}

// tableText is a table, or says that there is nothing in it.
func tableText(rows [][]string) string {
	if len(rows) == 1 {
		return "none\n"
	}
	var text strings.Builder
	writeTable(&text, "", rows)
	return text.String()
}

// addYAML adds an object, or a list of some.
func (c *collector) addYAML(file string, object map[string]any) error {
	text, err := yaml.Marshal(c.plain.object(object))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	c.files[file] = string(text)
	return nil
}

// tidy removes from an object what says nothing: who owns which field, and a second copy of
// it in an annotation.
func tidy(object *unstructured.Unstructured) {
	object.SetManagedFields(nil)
	if annotations := object.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		object.SetAnnotations(annotations)
	}
}

// list lists objects of a kind, sorted by name, as they are stored.
func (c *collector) list(ctx context.Context, kind schema.GroupVersionKind, opts ...client.ListOption) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := c.client.List(ctx, list, opts...); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	for i := range list.Items {
		tidy(&list.Items[i])
	}
	return list, nil
}

// objects collects the objects of the control plane's own namespace.
func (c *collector) objects(ctx context.Context) error {
	namespace := &unstructured.Unstructured{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	getCtx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	if err := c.client.Get(getCtx, types.NamespacedName{Name: c.own}, namespace); err != nil {
		c.lack("namespace/namespace.yaml", err)
	} else {
		c.found = true
		tidy(namespace)
		if err := c.addYAML("namespace/namespace.yaml", namespace.Object); err != nil {
			return err
		}
	}
	for _, kind := range diagnosedKinds {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		file := "namespace/" + resource.Resource + ".yaml"
		list, err := c.list(ctx, kind, client.InNamespace(c.own))
		if err != nil {
			c.lack(file, err)
			continue
		}
		c.found = c.found || len(list.Items) > 0
		if err := c.addYAML(file, list.UnstructuredContent()); err != nil {
			return err
		}
		if kind.Kind != "Pod" {
			continue
		}
		var pods corev1.PodList
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &pods); err != nil {
			return fmt.Errorf("read pods in namespace %q: %w", c.own, err)
		}
		c.pods = pods.Items
		c.files["namespace/pods.txt"] = tableText(podRows(c.pods, inFiles))
	}
	return nil
}

// allEvents collects events of the control plane and of its own namespace.
func (c *collector) allEvents(ctx context.Context) error {
	for _, from := range []struct {
		file string
		opts []client.ListOption
	}{
		{"events.txt", []client.ListOption{client.InNamespace(c.key.Namespace), eventsAbout(controlPlanes, c.key.Name)}},
		{"namespace/events.txt", []client.ListOption{client.InNamespace(c.own)}},
	} {
		listCtx, cancel := context.WithTimeout(ctx, requestDeadline)
		events, err := listEvents(listCtx, c.client, from.opts...)
		cancel()
		if err != nil {
			c.lack(from.file, err)
			continue
		}
		c.events = append(c.events, events...)
		c.files[from.file] = tableText(eventRows(events, inFiles))
	}
	return nil
}

// nodes collects what the management cluster's nodes are and have.
func (c *collector) nodes(ctx context.Context) error {
	const file = "nodes.txt"
	list, err := c.list(ctx, corev1.SchemeGroupVersion.WithKind("Node"))
	if err != nil {
		c.lack(file, err)
		return nil
	}
	var nodes corev1.NodeList
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &nodes); err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	c.files[file] = tableText(nodeRows(nodes.Items))
	return nil
}

// collectVersions says what takes part. It comes last, since every step adds to it.
func (c *collector) collectVersions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	management, err := serverVersion(c.core.RESTClient().Get().AbsPath("/version").DoRaw(ctx))
	if err != nil {
		c.lack("versions.txt, management cluster", err)
		management = "unknown"
	}
	lines := append([]string{"teapot: " + version.Version, "management cluster: " + management}, c.versions...)
	if c.tcp != nil {
		lines = append(lines, "control plane, asked for: "+c.tcp.Spec.Version, "control plane, runs: "+c.tcp.Status.Version)
	}
	c.files["versions.txt"] = strings.Join(lines, "\n") + "\n"
	return nil
}

// serverVersion reads the answer to /version.
func serverVersion(body []byte, err error) (string, error) {
	var info utilversion.Info
	if err == nil {
		err = json.Unmarshal(body, &info)
	}
	if err == nil && info.GitVersion == "" {
		err = errors.New("the answer has no version")
	}
	return info.GitVersion, err
}

// result returns the files and the summary among them.
func (c *collector) result() (files map[string]string, summary string) {
	c.files[missingFile] = missingText(c.missing)
	c.files[summaryFile] = summarize(summaryInput{
		program: c.program, key: c.key, own: c.own, when: c.started,
		tcp: c.tcp, tcpErr: c.tcpErr, pods: c.pods, events: c.events, missing: len(c.missing),
	})
	return c.files, c.files[summaryFile]
}
