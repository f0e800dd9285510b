package machineclaim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/test/faults"
	"github.com/teapot-cloud/teapot/workers/host"
)

// scenario is a part of a claim's life: what was there before, and what is asked for. Faults
// begin with the asking.
type scenario struct {
	hosts  []claimtest.Fault
	before func(context.Context, *testing.T, *hand)
	ask    func(context.Context, *testing.T, *hand)
	// from and upTo are the first and last write that are disturbed, where the others are as in
	// another scenario; 0: all are.
	from, upTo int
}

func askForOne(ctx context.Context, t *testing.T, h *hand) {
	t.Helper()
	c := newClaim(h.namespace, "worker-0")
	create(ctx, t, bootstrap(c), c)
}

func deleteIt(ctx context.Context, t *testing.T, h *hand) {
	t.Helper()
	h.delete(ctx, t, h.claim(ctx, t, "worker-0"))
}

var scenarios = map[string]scenario{
	"provision": {hosts: []claimtest.Fault{"", ""}, ask: askForOne},
	"provision apart": {
		hosts: []claimtest.Fault{"", "", ""},
		before: func(ctx context.Context, t *testing.T, h *hand) {
			for i, rack := range []string{"a", "a", "b"} {
				h.change(ctx, t, fmt.Sprintf("machine-%d", i), func(o *host.Object) { o.Labels = map[string]string{rackLabel: rack} })
			}
			create(ctx, t, apart(h.namespace, "web", "web-0"))
			h.settle(ctx, t)
		},
		ask:  func(ctx context.Context, t *testing.T, h *hand) { create(ctx, t, apart(h.namespace, "web", "web-1")) },
		upTo: 4,
	},
	"another host": {hosts: []claimtest.Fault{claimtest.FailsToProvision, ""}, ask: askForOne, from: 7, upTo: 14},
	"release": {
		hosts:  []claimtest.Fault{"", ""},
		before: func(ctx context.Context, t *testing.T, h *hand) { h.ready(ctx, t, "worker-0") },
		ask:    deleteIt,
	},
	"release on the way": {
		hosts: []claimtest.Fault{"", ""},
		before: func(ctx context.Context, t *testing.T, h *hand) {
			h.change(ctx, t, "machine-0", faulty(claimtest.Hangs))
			askForOne(ctx, t, h)
			h.settle(ctx, t)
		},
		ask: func(ctx context.Context, t *testing.T, h *hand) {
			h.change(ctx, t, "machine-0", faulty(""))
			deleteIt(ctx, t, h)
		},
	},
}

// TestACrashAtAnyWriteChangesNothingInTheEnd fails each write of a manager, loses its answer, or
// ends the manager at it, in every scenario. The end is that of an undisturbed run, and a judge
// sees every revision of the hosts on the way.
func TestACrashAtAnyWriteChangesNothingInTheEnd(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, writes := s.run(t, "", 0)
			t.Logf("undisturbed it takes %d writes: %q", len(writes), writes)
			last := len(writes)
			if s.upTo > 0 {
				last = s.upTo
			}
			for _, what := range []faults.Fault{faults.Fails, faults.Lost, faults.Ends} {
				t.Run(string(what), func(t *testing.T) {
					t.Parallel()
					for at := max(1, s.from); at <= last; at++ {
						got, _ := s.run(t, what, at)
						if diff := cmp.Diff(want, got); diff != "" {
							t.Fatalf("the manager %s at write %d: %s", what, at, diff)
						}
					}
				})
			}
		})
	}
}

// run lives one scenario, with a fault at a write, and returns how it ends.
func (s scenario) run(t *testing.T, what faults.Fault, at int) (state map[string]string, writes []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := newHand(t, newNamespace(t))
	judge, err := claimtest.NewJudge(ctx, direct, h.namespace)
	if err != nil {
		t.Fatal(err)
	}
	h.room(ctx, t, s.hosts...)
	if s.before != nil {
		s.before(ctx, t, h)
	}
	h.Writes = faults.Writes{Fault: what, At: at}
	s.ask(ctx, t, h)
	h.settle(ctx, t)
	if violations, _, err := judge.Verdict(); err != nil || len(violations) > 0 {
		t.Errorf("the manager %s at write %d of %q: %v %v", what, at, h.Asked, violations, err)
	}
	return h.snapshot(ctx, t), h.Asked
}

// snapshot is all that a scenario ends with, without what differs from run to run.
func (h *hand) snapshot(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	varies := strings.NewReplacer(h.namespace, "room", string(h.tenant(ctx, t).UID), "its UID")
	note := func(name string, value any) {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		state[varies.Replace(name)] = varies.Replace(string(encoded))
	}
	claims, hosts := &teapotv1.MachineClaimList{}, &host.List{}
	for _, list := range []client.ObjectList{claims, hosts} {
		if err := direct.List(ctx, list, client.InNamespace(h.namespace)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range claims.Items {
		var conditions []string
		for _, each := range c.Status.Conditions {
			conditions = append(conditions, fmt.Sprintf("%s=%s %s %s", each.Type, each.Status, each.Reason, each.Message))
		}
		if meta.FindStatusCondition(c.Status.Conditions, teapotv1.ReadyCondition) == nil {
			t.Errorf("nothing is said of %s", c.Name)
		}
		c.Status.Conditions, c.Status.PhaseSince = nil, nil
		delete(c.Annotations, teapotv1.AdmittedAnnotation)
		note("claim "+c.Name, []any{c.Annotations, c.Finalizers, c.Status})
		for _, each := range conditions {
			kind, says, _ := strings.Cut(each, "=")
			note("claim "+c.Name+" "+kind, says)
		}
	}
	for i := range hosts.Items {
		o := &hosts.Items[i]
		if o.Spec.ConsumerRef != nil {
			o.Spec.ConsumerRef.UID = ""
		}
		v := host.Of(o)
		note("host "+o.Name, []any{o.Annotations, o.Spec, v.State, v.PoweredOn, v.Error})
	}
	for _, secret := range h.secrets(ctx, t) {
		note("Secret "+secret.Name, []any{secret.Labels, secret.Data, secret.OwnerReferences[0].Name})
	}
	return state
}
