package tenant

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// driftPeriod is how long it takes to look at every kind of object once, and at Nodes. What somebody
// changed is put right within 30 s, so it leaves time for the repair.
const driftPeriod = 22 * time.Second

// baseline is how objects were when they had last been applied: a fingerprint for each, by
// resource. It is all that a session keeps of them.
type baseline map[schema.GroupVersionResource]map[types.NamespacedName]string

// note leaves out an object whose label of Teapot's somebody else has taken over: it cannot be
// found again by it, and the label stays theirs.
func (b baseline) note(resource schema.GroupVersionResource, object metav1.Object) {
	if object.GetLabels()[teapotv1.ManagedByLabel] != teapotv1.ManagedByTeapot {
		return
	}
	if b[resource] == nil {
		b[resource] = map[types.NamespacedName]string{}
	}
	b[resource][types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}] = fingerprint(object)
}

// fingerprint changes with what an object asks for and its labels. Objects with a generation
// have a status that changes by itself; those without have none.
func fingerprint(object metav1.Object) string {
	version := object.GetResourceVersion()
	if generation := object.GetGeneration(); generation != 0 {
		hash := fnv.New64a()
		for _, key := range slices.Sorted(maps.Keys(object.GetLabels())) {
			hash.Write([]byte(key + "=" + object.GetLabels()[key] + ","))
		}
		version = strconv.FormatInt(generation, 10) + "-" + strconv.FormatUint(hash.Sum64(), 36)
	}
	return string(object.GetUID()) + "/" + version
}

// changed says whether applying an object changed it: how it was seen (empty: it was gone), and how it
// is now (empty: it is not known).
func changed(seen, now string) bool { return now != "" && now != seen }

// madeAnew says whether an object is another one than the one that was applied before.
func madeAnew(was, now string) bool {
	uid := func(fingerprint string) string { return strings.Split(fingerprint, "/")[0] }
	return was != "" && now != "" && uid(was) != uid(now)
}

// drift is what a session knows of changes that others made to what it applied.
type drift struct {
	applied baseline
	kinds   []schema.GroupVersionResource // of applied
	// next is the kind that comes next, and due when; nodesDue is when Nodes are.
	next          int
	due, nodesDue time.Time
	// found are the objects that differ, with how they were seen; empty if they are gone.
	found baseline
	// repaired is what was put right and not been told of.
	repaired []corev1.ObjectReference
}

// wants says that the content is to be applied again.
func (d *drift) wants() bool { return len(d.found) > 0 }

// turn returns the kind that is to be listed now; empty: Nodes. Everything is looked at once each
// driftPeriod; while there is no Node, they are each steadyInterval: add-ons wait for the first.
func (s *Session) turn() schema.GroupVersionResource {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, now := &s.drift, s.clock.Now()
	kinds := d.waiting()
	if len(kinds) == 0 || now.Before(d.due) || !now.Before(d.nodesDue) {
		d.nodesDue = now.Add(steadyInterval)
		if s.observation.Machines {
			d.nodesDue = now.Add(driftPeriod)
		}
		return schema.GroupVersionResource{}
	}
	d.next %= len(kinds)
	kind := kinds[d.next]
	d.next++
	// From when it was due: to be woken a little late each time does not add up.
	step := driftPeriod / time.Duration(len(kinds))
	if d.due = d.due.Add(step); d.due.Before(now) {
		d.due = now.Add(step)
	}
	return kind
}

// waiting are the kinds of which there is something to compare, in the order in which it is done.
func (d *drift) waiting() []schema.GroupVersionResource {
	if d.wants() {
		return nil // it is known that there is something to put right
	}
	return d.kinds
}

// kinds are the resources of a baseline in an order that is always the same.
func (b baseline) kinds() []schema.GroupVersionResource {
	return slices.SortedFunc(maps.Keys(b), func(a, b schema.GroupVersionResource) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
}

// beat is what sessions at rest are woken by, all at the same moments: most of what an idle manager of
// many tenants costs is to be woken and to fall asleep again, not what it then does.
const beat = 100 * time.Millisecond

// turnIn is in how long the next turn is: at the first beat after it is due.
func (s *Session) turnIn() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, now := s.drift.nodesDue, s.clock.Now()
	if len(s.drift.waiting()) > 0 && s.drift.due.Before(next) {
		next = s.drift.due
	}
	next = now.Add(min(max(next.Sub(now), 0), steadyInterval))
	return next.Add(beat - 1).Truncate(beat).Sub(now)
}

