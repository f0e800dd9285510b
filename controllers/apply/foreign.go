package apply

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// A field that somebody adds beside ours (hostNetwork in a pod template, a port, a rule of a
// network policy) is theirs by the rules of server-side apply, and applying ours leaves it
// there. In an object that is ours alone it is a change to undo.

// Transform is for the cache of objects that Apply works on. It keeps of managedFields, which
// are most of an object's size, only the names of others who added fields to it.
func Transform(in any) (any, error) {
	object, err := meta.Accessor(in)
	if err != nil {
		return in, nil // a tombstone
	}
	var kept []metav1.ManagedFieldsEntry
	for manager := range foreignFields(object.GetManagedFields()) {
		kept = append(kept, metav1.ManagedFieldsEntry{Manager: manager})
	}
	object.SetManagedFields(kept)
	return in, nil
}

// hasForeignFields says of an object from the cache whether others added fields to it.
func hasForeignFields(object client.Object) bool { return len(object.GetManagedFields()) > 0 }

// foreignFields returns, by manager, the fields that others added to what is wanted of an
// object.
func foreignFields(entries []metav1.ManagedFieldsEntry) map[string]*fieldpath.Set {
	ours := fieldpath.NewSet()
	for _, entry := range entries {
		if isOurs(entry.Manager) {
			if set, ok := fields(entry); ok {
				ours = ours.Union(set)
			}
		}
	}
	foreign := map[string]*fieldpath.Set{}
	for _, entry := range entries {
		if isOurs(entry.Manager) || entry.Subresource != "" {
			continue
		}
		set, ok := fields(entry)
		if !ok {
			continue
		}
		added := fieldpath.NewSet()
		for path := range set.Difference(ours).Leaves().All() {
			if !isFree(path) {
				added.Insert(path.Copy())
			}
		}
		if !added.Empty() {
			foreign[entry.Manager] = added
		}
	}
	return foreign
}

func isOurs(manager string) bool {
	return manager == teapotv1.FieldManager || strings.HasPrefix(manager, teapotv1.FieldManager+"-")
}

func fields(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, bool) {
	if entry.FieldsV1 == nil {
		return nil, false
	}
	set := &fieldpath.Set{}
	return set, set.FromJSON(bytes.NewReader(entry.FieldsV1.Raw)) == nil
}

// free are the fields that others may add: labels and annotations, which tools of the
// operator's write (the template's, too: kubectl rollout restart is one), what the system
// writes, the operator's pull secrets of a service account, and what a load balancer's
// controller notes in a Service.
var free = [][]string{
	{"metadata"}, {"status"}, {"spec", "finalizers"}, {"spec", "template", "metadata"},
	{"imagePullSecrets"}, {"spec", "loadBalancerIP"}, {"spec", "loadBalancerClass"}, {"spec", "healthCheckNodePort"},
}

func isFree(path fieldpath.Path) bool {
	return slices.ContainsFunc(free, func(prefix []string) bool {
		if len(path) < len(prefix) {
			return false
		}
		for i, name := range prefix {
			if path[i].FieldName == nil || *path[i].FieldName != name {
				return false
			}
		}
		return true
	})
}

// evict removes from an object what others added to it. It reports whether there was
// anything.
func (a Applier) evict(ctx context.Context, desired *unstructured.Unstructured) (bool, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(desired.GroupVersionKind())
	// An unstructured object is read from the API server: the cache knows no fields.
	if err := a.Client.Get(ctx, client.ObjectKeyFromObject(desired), live); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("reading %s: %w", describe(desired), err))
	}
	cleaned := live.DeepCopy()
	removed := false
	for _, set := range foreignFields(live.GetManagedFields()) {
		for path := range set.All() {
			removed = removeField(cleaned.Object, path) || removed
		}
	}
	if !removed {
		return false, nil
	}
	patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})
	if err := a.Client.Patch(ctx, cleaned, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return false, fmt.Errorf("removing from %s what somebody else added: %w", describe(desired), err)
	}
	return true, nil
}

// removeField deletes what a path leads to, and reports whether it was there.
func removeField(node any, path fieldpath.Path) bool {
	head, rest := path[0], path[1:]
	fields, isMap := node.(map[string]any)
	if !isMap || head.FieldName == nil {
		return false
	}
	name := *head.FieldName
	child, found := fields[name]
	if !found {
		return false
	}
	if len(rest) == 0 {
		delete(fields, name)
		return true
	}
	list, isList := child.([]any)
	if !isList {
		return removeField(child, rest)
	}
	at := slices.IndexFunc(list, func(element any) bool { return leadsTo(rest[0], element) })
	switch {
	case at < 0:
		return false
	case len(rest) == 1, rest[1].FieldName != nil && isKey(rest[0], *rest[1].FieldName):
		// The element itself, or the field that makes it this element.
		fields[name] = slices.Delete(slices.Clone(list), at, at+1)
		return true
	default:
		return removeField(list[at], rest[1:])
	}
}

// leadsTo says whether a path's element means this element of a list.
func leadsTo(step fieldpath.PathElement, element any) bool {
	switch {
	case step.Value != nil:
		return fmt.Sprint((*step.Value).Unstructured()) == fmt.Sprint(element)
	case step.Key != nil:
		fields, ok := element.(map[string]any)
		for _, key := range *step.Key {
			ok = ok && fmt.Sprint(fields[key.Name]) == fmt.Sprint(key.Value.Unstructured())
		}
		return ok
	default:
		return false
	}
}

func isKey(step fieldpath.PathElement, name string) bool {
	return step.Key != nil && slices.ContainsFunc(*step.Key, func(field value.Field) bool { return field.Name == name })
}
