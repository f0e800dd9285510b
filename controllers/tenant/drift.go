package tenant

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// driftPeriod is how long it takes to look at every kind of object once. What somebody
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

// drift is what a session knows of changes that others made to what it applied.
type drift struct {
	applied baseline
	// round is when the present look at all kinds began, and next the kind that comes next.
	round time.Time
	next  int
	// found are the objects that differ, with how they were seen; empty if they are gone.
	found baseline
	// repaired is what was put right and not been told of.
	repaired []corev1.ObjectReference
}

// wants says that the content is to be applied again.
func (d *drift) wants() bool { return len(d.found) > 0 }

// lookForDrift asks for the metadata of the kinds whose turn it is, from the API server's
// own cache, and compares it with the baseline. It takes no longer than one ask. It reports
// whether it was answered; a failure is not told of, since the next ask for machines tells.
func (s *Session) lookForDrift(ctx context.Context) bool {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, resource := range s.dueForALook() {
		switch found, err := s.differences(asking, resource, fromCache); {
		case err != nil:
			return false
		case len(found) > 0:
			answered := s.lookAtAll(asking)
			if s.drifted() {
				s.publish(ctx, func(o *Observation) { o.Drifts++ })
			}
			return answered
		}
	}
	return true
}

// lookAtAll finds everything that differs, since all of it is about to be put right and is to
// be told of. The API server's cache may be behind, so this reads through etcd.
func (s *Session) lookAtAll(ctx context.Context) bool {
	s.mu.Lock()
	resources := slices.Collect(maps.Keys(s.drift.applied))
	s.mu.Unlock()
	found, answered := baseline{}, true
	for _, resource := range resources {
		differ, err := s.differences(ctx, resource, throughEtcd)
		if err != nil {
			answered = false
			break
		}
		if len(differ) > 0 {
			found[resource] = differ
		}
	}
	s.mu.Lock()
	s.drift.found = found
	s.mu.Unlock()
	return answered
}

// differences lists a resource and returns what is not as it was applied.
func (s *Session) differences(ctx context.Context, resource schema.GroupVersionResource, version string) (map[types.NamespacedName]string, error) {
	seen, err := s.conn.listOurs(ctx, resource, version)
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

// dueForALook spreads the kinds evenly over the period.
func (s *Session) dueForALook() []schema.GroupVersionResource {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.drift
	if d.wants() || len(d.applied) == 0 {
		return nil
	}
	resources := slices.SortedFunc(maps.Keys(d.applied), func(a, b schema.GroupVersionResource) int {
		return slices.Compare([]string{a.Group, a.Resource}, []string{b.Group, b.Resource})
	})
	now := s.clock.Now()
	if d.round.IsZero() || d.next >= len(resources) {
		d.round, d.next = now, 0
	}
	share := float64(now.Sub(d.round)+steadyInterval) / float64(driftPeriod)
	until := min(len(resources), max(d.next, int(share*float64(len(resources)))))
	due := resources[min(d.next, until):until]
	d.next = until
	return due
}

// settle takes over what was applied of a content, and finds out whether that changed what had
// drifted: a tenant's own field, which is left alone, did not.
func (s *Session) settle(ctx context.Context, content *Content, applied baseline) {
	s.mu.Lock()
	var repaired []corev1.ObjectReference
	for i := range content.Objects {
		object := &content.Objects[i]
		resource, name := resourceOf(object), types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
		seen, drifted := s.drift.found[resource][name]
		if now := applied[resource][name]; drifted && now != "" && now != seen {
			repaired = append(repaired, corev1.ObjectReference{
				APIVersion: object.GetAPIVersion(), Kind: object.GetKind(), Namespace: name.Namespace, Name: name.Name,
			})
		}
	}
	// The round goes on where it was: a kind that is changed again and again does not keep
	// those after it from being looked at.
	s.drift.applied, s.drift.found = applied, nil
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

// Resource versions of a list: as the API server's watch cache has it, and as etcd has it.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
const (
	fromCache   = "0"
	throughEtcd = ""
)

// listOurs lists the metadata of Teapot's objects of a resource.
func (c *connection) listOurs(ctx context.Context, resource schema.GroupVersionResource, version string) (map[types.NamespacedName]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	list, err := c.metadata.Resource(resource).List(ctx, metav1.ListOptions{
		LabelSelector:   labels.SelectorFromSet(labels.Set{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot}).String(),
		ResourceVersion: version,
	})
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
