package claim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

func TestGroupOf(t *testing.T) {
	const pool, deployment, cluster = teapotv1.PoolLabel, clusterv1.MachineDeploymentNameLabel, clusterv1.ClusterNameLabel
	group := func(namespace string, pairs ...string) Group {
		claim := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: map[string]string{}}}
		for i := 0; i < len(pairs); i += 2 {
			claim.Labels[pairs[i]] = pairs[i+1]
		}
		if of := GroupOf(claim); !of.Selector().Matches(labels.Set(claim.Labels)) {
			t.Errorf("the selector of group %+v leaves out a claim with labels %v", of, claim.Labels)
		}
		return GroupOf(claim)
	}
	for _, test := range []struct {
		name string
		a, b Group
		same bool
	}{
		{"one pool, two MachineDeployments", group("acme", pool, "web", deployment, "web-1"), group("acme", pool, "web", deployment, "web-2"), true},
		{"two pools", group("acme", pool, "web"), group("acme", pool, "db"), false},
		{"pools of two namespaces", group("acme", pool, "web"), group("globex", pool, "web"), false},
		{"one MachineDeployment", group("acme", cluster, "c", deployment, "web"), group("acme", cluster, "c", deployment, "web"), true},
		{"two MachineDeployments", group("acme", cluster, "c", deployment, "web"), group("acme", cluster, "c", deployment, "db"), false},
		{"a pool and a MachineDeployment of its name", group("acme", pool, "web"), group("acme", deployment, "web"), false},
		{"of neither", group("acme"), group("acme", cluster, "c"), true},
		{"of neither, in two namespaces", group("acme"), group("globex"), false},
		{"of a pool and of none", group("acme", pool, "web"), group("acme"), false},
	} {
		if got := test.a == test.b; got != test.same {
			t.Errorf("%s: siblings: %v, want %v", test.name, got, test.same)
		}
	}
}

// spreading: the claim is spread over racks, then rooms, with limits; 0: none.
func spreading(perRack, perRoom int32) func(*teapotv1.MachineClaim) {
	return func(c *teapotv1.MachineClaim) {
		c.Spec.Spread = []teapotv1.HostSpread{{TopologyKey: "rack", MaxPerDomain: perRack}, {TopologyKey: "room", MaxPerDomain: perRoom}}
	}
}

func at(rack, room string) func(*host.Object) { return labelled("rack", rack, "room", room) }

func TestChooseApart(t *testing.T) {
	for _, test := range []struct {
		name               string
		asks               func(*teapotv1.MachineClaim)
		hosts              []*host.Object
		siblings, yielding []string
		want, says         string
	}{
		{name: "the rack with the fewest siblings", asks: spreading(0, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "1")), machine("x", at("1", "1"), heldBy("sibling"))}, want: "b"},
		{name: "then the room", asks: spreading(0, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "2")), machine("x", at("3", "1"), heldBy("sibling"))}, want: "b"},
		{name: "the rack before the room", asks: spreading(0, 0), siblings: []string{"x", "y"},
			hosts: []*host.Object{machine("a", at("1", "2")), machine("b", at("2", "1")), machine("x", at("1", "1"), heldBy("sibling")), machine("y", at("3", "1"), heldBy("sibling"))}, want: "b"},
		{name: "failure domains do not count then", asks: spreading(0, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1"), domain("p")), machine("b", at("1", "1"), domain("q")), machine("x", at("2", "2"), domain("p"), heldBy("sibling"))}, want: "a"},
		{name: "cost comes first", asks: spreading(0, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "1"), cpus(64)), machine("x", at("1", "1"), heldBy("sibling"))}, want: "a"},
		{name: "but not before a limit", asks: spreading(1, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "1"), cpus(64)), machine("x", at("1", "1"), heldBy("sibling"))}, want: "b"},
		{name: "up to the limit", asks: spreading(2, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "1"), cpus(64)), machine("x", at("1", "1"), heldBy("sibling"))}, want: "a"},
		{name: "each limit", asks: spreading(2, 1), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("2", "1")), machine("b", at("1", "2"), cpus(64)), machine("x", at("1", "1"), heldBy("sibling"))}, want: "b"},
		{name: "none: why", asks: spreading(1, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", labelled("room", "2")), machine("c", at("", "2")), machine("x", at("1", "1"), heldBy("sibling"))},
			says:  "4 hosts: 2 without the label that spread names, 1 in a domain that is full, 1 taken"},
		{name: "a label that is missing is one domain where there is no limit", asks: spreading(0, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a"), machine("b", at("1", "1")), machine("x", heldBy("sibling"))}, want: "b"},
		{name: "a sibling that is about to take a host counts", asks: spreading(1, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("x", at("1", "1"), costing("9000"))},
			want:  "x"}, // which one of them gets
		{name: "as does one whose host nobody may claim", asks: spreading(1, 0), siblings: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("x", at("1", "1"), func(o *host.Object) { o.Namespace = "secret" }), machine("x", at("1", "1"), heldBy("sibling"))},
			says:  "2 hosts: 1 in a domain that is full, 1 taken"},
		{name: "one that gives way does not", asks: spreading(1, 0), yielding: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("x", at("1", "1"), costing("9000"))}, want: "a"},
		{name: "though for evenness it does", asks: spreading(1, 0), yielding: []string{"x"},
			hosts: []*host.Object{machine("a", at("1", "1")), machine("b", at("2", "1")), machine("x", at("1", "1"), costing("9000"))}, want: "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, p := request(t, test.asks), pool(test.hosts...)
			p.Siblings = siblings(test.siblings...)
			for name := range named(test.yielding) {
				p.Siblings.Add(name, true)
			}
			for range 5 {
				choice := r.Choose(p)
				got := ""
				if choice.Host != nil {
					got = choice.Host.Key.Name
				}
				if got != test.want || got == "" && choice.String() != test.says {
					t.Fatalf("got %q, since %q; want %q %q", got, choice.String(), test.want, test.says)
				}
				rand.Shuffle(len(p.Hosts), func(i, j int) { p.Hosts[i], p.Hosts[j] = p.Hosts[j], p.Hosts[i] })
			}
		})
	}
}

