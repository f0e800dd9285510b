package machineclaim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// racks makes one host in each of the racks, machine-0 in the first; "": in none.
func (h *hand) racks(ctx context.Context, t testing.TB, racks ...string) {
	t.Helper()
	h.room(ctx, t, make([]claimtest.Fault, len(racks))...)
	for i, rack := range racks {
		if rack != "" {
			h.change(ctx, t, fmt.Sprintf("machine-%d", i), func(o *host.Object) { o.Labels = map[string]string{rackLabel: rack} })
		}
	}
}

// apart is a claim of a pool that has at most one machine in a rack.
func apart(namespace, pool, name string) *teapotv1.MachineClaim {
	c := newClaim(namespace, name)
	c.Spec.UserData = nil
	c.Labels = map[string]string{teapotv1.PoolLabel: pool}
	c.Spec.Spread = []teapotv1.HostSpread{{TopologyKey: rackLabel, MaxPerDomain: 1}}
	return c
}

// another is a claim of the pool that takes no machine-0, so that it does not meet others there.
func (h *hand) another(ctx context.Context, t testing.TB, pool, name string) *teapotv1.MachineClaim {
	t.Helper()
	h.change(ctx, t, "machine-0", func(o *host.Object) { o.Labels["first"] = "true" })
	c := apart(h.namespace, pool, name)
	c.Spec.HostSelector.MatchExpressions = []teapotv1.HostSelectorRequirement{{Key: "first", Operator: metav1.LabelSelectorOpDoesNotExist}}
	return c
}

// holds fails unless a claim runs on a host.
func (h *hand) holds(ctx context.Context, t *testing.T, name, on string) {
	t.Helper()
	if c := h.expect(ctx, t, name, teapotv1.ClaimProvisioned, teapotv1.ReasonReady); c.Status.Host.Name != on {
		t.Fatalf("claim %s holds %s, want %s", name, c.Status.Host.Name, on)
	}
}

// waits fails unless a claim has no host, nor one in mind, and says why.
func (h *hand) waits(ctx context.Context, t *testing.T, name, says string) {
	t.Helper()
	c := h.expect(ctx, t, name, teapotv1.ClaimPending, teapotv1.ReasonNoHost)
	if ready := meta.FindStatusCondition(c.Status.Conditions, teapotv1.ReadyCondition); ready.Message != says {
		t.Errorf("claim %s says %q, want %q", name, ready.Message, says)
	}
	if on, named := claim.HostOf(c); named {
		t.Errorf("claim %s waits, and keeps others from host %s", name, on)
	}
}

func TestApart(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.racks(ctx, t, "a", "a", "b", "")
	for _, c := range []struct{ pool, name, on string }{{"web", "web-0", "machine-0"}, {"web", "web-1", "machine-2"}, {"db", "db-0", "machine-1"}} {
		create(ctx, t, apart(h.namespace, c.pool, c.name))
		h.settle(ctx, t)
		h.holds(ctx, t, c.name, c.on)
		if len(h.Asked) > 8 {
			t.Errorf("it took %d writes: %q; want 8 at most: host, admission and that it runs noted, consumerRef, image, three of status", len(h.Asked), h.Asked)
		}
		h.Asked = nil
	}
	create(ctx, t, apart(h.namespace, "web", "web-2"))
	h.settle(ctx, t)
	h.waits(ctx, t, "web-2", "4 hosts: 3 taken, 1 without the label that spread names")
	h.delete(ctx, t, h.claim(ctx, t, "db-0"))
	h.settle(ctx, t)
	h.waits(ctx, t, "web-2", "4 hosts: 2 taken, 1 in a domain that is full, 1 without the label that spread names")

	h.change(ctx, t, "machine-0", faulty(claimtest.Hangs))
	h.delete(ctx, t, h.claim(ctx, t, "web-0"))
	h.settle(ctx, t)
	h.expect(ctx, t, "web-0", teapotv1.ClaimReleasing, teapotv1.ReasonReleasing)
	h.waits(ctx, t, "web-2", "4 hosts: 2 taken, 1 in a domain that is full, 1 without the label that spread names")
	h.change(ctx, t, "machine-0", faulty(""))
	h.settle(ctx, t)
	h.isGone(ctx, t, "web-0")
	h.holds(ctx, t, "web-2", "machine-0")
}

