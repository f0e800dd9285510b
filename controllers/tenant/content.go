package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Content is what Teapot wants inside a tenant's cluster.
type Content struct {
	// Objects are applied in their order. The first is what makes a tenant's API of use to its
	// users and does not wait for a turn (see pace).
	Objects []unstructured.Unstructured
	// Absent are objects of ours that should no longer be there. They are identified by
	// apiVersion, kind, namespace and name.
	Absent []unstructured.Unstructured
	// Hash is that of both, and Count the number of objects; see NewContent.
	Hash  string
	Count int
	// Source says what the content was made from, so that the same need not be made again
	// (Session.Holds).
	Source string
	// Settled says that the same was applied before, as far as is known: applying it again
	// is to make sure, and waits for its turn among a thousand others.
	Settled bool
}

// NewContent computes the hash of what was made from a source.
func NewContent(source string, objects, absent []unstructured.Unstructured) (*Content, error) {
	encoded, err := json.Marshal([][]unstructured.Unstructured{objects, absent})
	if err != nil {
		return nil, fmt.Errorf("encoding the objects inside a tenant's cluster: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return &Content{Objects: objects, Absent: absent, Hash: hex.EncodeToString(sum[:]), Count: len(objects), Source: source}, nil
}

// hungKinds is how many kinds of objects may hang before a tenant is taken to be lost: a turn that
// others wait for must end.
const hungKinds = 3

// apply brings the content into the tenant's cluster and publishes the outcome. Every
// object is tried, so that one that is refused does not keep the others out: after a sleep, say, by a
// webhook whose pods are gone.
func (s *Session) apply(ctx context.Context, content *Content) {
	var errs []error
	applied := baseline{}
	hung := map[string]int{}                   // how many were not tried, by kind
	settled := content.Settled && !s.drifted() // what has drifted has a deadline
	attempt := func(object *unstructured.Unstructured, change func() error) (goOn bool) {
		kind := object.GetKind()
		if _, hangs := hung[kind]; hangs {
			hung[kind]++
			return true
		}
		err := change()
		if err == nil {
			return true
		}
		errs = append(errs, err)
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return ctx.Err() == nil
		}
		// Either a webhook hangs, mostly for some kinds, or the tenant is gone; then each further
		// object would wait as long.
		hung[kind] = 0
		_, gone := s.conn.hasMachines(ctx)
		return gone == nil && len(hung) < hungKinds
	}
	goOn := true
	for i := range content.Objects {
		if !settled && i == 1 || settled && i == 0 {
			defer s.pace(ctx, settled)()
		}
		object := &content.Objects[i]
		goOn = attempt(object, func() error {
			result, err := s.conn.applyObject(ctx, object)
			if err == nil {
				applied.note(resourceOf(object), result)
			}
			return err
		})
		if !goOn {
			break
		}
	}
	for i := 0; goOn && i < len(content.Absent); i++ {
		object := &content.Absent[i]
		goOn = attempt(object, func() error { return s.conn.deleteObject(ctx, object) })
	}
	if ctx.Err() != nil {
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(hung)) {
		if left := hung[kind]; left > 0 {
			errs = append(errs, fmt.Errorf("applying %d more of kind %s: not tried, since that took too long", left, kind))
		}
	}
	err := errors.Join(errs...)
	s.publish(ctx, func(o *Observation) {
		if err != nil {
			// What was applied before may be half replaced: nothing is known to be there.
			o.Applied, o.ApplyError = "", err.Error()
			return
		}
		o.Applied, o.ApplyError = content.Hash, ""
	})
	if err == nil {
		// In this order: Want asks for the content anew while something has drifted.
		s.settle(ctx, content, applied)
		s.forget(content)
		log.FromContext(ctx).Info("applied objects inside the tenant's cluster", "objects", len(content.Objects))
	}
}

// forget lets go of objects that were applied: a thousand tenants' worth of them would be
// most of the manager's memory.
func (s *Session) forget(content *Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content == content {
		s.content = &Content{Hash: content.Hash, Count: content.Count, Source: content.Source}
	}
}

// resourceOf guesses: all kinds that Teapot applies have regular plurals but one, and
// discovery would cost a request for each.
func resourceOf(object *unstructured.Unstructured) schema.GroupVersionResource {
	kind := object.GroupVersionKind()
	if kind.Kind == "Endpoints" {
		return kind.GroupVersion().WithResource("endpoints")
	}
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return resource
}

func (c *connection) resource(object *unstructured.Unstructured) dynamic.ResourceInterface {
	resource := resourceOf(object)
	if namespace := object.GetNamespace(); namespace != "" {
		return c.dynamic.Resource(resource).Namespace(namespace)
	}
	return c.dynamic.Resource(resource)
}

// configuration are the kinds of which a tenant may take fields over: an edited Corefile, say,
// or the resources of an add-on. All else that is applied says who may do what, or where the API
// is: there a field of another's is a change to undo.
var configuration = []string{"ConfigMap", "Deployment", "DaemonSet"}

// applyObject applies an object. A field that the tenant has taken over and may have stays the
// tenant's: it is left out and the rest applied again.
func (c *connection) applyObject(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	wanted := object.DeepCopy()
	force := !slices.Contains(configuration, object.GetKind())
	for {
		encoded, err := wanted.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("encoding %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		result, err := c.resource(object).Patch(callCtx, object.GetName(), types.ApplyPatchType, encoded,
			metav1.PatchOptions{FieldManager: teapotv1.FieldManager, Force: &force})
		cancel()
		switch {
		case err == nil:
			return result, nil
		case !apierrors.IsConflict(err) || !leaveOut(wanted, err):
			return nil, fmt.Errorf("applying %s %s: %w", object.GetKind(), qualified(object), err)
		}
	}
}

// deleteObject deletes an object if Teapot applied it: a tenant may run, say, a kube-proxy
// of their own under the same name.
func (c *connection) deleteObject(ctx context.Context, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	live, err := c.resource(object).Get(ctx, object.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s %s: %w", object.GetKind(), qualified(object), err)
	}
	ours := slices.ContainsFunc(live.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == teapotv1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply
	})
	if !ours {
		return nil
	}
	uid := live.GetUID()
	err = c.resource(object).Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s %s: %w", object.GetKind(), qualified(object), err)
	}
	return nil
}

func qualified(object *unstructured.Unstructured) string {
	if namespace := object.GetNamespace(); namespace != "" {
		return namespace + "/" + object.GetName()
	}
	return object.GetName()
}
