// Package apply brings an object of the management cluster to the state that a plan
// wants: by server-side apply, as one field owner, and without a request when the object
// is as it should be already.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Applier applies objects.
type Applier struct {
	// Client reads from a cache (filtered by label) and writes to the API server.
	Client client.Client
	// ReadOnly makes Apply read what is there and write nothing (spec.paused).
	ReadOnly bool
}

// Options of one Apply.
type Options struct {
	// Force takes fields from other managers. It is for objects in a control plane's own
	// namespace, where everything is ours; elsewhere another's field is a conflict to report.
	Force bool
}

// Outcome is what Apply found and did.
type Outcome int

// Values of Outcome.
const (
	// Unchanged: the object was as it should be, or nothing may be written.
	Unchanged Outcome = iota
	// Missing: the object is not there, and nothing may be written.
	Missing
	// Made: the object was not there.
	Made
	// Changed: what is wanted has changed.
	Changed
	// Repaired: what is wanted is what was applied before, and somebody else had changed it.
	Repaired
)

// Apply brings the object to its desired state and stores what the API server holds then
// into desired. It compares with the cached object first: a hash of the last applied
// state tells of fields that the plan no longer names, and a comparison of every field
// that it does name tells of changes made by others.
func (a Applier) Apply(ctx context.Context, desired client.Object, options Options) (Outcome, error) {
	hash, err := hashOf(desired)
	if err != nil {
		return Unchanged, err
	}
	outcome := Made
	live := reflect.New(reflect.TypeOf(desired).Elem()).Interface().(client.Object)
	live.GetObjectKind().SetGroupVersionKind(desired.GetObjectKind().GroupVersionKind())
	err = a.Client.Get(ctx, client.ObjectKeyFromObject(desired), live)
	switch {
	case err == nil:
		outcome, err = compare(desired, live, hash)
		if err != nil {
			return Unchanged, err
		}
		if a.ReadOnly || outcome == Unchanged && !(options.Force && hasForeignFields(live)) {
			take(live, desired)
			return Unchanged, nil
		}
	case !apierrors.IsNotFound(err):
		return Unchanged, fmt.Errorf("reading %s: %w", describe(desired), err)
	case a.ReadOnly:
		return Missing, nil
	}

	want, err := toUnstructured(desired)
	if err != nil {
		return Unchanged, err
	}
	stamp(want, hash)
	applyOptions := []client.ApplyOption{client.FieldOwner(teapotv1.FieldManager)}
	if options.Force {
		applyOptions = append(applyOptions, client.ForceOwnership)
	}
	if err := a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), applyOptions...); err != nil {
		return Unchanged, fmt.Errorf("applying %s: %w", describe(want), err)
	}
	if options.Force {
		evicted, err := a.evict(ctx, want)
		if err != nil {
			return Unchanged, err
		}
		if evicted && outcome != Made {
			outcome = Repaired
		}
	}
	if outcome != Unchanged {
		log.FromContext(ctx).Info("applied", "object", describe(want))
	}
	return outcome, copyInto(want, desired)
}

// compare says what is to be done about an object that is there. Unchanged says nothing of what
// others added to it.
func compare(desired, live client.Object, hash string) (Outcome, error) {
	if live.GetAnnotations()[teapotv1.AppliedHashAnnotation] != hash {
		return Changed, nil
	}
	want, err := toUnstructured(desired)
	if err != nil {
		return Unchanged, err
	}
	have, err := toUnstructured(live)
	if err != nil {
		return Unchanged, err
	}
	if !isSubset(want.Object, have.Object) {
		return Repaired, nil
	}
	return Unchanged, nil
}

// take makes into what the cache holds. The conversions of copyInto are most of what it costs to find
// that there is nothing to do.
func take(live, into client.Object) {
	live.GetObjectKind().SetGroupVersionKind(into.GetObjectKind().GroupVersionKind())
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(live).Elem())
}

func describe(object client.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if object.GetNamespace() == "" {
		return kind + " " + object.GetName()
	}
	return kind + " " + object.GetNamespace() + "/" + object.GetName()
}

// toUnstructured turns a typed object into the fields that it sets, without its status and what the
// conversion made out of zero values.
func toUnstructured(object client.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("converting %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	delete(fields, "status")
	dropNulls(fields)
	return &unstructured.Unstructured{Object: fields}, nil
}

// copyInto keeps what only the API server knows (cluster IPs, node ports, status).
func copyInto(from *unstructured.Unstructured, into client.Object) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into); err != nil {
		return fmt.Errorf("converting %s: %w", describe(from), err)
	}
	return nil
}

func dropNulls(value any) {
	switch typed := value.(type) {
	case map[string]any:
		for key, child := range typed {
			if child == nil {
				delete(typed, key)
				continue
			}
			// A nested status is that of a template (a volume claim's), never desired.
			if nested, ok := child.(map[string]any); ok && key == "status" && len(nested) == 0 {
				delete(typed, key)
				continue
			}
			dropNulls(child)
		}
	case []any:
		for _, child := range typed {
			dropNulls(child)
		}
	}
}

// hashOf identifies what is wanted of an object.
func hashOf(desired client.Object) (string, error) {
	encoded, err := json.Marshal(desired)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", describe(desired), err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8]), nil
}

// stamp writes the hash of what is wanted of an object into its annotation.
func stamp(object *unstructured.Unstructured, hash string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[teapotv1.AppliedHashAnnotation] = hash
	object.SetAnnotations(annotations)
}

// isSubset says whether every field that want names has the same value in have. Lists
// must agree in length: what Teapot renders, it renders whole.
func isSubset(want, have any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for key, child := range w {
			if !isSubset(child, h[key]) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return len(w) == 0 && have == nil
		}
		for i := range w {
			if !isSubset(w[i], h[i]) {
				return false
			}
		}
		return true
	default:
		return want == have
	}
}