// poolOf tells a claim's pool by its name.
func poolOf(claim client.ObjectKey) string {
	pool, _, _ := strings.Cut(claim.Name, "-")
	return pool
}

// heldUp has something happen once, just before a manager writes to a host, or, earlier, reads it
// live for the second time: to take it.
func (h *hand) heldUp(earlier bool, meanwhile func()) {
	reads := 0
	h.Live = getter{Reader: h.Live, before: func(object client.Object) {
		if _, isHost := object.(*host.Object); isHost {
			if reads++; earlier && reads == 2 {
				meanwhile()
			}
		}
	}}
	wrote := false
	h.Client = interceptor.NewClient(h.Client.(client.WithWatch), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if _, isHost := object.(*host.Object); isHost && !earlier && !wrote {
				wrote = true
				meanwhile()
			}
			return c.Patch(ctx, object, patch, options...)
		},
	})
}

// getter does something before each read of one object.
type getter struct {
	client.Reader
	before func(client.Object)
}

func (g getter) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	g.before(object)
	return g.Reader.Get(ctx, key, object, options...)
}

// TestAManagerThatIsHeldUp shows that what a claim was admitted to is not taken by it later, when
// others were admitted in its place.
func TestAManagerThatIsHeldUp(t *testing.T) {
	ctx := t.Context()
	pause := func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, metal3v1.PausedAnnotation, "") }
	unpause := func(o *host.Object) { delete(o.Annotations, metal3v1.PausedAnnotation) }
	for _, test := range []struct {
		name    string
		earlier bool
		// meanwhile is what happens, and then another manager brings on both claims.
		meanwhile, after func(*testing.T, *hand)
		// The hosts that the claims hold in the end; "": it is gone.
		first, second string
	}{
		{name: "while another takes the host for it", first: "machine-0", second: "machine-2"},
		{name: "while the host changes", meanwhile: func(t *testing.T, h *hand) {
			h.change(ctx, t, "machine-0", func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.CostAnnotation, "9000") })
		}, first: "machine-0", second: "machine-2"},
		{name: "while the host becomes another's", meanwhile: func(t *testing.T, h *hand) {
			h.change(ctx, t, "machine-0", func(o *host.Object) { host.Take(o, host.Holder{}, "") })
		}, first: "machine-1", second: "machine-2"},
		{name: "while the claim is deleted", meanwhile: func(t *testing.T, h *hand) {
			h.delete(ctx, t, h.claim(ctx, t, "web-0"))
		}, first: "", second: "machine-1"},
		{name: "while the host cannot be claimed for a time", earlier: true,
			meanwhile: func(t *testing.T, h *hand) { h.change(ctx, t, "machine-0", pause) },
			after:     func(t *testing.T, h *hand) { h.change(ctx, t, "machine-0", unpause) },
			first:     "machine-1", second: "machine-2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHand(t, newNamespace(t))
			h.racks(ctx, t, "a", "a", "b")
			first, second := apart(h.namespace, "web", "web-0"), h.another(ctx, t, "web", "web-1")
			create(ctx, t, first)
			judge, err := claimtest.NewJudge(ctx, direct, h.namespace, claimtest.AtMost(1, rackLabel, poolOf))
			if err != nil {
				t.Fatal(err)
			}
			other, held := newHand(t, h.namespace), false
			h.heldUp(test.earlier, func() {
				held = true
				if c := h.claim(ctx, t, "web-0"); c.Annotations[teapotv1.AdmittedAnnotation] == "" {
					t.Error("it was not admitted")
				}
				if test.meanwhile != nil {
					test.meanwhile(t, other)
				}
				create(ctx, t, second)
				other.settle(ctx, t)
				if test.after != nil {
					test.after(t, other)
				}
			})
			if _, err := h.Reconcile(ctx, request(first)); err != nil || !held {
				t.Errorf("the manager was held up: %v, and ended with %v", held, err)
			}
			h.settle(ctx, t)
			if test.first == "" {
				h.isGone(ctx, t, "web-0")
			} else {
				h.holds(ctx, t, "web-0", test.first)
			}
			h.holds(ctx, t, "web-1", test.second)
			if violations, _, err := judge.Verdict(); err != nil || len(violations) > 0 {
				t.Error(violations, err)
			}
		})
	}
}

