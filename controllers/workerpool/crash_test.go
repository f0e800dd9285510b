package workerpool_test

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/faults"
)

var (
	errNotDeleting = errors.New("it is not being deleted")
	errNotSeen     = errors.New("not seen yet")
)

// TestACrashAtAnyWriteChangesNothingInTheEnd fails each write of a manager, loses its answer, or
// ends the manager at it, from a pool's first write to its last.
func TestACrashAtAnyWriteChangesNothingInTheEnd(t *testing.T) {
	faults.AtEachWrite(t, "a pool's life", 15, live)
}

// live goes through a pool's life, with a fault at one write, and says whether it came to that.
func live(t *testing.T, what faults.Fault, at int) bool {
	t.Helper()
	p := byHand(t, direct).begun(t)
	faulty := newHand(t, config, p, clock.RealClock{}, what, at)
	h := faulty
	step := func(name string, done func() error) {
		t.Helper()
		for range 20 {
			h.settle(t)
			if h.Ended {
				h = newHand(t, config, p, clock.RealClock{}, "", 0)
				continue
			}
			if err := done(); err == nil {
				return
			}
		}
		t.Fatalf("the manager %s at write %d of %q, and then %s did not come: %v", what, at, faulty.Asked, name, done())
	}
	applied := func() error {
		must(t, p.c.Get(t.Context(), p.key(), p.pool))
		bootstrap, infrastructure := p.templates(t)
		if len(bootstrap) != 1 || len(infrastructure) != 1 {
			return fmt.Errorf("templates are %q and %q", bootstrap, infrastructure)
		}
		return say(p.pool.Status.Conditions, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	}
	step("the first spec", applied)
	p.adopt(t)
	p.counts(t, 3, 3, 3)
	step("Ready", func() error {
		must(t, p.c.Get(t.Context(), p.key(), p.pool))
		return say(p.pool.Status.Conditions, teapotv1.ReadyCondition, "True", teapotv1.ReasonReady)
	})
	clusters := &clusterv1.ClusterList{}
	must(t, p.c.List(t.Context(), clusters, client.InNamespace(p.pool.Namespace)))
	if len(clusters.Items) != 1 || !p.get(t, "prod", &teapotv1.TenantCluster{}) {
		t.Errorf("the manager %s at write %d: Clusters are %+v", what, at, clusters.Items)
	}

	p.change(t, func(s *teapotv1.WorkerPoolSpec) {
		s.Image.URL, s.Remediation.Enabled = "oci://images.example.com/other", ptr.To(false)
	})
	step("another image", func() error {
		md := p.md(t)
		if md.Status.ObservedGeneration != md.Generation {
			p.counts(t, 3, 3, 3)
			return errNotSeen
		}
		template := &teapotv1.HostMachineTemplate{}
		if !p.get(t, md.Spec.Template.Spec.InfrastructureRef.Name, template) || template.Spec.Template.Spec.Image.URL != "oci://images.example.com/other" {
			return errNotSeen
		}
		if p.get(t, "workers", &clusterv1.MachineHealthCheck{}) {
			return errors.New("the health check is still there")
		}
		return applied()
	})

	must(t, p.c.Delete(t.Context(), p.pool))
	step("the deletion", func() error { return deleting(t, p.c, p.md(t)) })
	if !p.get(t, "workers", p.pool) {
		t.Errorf("the manager %s at write %d: the pool did not wait for its machines", what, at)
	}
	letGo(t, p.c, p.md(t))
	step("the end", func() error {
		if p.get(t, "workers", p.pool) {
			return errors.New("it is still there")
		}
		return nil
	})
	if bootstrap, infrastructure := p.templates(t); len(bootstrap)+len(infrastructure) != 0 {
		t.Errorf("the manager %s at write %d: templates %q and %q are left", what, at, bootstrap, infrastructure)
	}
	return len(faulty.Asked) >= at
}