// lookForDrift compares a kind with the baseline. If something differs, the others are looked at as well,
// since all of it is about to be put right and is to be told of; that takes no longer than one ask more,
// and if it fails, the next ask tells.
func (s *Session) lookForDrift(ctx context.Context, kind schema.GroupVersionResource) error {
	differ, err := s.differences(ctx, kind)
	if err != nil || len(differ) == 0 {
		return err
	}
	found := baseline{kind: differ}
	s.mu.Lock()
	kinds := s.drift.kinds
	s.mu.Unlock()
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, other := range kinds {
		if other == kind {
			continue
		}
		if differ, err = s.differences(asking, other); err != nil {
			break
		}
		if len(differ) > 0 {
			found[other] = differ
		}
	}
	s.mu.Lock()
	s.drift.found = found
	s.mu.Unlock()
	s.publish(ctx, func(o *Observation) { o.Drifts++ })
	return nil
}

// differences lists a resource and returns what is not as it was applied.
func (s *Session) differences(ctx context.Context, resource schema.GroupVersionResource) (map[types.NamespacedName]string, error) {
	seen, err := s.conn.listOurs(ctx, resource)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[types.NamespacedName]string{}
	for name, was := range s.drift.applied[resource] {
		if seen[name] != was {
			found[name] = seen[name]
		}
	}
	return found, nil
}

// drifted says whether something is to be put right.
func (s *Session) drifted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drift.wants()
}

// settle takes over what was applied of a content, and finds out whether that changed what had
// drifted: a tenant's own field, which is left alone, did not. What was taken away after the look was made
// anew with the rest.
func (s *Session) settle(ctx context.Context, content *Content, applied baseline) {
	s.mu.Lock()
	var repaired []corev1.ObjectReference
	for i := range content.Objects {
		object := &content.Objects[i]
		resource, name := resourceOf(object), types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
		seen, drifted := s.drift.found[resource][name]
		was, now := s.drift.applied[resource][name], applied[resource][name]
		if drifted && changed(seen, now) || !drifted && madeAnew(was, now) {
			repaired = append(repaired, corev1.ObjectReference{
				APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: name.Namespace, Name: name.Name,
			})
		}
	}
	// The round goes on where it was: a kind that is changed again and again does not keep
	// those after it from being looked at.
	s.drift.applied, s.drift.kinds, s.drift.found = applied, applied.kinds(), nil
	s.drift.repaired = append(s.drift.repaired, repaired...)
	s.mu.Unlock()
	if len(repaired) > 0 {
		s.publish(ctx, func(o *Observation) { o.Repairs++ })
	}
}

// TakeRepairs refers to the objects that were put right since it was last called.
func (s *Session) TakeRepairs() []corev1.ObjectReference {
	s.mu.Lock()
	defer s.mu.Unlock()
	repaired := s.drift.repaired
	s.drift.repaired = nil
	return repaired
}

// onlyOurs selects what Teapot applied.
var onlyOurs = url.Values{"labelSelector": {teapotv1.ManagedByLabel + "=" + teapotv1.ManagedByTeapot}}.Encode()

// listOurs lists the metadata of Teapot's objects of a resource.
func (c *connection) listOurs(ctx context.Context, resource schema.GroupVersionResource) (map[types.NamespacedName]string, error) {
	list, err := c.list(ctx, resource, onlyOurs)
	if err != nil {
		return nil, err
	}
	seen := make(map[types.NamespacedName]string, len(list.Items))
	for i := range list.Items {
		item := &list.Items[i]
		seen[types.NamespacedName{Namespace: item.Namespace, Name: item.Name}] = fingerprint(item)
	}
	return seen, nil
}