// TestAStaleCache shows that a manager whose cache has nothing of what siblings did keeps apart.
func TestAStaleCache(t *testing.T) {
	ctx := t.Context()
	h := newHand(t, newNamespace(t))
	h.racks(ctx, t, "a", "a", "b")
	second := h.another(ctx, t, "web", "web-1")
	behind := newHand(t, h.namespace)
	before, err := behind.hosts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	behind.Hosts = func(context.Context) ([]host.Host, error) { return slices.Clone(before), nil }
	behind.Client = interceptor.NewClient(behind.Client.(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, policies := list.(*host.PolicyList); policies {
				return c.List(ctx, list, options...)
			}
			return nil
		},
	})
	create(ctx, t, apart(h.namespace, "web", "web-0"))
	h.settle(ctx, t)
	h.holds(ctx, t, "web-0", "machine-0")
	create(ctx, t, second)
	if _, err := behind.Reconcile(ctx, request(second)); err != nil {
		t.Fatal(err)
	}
	h.settle(ctx, t)
	h.holds(ctx, t, "web-1", "machine-2")
}

// TestTwoManagersWantOneRack has one manager bring an older claim on while another is about to list
// the siblings of a younger one, which wants another host of the same rack.
func TestTwoManagersWantOneRack(t *testing.T) {
	ctx := t.Context()
	const full = "2 hosts: 1 in a domain that is full, 1 without the labels asked for"
	for _, test := range []struct {
		name string
		// at is the list of the younger one's manager, counted from 1, before or after which it is
		// held up: it lists to choose, and then to be admitted.
		at    int
		after bool
		racks []string
		// older and younger are the hosts that they hold in the end; "": it waits.
		older, younger string
	}{
		{"it has not chosen: the older one gets the rack", 1, false, []string{"a", "a", "b"}, "machine-0", "machine-2"},
		{"it has chosen: so it does", 1, true, []string{"a", "a", "b"}, "machine-0", "machine-2"},
		{"it has named its choice and not looked: so it does", 2, false, []string{"a", "a", "b"}, "machine-0", "machine-2"},
		{"it has looked: the younger one gets it", 2, true, []string{"a", "a", "b"}, "machine-2", "machine-1"},
		{"there is no other rack", 2, false, []string{"a", "a"}, "machine-0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHand(t, newNamespace(t))
			h.racks(ctx, t, test.racks...)
			if len(test.racks) > 2 { // or the older one, too, would rather be in the rack that is empty
				h.change(ctx, t, "machine-2", func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, teapotv1.CostAnnotation, "9000") })
			}
			older, younger := apart(h.namespace, "web", "web-0"), h.another(ctx, t, "web", "web-1")
			create(ctx, t, older, younger)
			judge, err := claimtest.NewJudge(ctx, direct, h.namespace, claimtest.AtMost(1, rackLabel, poolOf))
			if err != nil {
				t.Fatal(err)
			}
			second := newHand(t, h.namespace)
			lists := 0
			h.Live = lister{Reader: direct, around: func(list client.ObjectList, read func() error) error {
				if !isClaims(list) {
					return read()
				}
				lists++
				if lists == test.at && test.after {
					if err := read(); err != nil {
						return err
					}
				}
				if lists == test.at {
					if _, err := second.Reconcile(ctx, request(older)); err != nil {
						return err
					}
					if test.after {
						return nil
					}
				}
				return read()
			}}
			if _, err := h.Reconcile(ctx, request(younger)); err != nil {
				t.Error(err)
			}
			h.settle(ctx, t)
			for name, on := range map[string]string{"web-0": test.older, "web-1": test.younger} {
				if on != "" {
					h.holds(ctx, t, name, on)
				} else {
					h.waits(ctx, t, name, full)
				}
			}
			if violations, _, err := judge.Verdict(); err != nil || len(violations) > 0 {
				t.Error(violations, err)
			}
		})
	}
}

// isClaims says whether a list is that of a claim's siblings.
func isClaims(list client.ObjectList) bool {
	_, metadata := list.(*metav1.PartialObjectMetadataList)
	return metadata && list.GetObjectKind().GroupVersionKind().Kind == "MachineClaimList"
}
