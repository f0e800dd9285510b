package apply

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
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
			if !isFree(path) && !holds(ours, path) {
				added.Insert(path.Copy())
			}
		}
		if known := foreign[entry.Manager]; known != nil {
			added = added.Union(known) // one who both applies and updates has two entries
		}
		if !added.Empty() {
			foreign[entry.Manager] = added
		}
	}
	return foreign
}

// holds says whether a set has fields below a path. Whoever makes an object owns its lists and
// maps as such, beside what is in them.
func holds(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, step := range path {
		set = set.WithPrefix(step)
	}
	return !set.Empty()
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
// writes, the operator's secrets of a service account (OpenShift writes them by itself), and
// what a load balancer's controller notes in a Service.
var free = [][]string{
	{"metadata"}, {"status"}, {"spec", "finalizers"}, {"spec", "template", "metadata"},
	{"imagePullSecrets"}, {"secrets"}, {"spec", "loadBalancerIP"}, {"spec", "loadBalancerClass"}, {"spec", "healthCheckNodePort"},
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

// evict removes from an object, as the API server answered it to our apply, what others added
// to it. It reports whether there was anything. It comes after the apply: by then a field of
// ours that somebody had changed is ours again, and is not taken out of a running object.
//
// A value that the API server puts back (a default, an address that it keeps) is not a change;
// with it the API server would keep the name of whoever wrote it, so that is removed as well.
func (a Applier) evict(ctx context.Context, live *unstructured.Unstructured) (bool, error) {
	foreign := foreignFields(live.GetManagedFields())
	if len(foreign) == 0 {
		return false, nil
	}
	before := live.DeepCopy()
	for _, set := range foreign {
		for path := range set.All() {
			removeField(live.Object, path)
		}
	}
	remaining, err := disown(live.GetManagedFields(), foreign)
	if err != nil {
		return false, fmt.Errorf("reading who owns the fields of %s: %w", describe(live), err)
	}
	live.SetManagedFields(remaining)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := a.Client.Patch(ctx, live, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return false, fmt.Errorf("removing from %s what somebody else added: %w", describe(before), err)
	}
	return !equality.Semantic.DeepEqual(withoutMetadata(before), withoutMetadata(live)), nil
}

func withoutMetadata(object *unstructured.Unstructured) map[string]any {
	rest := maps.Clone(object.Object)
	delete(rest, "metadata")
	return rest
}

// disown takes the foreign fields from those who own them.
func disown(entries []metav1.ManagedFieldsEntry, foreign map[string]*fieldpath.Set) ([]metav1.ManagedFieldsEntry, error) {
	var remaining []metav1.ManagedFieldsEntry
	for _, entry := range entries {
		set, ok := fields(entry)
		added := foreign[entry.Manager]
		if added == nil || entry.Subresource != "" || !ok {
			remaining = append(remaining, entry)
			continue
		}
		if set = set.Difference(added); set.Empty() {
			continue
		}
		encoded, err := set.ToJSON()
		if err != nil {
			return nil, err
		}
		entry.FieldsV1 = &metav1.FieldsV1{Raw: encoded}
		remaining = append(remaining, entry)
	}
	return remaining, nil
}

// removeField deletes what a path leads to, if it is there, and what is empty without it: the
// API server sets defaults where there is nothing. It reports whether the node is empty then.
func removeField(node any, path fieldpath.Path) bool {
	head, rest := path[0], path[1:]
	fields, isMap := node.(map[string]any)
	if !isMap || head.FieldName == nil {
		return false
	}
	name := *head.FieldName
	list, isList := fields[name].([]any)
	switch {
	case len(rest) == 0:
		delete(fields, name)
	case !isList:
		if removeField(fields[name], rest) {
			delete(fields, name)
		}
	default:
		at := slices.IndexFunc(list, func(element any) bool { return leadsTo(rest[0], element) })
		switch {
		case at < 0:
		case len(rest) == 1, rest[1].FieldName != nil && isKey(rest[0], *rest[1].FieldName):
			// The element itself, or the field that makes it this element.
			fields[name] = slices.Delete(list, at, at+1)
			if len(list) == 1 {
				delete(fields, name)
			}
		default:
			removeField(list[at], rest[1:])
		}
	}
	return len(fields) == 0
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
