// Package tenant keeps one light client for each tenant that is awake, shared by all
// controllers. Each tenant has a goroutine of its own that asks its API server every few
// seconds and applies what Teapot wants inside it, so that no reconcile ever waits for a
// tenant, and one tenant's trouble is its own.
package tenant

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Registry holds the sessions. It is a manager's Runnable: its context ends all of them.
type Registry struct {
	clock  clock.WithTicker
	pacer  *pacer
	events chan event.GenericEvent

	mu       sync.Mutex
	sessions map[types.NamespacedName]*Session
}

// NewRegistry returns an empty registry.
func NewRegistry(c clock.WithTicker) *Registry {
	return &Registry{
		clock: c,
		pacer: newPacer(),
		// A change that finds the channel full waits in its own session, not here.
		events:   make(chan event.GenericEvent, 1024),
		sessions: map[types.NamespacedName]*Session{},
	}
}

// Events tells which control plane's observation changed.
func (r *Registry) Events() <-chan event.GenericEvent { return r.events }

// Start waits for the end and stops every session then.
func (r *Registry) Start(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, session := range r.sessions {
		session.stop()
		delete(r.sessions, key)
	}
	return nil
}

// Open returns the session of a control plane. One that was opened with other access
// (an endpoint moved, a certificate was renewed) is replaced and keeps what it knew.
func (r *Registry) Open(owner types.NamespacedName, access Access) (*Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.sessions[owner]
	if old != nil && old.access.equal(access) {
		return old, nil
	}
	session, err := newSession(owner, access, r.clock, r.pacer, r.notify)
	if err != nil {
		return nil, err
	}
	if old != nil {
		old.stop()
		session.inherit(old)
	}
	r.sessions[owner] = session
	session.start()
	return session, nil
}

// Find returns the session of a control plane; nil if there is none.
func (r *Registry) Find(owner types.NamespacedName) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[owner]
}

// Close ends the session of a control plane, if there is one.
func (r *Registry) Close(owner types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if session := r.sessions[owner]; session != nil {
		session.stop()
		delete(r.sessions, owner)
	}
}

func (r *Registry) notify(ctx context.Context, owner types.NamespacedName) {
	object := &teapotv1.TenantControlPlane{}
	object.Namespace, object.Name = owner.Namespace, owner.Name
	select {
	case r.events <- event.GenericEvent{Object: object}:
	case <-ctx.Done():
	}
}