func TestSiblings(t *testing.T) {
	name := types.NamespacedName{Namespace: "machines", Name: "m"}
	for _, test := range []struct {
		name   string
		yields []bool
		want   bool
	}{
		{"one that gives way", []bool{true}, true},
		{"one that does not", []bool{false}, false},
		{"two that want one host, of which one gives way", []bool{true, false}, false},
		{"in whatever order", []bool{false, true}, false},
	} {
		var s Siblings
		for _, yields := range test.yields {
			s.Add(name, yields)
		}
		if !s.Hosts.Has(name) || s.Yielding.Has(name) != test.want {
			t.Errorf("%s: got %+v", test.name, s)
		}
	}
}

func TestStandingOf(t *testing.T) {
	us := host.Tenant{Namespace: "acme", UID: "namespace-0"}
	on := func(changes ...hostChange) []hostChange { return append([]hostChange{revised("7")}, changes...) }
	for _, test := range []struct {
		name  string
		claim []claimChange
		host  []hostChange // nil: there is none
		want  Standing
	}{
		{"it holds it", []claimChange{signed}, on(ours), Has},
		{"it holds it, which failed", []claimChange{signed, failedOn("machines/m")}, on(ours), Has},
		{"it holds it, and is deleted", []claimChange{signed, deleted(0)}, on(ours), Has},
		{"it was admitted to it", []claimChange{admitted}, on(), Has},
		{"it was admitted to it, and is deleted", []claimChange{admitted, deleted(0)}, on(), Has},
		{"it was admitted to it, which has changed", []claimChange{admitted}, on(revised("8")), Wants},
		{"it was admitted to it, which has changed, and is deleted", []claimChange{admitted, deleted(0)}, on(revised("8")), Nothing},
		{"it wants it", []claimChange{signed}, on(), Wants},
		{"it wanted it, and is deleted", []claimChange{signed, deleted(0)}, on(), Nothing},
		{"it gave it back", []claimChange{signed, failedOn("machines/m")}, on(), Nothing},
		{"somebody else has it", []claimChange{signed}, on(heldBy("other")), Nothing},
		{"nobody can claim it", []claimChange{signed}, on(paused), Nothing},
		{"it is gone", []claimChange{signed}, nil, Nothing},
		{"it was admitted to another", []claimChange{admitted, func(c *teapotv1.MachineClaim) { c.Annotations[teapotv1.HostAnnotation] = "machines/n" }}, on(), Wants},
	} {
		l := life{claim: test.claim, host: test.host}.observed()
		var h *host.Host
		if l.Host != nil {
			read := host.Of(l.Host)
			h = &read
		}
		if got := StandingOf(l.Claim, h, us); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestBefore(t *testing.T) {
	claim := func(name string, age time.Duration) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-age))}
	}
	if !Before(claim("b", time.Minute), claim("a", 0)) || Before(claim("a", 0), claim("b", time.Minute)) {
		t.Error("the younger comes first")
	}
	if !Before(claim("a", 0), claim("b", 0)) || Before(claim("b", 0), claim("a", 0)) || Before(claim("a", 0), claim("a", 0)) {
		t.Error("of the same age they are not in the order of their names")
	}
}

