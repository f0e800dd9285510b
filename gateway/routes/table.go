// Package routes is what the gateway knows of control planes: a table by name, kept from the Leases
// that the controllers write (package controlplane/route), and what the gateway writes there: that a
// user asked for one that sleeps, and who is connected.
package routes

import (
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/teapot-cloud/teapot/controlplane/route"
)

// Table finds control planes by the name that users ask for.
type Table struct {
	mu      sync.RWMutex
	byLease map[types.NamespacedName]*Tenant
	byHost  map[string]*Tenant
	// gone are those without a Lease that leads anywhere, as long as it matters who was connected when
	// the Lease of the same control plane comes back.
	gone map[types.NamespacedName]*Tenant
}

// NewTable returns an empty one.
func NewTable() *Table {
	return &Table{
		byLease: map[types.NamespacedName]*Tenant{}, byHost: map[string]*Tenant{}, gone: map[types.NamespacedName]*Tenant{},
	}
}

// Lookup finds the control plane of exactly this name, in lower case.
func (t *Table) Lookup(host string) (*Tenant, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tenant, found := t.byHost[host]
	return tenant, found
}

// Count is how many names there are, of control planes awake and asleep.
func (t *Table) Count() (awake, asleep int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, tenant := range t.byHost {
		tenant.mu.Lock()
		if tenant.route.Asleep {
			asleep++
		} else {
			awake++
		}
		tenant.mu.Unlock()
	}
	return awake, asleep
}

// all are all tenants.
func (t *Table) all() []*Tenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]*Tenant, 0, len(t.byLease))
	for _, tenant := range t.byLease {
		all = append(all, tenant)
	}
	return all
}

// set takes what a Lease says. A Lease that cannot be read, or whose name another has, leads nowhere,
// whatever it said before.
func (t *Table) set(lease *coordinationv1.Lease, now time.Time) (*Tenant, error) {
	key := types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name}
	r, err := route.Read(lease)
	if err != nil {
		t.remove(key, now)
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tenant, known := t.byLease[key]
	if other := t.byHost[r.Host]; r.Host != "" && other != nil && other != tenant {
		t.removeLocked(key, now)
		return nil, fmt.Errorf("Lease %s: the name %s is that of Lease %s", key, r.Host, other.Lease)
	}
	if !known {
		if tenant = t.gone[key]; tenant == nil {
			tenant = newTenant(key)
		}
		delete(t.gone, key)
		t.byLease[key] = tenant
	}
	// Only changed under the table's lock.
	if was := tenant.route.Host; was != "" && was != r.Host {
		delete(t.byHost, was)
	}
	tenant.update(r, route.WakeRequested(lease), now)
	if r.Host != "" {
		t.byHost[r.Host] = tenant
	}
	return tenant, nil
}

func (t *Table) remove(lease types.NamespacedName, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(lease, now)
}

func (t *Table) removeLocked(lease types.NamespacedName, now time.Time) {
	tenant, found := t.byLease[lease]
	if !found {
		return
	}
	delete(t.byLease, lease)
	if tenant.route.Host != "" {
		delete(t.byHost, tenant.route.Host)
	}
	tenant.remove(now)
	// Here, so that they are never more than those that were in use or have gone lately.
	maps.DeleteFunc(t.gone, func(_ types.NamespacedName, other *Tenant) bool { return other.forgettable(now) })
	t.gone[lease] = tenant
}
