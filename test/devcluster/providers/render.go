package providers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/teapot-cloud/teapot/internal/manifest"
)

// DigestAnnotation is on a provider's Deployment and on its pods. It changes with
// everything that is applied but the certificates.
const DigestAnnotation = "devcluster.teapot.dev/digest"

// Rendered is what is to be applied for a provider.
type Rendered struct {
	// Digest is the value of DigestAnnotation.
	Digest string
	// Objects are in the order in which to apply them. The Deployment is the last, so
	// that its annotation says that the others were applied as well.
	Objects []*unstructured.Unstructured
}

// Manifests returns upstream's manifests, as the kustomize in kubectl makes them from the
// source of the provider's module.
func (p Provider) Manifests(ctx context.Context, kubectl, source string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, kubectl, "kustomize", filepath.Join(source, filepath.FromSlash(p.Config)))
	var problems bytes.Buffer
	cmd.Stderr = &problems
	manifests, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kustomizing %s of %s: %w\n%s", p.Config, p.Module, err, &problems)
	}
	return manifests, nil
}

// Render returns what to apply for upstream's manifests, as kustomize prints them.
// Revision identifies the build that is in the image. It fails if upstream's manifests
// lack something that Provider names, or have something that would need cert-manager or
// clusterctl still.
func (p Provider) Render(manifests []byte, revision string, issue Issue) (*Rendered, error) {
	// Certificates are new each time, so the digest is that of objects without.
	plain, err := p.objects(manifests, func([]string) (Certificate, error) { return Certificate{}, nil })
	if err != nil {
		return nil, fmt.Errorf("rendering the manifests of %s %s: %w", p.Name, p.Version, err)
	}
	content, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("rendering the manifests of %s %s: %w", p.Name, p.Version, err)
	}
	sum := sha256.Sum256(fmt.Appendf(content, "\n%s", revision))
	digest := hex.EncodeToString(sum[:8])

	objects, err := p.objects(manifests, issue)
	if err != nil {
		return nil, fmt.Errorf("rendering the manifests of %s %s: %w", p.Name, p.Version, err)
	}
	deployment := objects[len(objects)-1]
	for _, path := range [][]string{
		{"metadata", "annotations", DigestAnnotation},
		// New certificates or a new image under the old name: so new pods.
		{"spec", "template", "metadata", "annotations", DigestAnnotation},
	} {
		if err := unstructured.SetNestedField(deployment.Object, digest, path...); err != nil {
			return nil, fmt.Errorf("annotating Deployment %s: %w", p.Deployment, err)
		}
	}
	return &Rendered{Digest: digest, Objects: objects}, nil
}

// objects returns the manifests with everything put in but the digest.
func (p Provider) objects(manifests []byte, issue Issue) ([]*unstructured.Unstructured, error) {
	all, err := manifest.Parse(manifests)
	if err != nil {
		return nil, err
	}
	objects, authorities, err := certify(all, issue)
	if err != nil {
		return nil, err
	}
	var found struct{ deployment, configMap bool }
	for _, o := range objects {
		if err := inject(o, authorities); err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		switch {
		case o.GetKind() == "Deployment" && o.GetName() == p.Deployment && o.GetNamespace() == p.Namespace:
			found.deployment = true
			if err := p.configure(o); err != nil {
				return nil, fmt.Errorf("deployment %s: %w", p.Deployment, err)
			}
		case o.GetKind() == "ConfigMap" && o.GetName() == p.ConfigMap:
			found.configMap = true
			if err := unstructured.SetNestedStringMap(o.Object, p.Env, "data"); err != nil {
				return nil, fmt.Errorf("configmap %s: %w", p.ConfigMap, err)
			}
		}
	}
	if !found.deployment {
		return nil, fmt.Errorf("there is no Deployment %s in namespace %s", p.Deployment, p.Namespace)
	}
	if p.ConfigMap != "" && !found.configMap {
		return nil, fmt.Errorf("there is no ConfigMap %s", p.ConfigMap)
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(turn(a), turn(b))
	})
	return objects, nil
}

// turn says when an object is applied: what others need to be first is low.
func turn(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "Deployment":
		return 2
	default:
		return 1
	}
}