func TestAdmits(t *testing.T) {
	hosts := []*host.Object{
		machine("m", at("1", "1")), machine("x", at("1", "1")), machine("y", at("1", "2")), machine("z", at("2", "1")),
	}
	for _, test := range []struct {
		name               string
		asks               func(*teapotv1.MachineClaim)
		siblings, yielding []string
		want               Verdict
	}{
		{"alone", spreading(1, 1), nil, nil, Room},
		{"with siblings elsewhere", spreading(1, 0), []string{"z"}, nil, Room},
		{"with one in its rack", spreading(1, 0), []string{"y"}, nil, Full},
		{"with one in its room", spreading(0, 1), []string{"z"}, nil, Full},
		{"with one in its rack, where two may be", spreading(2, 0), []string{"y"}, nil, Room},
		{"with one that gives way", spreading(1, 0), nil, []string{"y"}, Contested},
		{"with one that gives way, where another is too many", spreading(1, 0), []string{"x"}, []string{"y"}, Full},
		{"with one that gives way, where two may be", spreading(2, 0), []string{"x"}, []string{"y"}, Contested},
		{"with one that wants the same host", spreading(1, 0), []string{"m"}, nil, Room},
		{"with one that gives way and wants the same host", spreading(1, 0), nil, []string{"m"}, Room},
		{"without limits", spreading(0, 0), []string{"x", "y", "z"}, nil, Room},
	} {
		r, p := request(t, test.asks), pool(hosts...)
		p.Siblings = siblings(test.siblings...)
		for name := range named(test.yielding) {
			p.Siblings.Add(name, true)
		}
		if got := r.Admits(&p.Hosts[0], p); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// choiceSeed is the seed of TestTheChoiceIsTheBest; default: another each time, which is printed.
const choiceSeed = "TEAPOT_CHOICE_SEED"

// TestTheChoiceIsTheBest compares choices among random hosts with what a slow and simple look at all
// of them finds.
func TestTheChoiceIsTheBest(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(choiceSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay with %s=%d", choiceSeed, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	none, full := 0, 0
	for range 2000 {
		perRack, perRoom := int32(random.IntN(3)), int32(random.IntN(4))
		var objects []*host.Object
		var held []string
		for i := range random.IntN(12) {
			name := fmt.Sprintf("m-%d", i)
			o := machine(name, at([]string{"", "1", "2", "3"}[random.IntN(4)], []string{"1", "2"}[random.IntN(2)]), cpus(8+8*random.IntN(2)))
			if random.IntN(3) == 0 {
				heldBy("other")(o)
				if random.IntN(3) > 0 {
					held = append(held, name)
				}
			}
			objects = append(objects, o)
		}
		r, p := request(t, spreading(perRack, perRoom)), pool(objects...)
		p.Siblings = siblings(held...)
		choice := r.Choose(p)
		others := func(h *host.Host, key string) (n int) {
			for _, o := range objects {
				if p.Siblings.Hosts.Has(types.NamespacedName{Namespace: o.Namespace, Name: o.Name}) && o.Labels[key] == h.Labels[key] {
					n++
				}
			}
			return n
		}
		allowed := func(h *host.Host) bool {
			return h.Holder == nil &&
				(perRack == 0 || h.Labels["rack"] != "" && others(h, "rack") < int(perRack)) &&
				(perRoom == 0 || h.Labels["room"] != "" && others(h, "room") < int(perRoom))
		}
		rank := func(h *host.Host) string {
			return fmt.Sprintf("%010.2f %04d %04d %s", Cost(h), others(h, "rack"), others(h, "room"), h.Key)
		}
		best := ""
		for i := range p.Hosts {
			if h := &p.Hosts[i]; allowed(h) && (best == "" || rank(h) < best) {
				best = rank(h)
			}
		}
		got := ""
		if choice.Host != nil {
			got = rank(choice.Host)
		} else {
			none++
		}
		full += choice.Refused[FullDomain]
		if got != best {
			t.Fatalf("of %d hosts, %d a rack and %d a room, with siblings on %v: got %q, want %q", len(objects), perRack, perRoom, held, got, best)
		}
	}
	if none == 0 || full == 0 {
		t.Errorf("no host was found %d times, and %d were in full domains, which shows nothing", none, full)
	}
}
