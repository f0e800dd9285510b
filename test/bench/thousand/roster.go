package thousand

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// roster knows of every control plane whether it is Ready or asleep, and its newest version.
type roster struct {
	mu    sync.Mutex
	notes map[string]note
}

type note struct {
	ready, asleep bool
	message       string
	version       string
}

func newRoster() *roster { return &roster{notes: map[string]note{}} }

// watch keeps the roster up to date from a cache.
func (r *roster) watch(ctx context.Context, from cache.Cache) error {
	informer, err := from.GetInformer(ctx, &teapotv1.TenantControlPlane{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching control planes: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    r.note,
		UpdateFunc: func(_, now any) { r.note(now) },
	})
	return err
}

func (r *roster) note(object any) {
	tcp := object.(*teapotv1.TenantControlPlane)
	n := note{version: tcp.ResourceVersion, message: "not looked at yet"}
	if condition := meta.FindStatusCondition(tcp.Status.Conditions, teapotv1.ReadyCondition); condition != nil {
		n.ready, n.message = condition.Status == "True", condition.Message
	}
	n.asleep = tcp.Status.Hibernation != nil && tcp.Status.Hibernation.Phase == teapotv1.HibernationAsleep
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[tcp.Name] = n
}

func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.notes)
}

func (r *roster) ready() int  { return r.count(func(n note) bool { return n.ready }) }
func (r *roster) asleep() int { return r.count(func(n note) bool { return n.asleep }) }

func (r *roster) count(is func(note) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	for _, n := range r.notes {
		if is(n) {
			count++
		}
	}
	return count
}

// anyUnready names a control plane that is not Ready, and anyAwake one that is not asleep, and why not.
func (r *roster) anyUnready() string { return r.any(func(n note) bool { return !n.ready }) }
func (r *roster) anyAwake() string   { return r.any(func(n note) bool { return !n.asleep }) }

func (r *roster) any(is func(note) bool) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, n := range r.notes {
		if is(n) {
			return name + ": " + n.message
		}
	}
	return "none is not"
}

// versions returns the newest version of each control plane.
func (r *roster) versions() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	versions := make(map[string]string, len(r.notes))
	for name, n := range r.notes {
		versions[name] = n.version
	}
	return versions
}
