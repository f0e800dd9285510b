//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/imageset"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/pki"
	"github.com/teapot-cloud/teapot/test/devcluster/providers"
)

// machinesLimit bounds the wait for providers whose images are loaded.
const machinesLimit = 3 * time.Minute

// Machines adds what manages machines to the running cluster: Cluster API with its
// kubeadm bootstrap provider, and the baremetal-operator. It ends when their Deployments
// are available and their webhooks answer. What is there already is left as it is.
func (c *Cluster) Machines(ctx context.Context) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	b, err := c.attach(ctx, "containerd", "kubernetes")
	if err != nil {
		return err
	}
	dirs, err := c.buildAll(ctx, b, build.Machines())
	if err != nil {
		return err
	}
	archives, err := imageset.EnsureMachines(ctx, b.Cache, imageset.MachineSources{
		ClusterAPIVersion: build.ClusterAPIVersion, ClusterAPI: dirs["cluster-api"],
		BaremetalOperatorVersion: build.BaremetalOperatorVersion, BaremetalOperator: dirs["baremetal-operator"],
	})
	if err != nil {
		return err
	}
	files := make([]string, len(archives))
	for i, a := range archives {
		files[i] = a.File
	}
	if err := c.load(ctx, files); err != nil {
		return err
	}
	all := providers.All(nodenet.NodeIP)
	rendered := make([]*providers.Rendered, len(all))
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range all {
		group.Go(func() (err error) {
			rendered[i], err = c.render(gctx, b, p, filepath.Base(dirs[p.Group]))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	// In their order: the bootstrap provider ends if Cluster API's kinds are not there.
	for i, p := range all {
		if err := c.applyOnce(ctx, client, p, rendered[i]); err != nil {
			return err
		}
	}
	for _, p := range all {
		if err := c.awaitProvider(ctx, client, p); err != nil {
			return err
		}
	}
	c.step("machines are managed: Cluster API %s, baremetal-operator %s", build.ClusterAPIVersion, build.BaremetalOperatorVersion)
	return nil
}

// render returns what to apply for a provider, with new certificates.
func (c *Cluster) render(ctx context.Context, b *build.Builder, p providers.Provider, revision string) (*providers.Rendered, error) {
	group, err := build.Find(build.Machines(), p.Group)
	if err != nil {
		return nil, err
	}
	source, err := b.Source(ctx, group, p.Module)
	if err != nil {
		return nil, err
	}
	manifests, err := p.Manifests(ctx, c.bin("kubectl"), source)
	if err != nil {
		return nil, err
	}
	return p.Render(manifests, revision, func(hosts []string) (providers.Certificate, error) {
		ca, err := pki.NewCA(p.Name + "-webhooks")
		if err != nil {
			return providers.Certificate{}, err
		}
		pair, err := ca.Issue(pki.Identity{CommonName: p.Name, Hosts: hosts})
		return providers.Certificate{CA: ca.Cert, Cert: pair.Cert, Key: pair.Key}, err
	})
}

// apply applies objects in their order, with the kubectl that was built.
func (c *Cluster) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	var manifests bytes.Buffer
	for _, o := range objects {
		document, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		manifests.Write(document)
	}
	cmd := c.kubectlApply(ctx, "-")
	cmd.Stdin = &manifests
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// applyOnce applies a provider unless the very same is there.
func (c *Cluster) applyOnce(ctx context.Context, client kubernetes.Interface, p providers.Provider, r *providers.Rendered) error {
	deployment, err := client.AppsV1().Deployments(p.Namespace).Get(ctx, p.Deployment, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking for %s: %w", p.Name, err)
	}
	if err == nil && deployment.Annotations[providers.DigestAnnotation] == r.Digest {
		return nil
	}
	c.step("applying %s %s", p.Name, p.Version)
	if err := c.apply(ctx, r.Objects); err != nil {
		return fmt.Errorf("applying %s: %w", p.Name, err)
	}
	return nil
}

// awaitProvider waits until a provider runs and its webhooks answer.
func (c *Cluster) awaitProvider(ctx context.Context, client kubernetes.Interface, p providers.Provider) error {
	serves := func(ctx context.Context) error {
		deployment, err := client.AppsV1().Deployments(p.Namespace).Get(ctx, p.Deployment, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !providerRuns(deployment) {
			return errors.New("it has no available pod")
		}
		return c.admits(ctx, p)
	}
	if err := poll(ctx, machinesLimit, nil, serves); err != nil {
		return fmt.Errorf("waiting for %s (log: kubectl -n %s logs deployment/%s): %w", p.Name, p.Namespace, p.Deployment, err)
	}
	return nil
}

// providerRuns reports whether a Deployment runs what was applied last.
func providerRuns(d *appsv1.Deployment) bool {
	return deploymentAvailable(d) && d.Status.UpdatedReplicas > 0
}

// admits asks the API server to create what the provider's webhooks admit, and not to
// keep it.
func (c *Cluster) admits(ctx context.Context, p providers.Provider) error {
	probe := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(p.Probe), &probe.Object); err != nil {
		return fmt.Errorf("reading the probe of %s: %w", p.Name, err)
	}
	config, err := c.restConfig()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	resource, _ := meta.UnsafeGuessKindToResource(probe.GroupVersionKind())
	_, err = client.Resource(resource).Namespace(probe.GetNamespace()).
		Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return fmt.Errorf("asking its webhooks about a %s: %w", probe.GetKind(), err)
	}
	return nil
}
