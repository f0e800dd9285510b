package claim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

// machine is a host that is free: 16 CPUs, 64 GiB, one SSD of 480 GB, one NIC of 10 Gbit/s.
func machine(name string, changes ...func(*host.Object)) *host.Object {
	o := &host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: "machines", Name: name, Labels: map[string]string{}, Annotations: map[string]string{}}}
	o.Status.OperationalStatus = metal3v1.OperationalStatusOK
	o.Status.Provisioning.State = metal3v1.StateAvailable
	o.Status.HardwareDetails = &metal3v1.HardwareDetails{
		RAMMebibytes: 64 << 10,
		CPU:          metal3v1.CPU{Arch: "x86_64", Count: 16},
		NIC:          []metal3v1.NIC{{Name: "eth0", MAC: "52:54:00:00:00:00", SpeedGbps: 10}},
		Storage:      []metal3v1.Storage{{SizeBytes: 480 * metal3v1.GigaByte, Type: metal3v1.SSD}},
	}
	for _, change := range changes {
		change(o)
	}
	return o
}

func labelled(pairs ...string) func(*host.Object) {
	return func(o *host.Object) {
		for i := 0; i < len(pairs); i += 2 {
			o.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func domain(name string) func(*host.Object) { return labelled(teapotv1.FailureDomainLabel, name) }

func gpus(count, model string) func(*host.Object) {
	return labelled(teapotv1.GPUCountLabel, count, teapotv1.GPUModelLabel, model)
}

func costing(cost string) func(*host.Object) {
	return func(o *host.Object) { o.Annotations[teapotv1.CostAnnotation] = cost }
}

func memory(gib int) func(*host.Object) {
	return func(o *host.Object) { o.Status.HardwareDetails.RAMMebibytes = gib << 10 }
}

func cpus(count int) func(*host.Object) {
	return func(o *host.Object) { o.Status.HardwareDetails.CPU.Count = count }
}

func heldBy(name string) func(*host.Object) {
	return func(o *host.Object) {
		holder := host.Holder{UID: "uid of another"}
		holder.Namespace, holder.Name = "acme", name
		host.Take(o, holder, "")
	}
}

func request(t testing.TB, change func(*teapotv1.MachineClaim)) Request {
	t.Helper()
	claim := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "worker-0", Annotations: map[string]string{}}}
	if change != nil {
		change(claim)
	}
	r, err := NewRequest(claim, "namespace-0")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pool(objects ...*host.Object) Pool {
	p := Pool{Namespaces: sets.New("acme", "machines")}
	for _, o := range objects {
		p.Hosts = append(p.Hosts, host.Of(o))
	}
	return p
}

func asks(change func(*teapotv1.HardwareRequirements)) func(*teapotv1.MachineClaim) {
	return func(c *teapotv1.MachineClaim) { change(&c.Spec.Hardware) }
}

func TestRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		asks func(*teapotv1.MachineClaim)
		host *host.Object
		want host.Refusal
	}{
		{"a claim that asks for nothing takes any host", nil, machine("m"), host.Claimable},
		{"even one that was not inspected", nil, machine("m", func(o *host.Object) { o.Status.HardwareDetails = nil }), host.Claimable},
		{"one that asks for hardware does not", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.MinCount = 1 }), machine("m", func(o *host.Object) { o.Status.HardwareDetails = nil }), Unknown},
		{"enough CPUs", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.MinCount = 16 }), machine("m"), host.Claimable},
		{"too few CPUs", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.MinCount = 17 }), machine("m"), FewCPUs},
		{"another architecture", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.Architecture = "aarch64" }), machine("m"), OtherCPU},
		{"enough memory", asks(func(h *teapotv1.HardwareRequirements) { h.Memory = ptr.To(resource.MustParse("64Gi")) }), machine("m"), host.Claimable},
		{"too little memory", asks(func(h *teapotv1.HardwareRequirements) { h.Memory = ptr.To(resource.MustParse("65Gi")) }), machine("m"), LittleMemory},
		{"a disk of the size", asks(func(h *teapotv1.HardwareRequirements) { h.Disks.MinSize = ptr.To(resource.MustParse("480G")) }), machine("m"), host.Claimable},
		{"no disk of the size", asks(func(h *teapotv1.HardwareRequirements) { h.Disks.MinSize = ptr.To(resource.MustParse("480Gi")) }), machine("m"), FewDisks},
		{"no disk of the type", asks(func(h *teapotv1.HardwareRequirements) { h.Disks.Type = "NVME" }), machine("m"), FewDisks},
		{"too few disks", asks(func(h *teapotv1.HardwareRequirements) { h.Disks.MinCount = 2 }), machine("m"), FewDisks},
		{"a fast interface", asks(func(h *teapotv1.HardwareRequirements) { h.NICs.MinSpeedGbps = 10 }), machine("m"), host.Claimable},
		{"none fast enough", asks(func(h *teapotv1.HardwareRequirements) { h.NICs.MinSpeedGbps = 25 }), machine("m"), FewNICs},
		{"too few interfaces", asks(func(h *teapotv1.HardwareRequirements) { h.NICs.MinCount = 2 }), machine("m"), FewNICs},
		{"GPUs of the model", asks(func(h *teapotv1.HardwareRequirements) { h.GPUs.Model, h.GPUs.MinCount = "H100", 4 }), machine("m", gpus("4", "H100")), host.Claimable},
		{"a model alone asks for one", asks(func(h *teapotv1.HardwareRequirements) { h.GPUs.Model = "H100" }), machine("m", gpus("0", "H100")), FewGPUs},
		{"too few GPUs", asks(func(h *teapotv1.HardwareRequirements) { h.GPUs.MinCount = 5 }), machine("m", gpus("4", "H100")), FewGPUs},
		{"GPUs of another model", asks(func(h *teapotv1.HardwareRequirements) { h.GPUs.Model = "H200" }), machine("m", gpus("4", "H100")), FewGPUs},
		{"a number of GPUs that is none", asks(func(h *teapotv1.HardwareRequirements) { h.GPUs.MinCount = 1 }), machine("m", gpus("four", "H100")), FewGPUs},
		{"the labels asked for", func(c *teapotv1.MachineClaim) {
			c.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{"rack": "a"}
		}, machine("m", labelled("rack", "a")), host.Claimable},
		{"other labels", func(c *teapotv1.MachineClaim) {
			c.Spec.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{"rack": "a"}
		}, machine("m", labelled("rack", "b")), OtherLabels},
		{"a rule that is kept", func(c *teapotv1.MachineClaim) {
			c.Spec.HostSelector.MatchExpressions = []teapotv1.HostSelectorRequirement{{Key: "rack", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"b"}}}
		}, machine("m"), host.Claimable},
		{"a rule that is broken", func(c *teapotv1.MachineClaim) {
			c.Spec.HostSelector.MatchExpressions = []teapotv1.HostSelectorRequirement{{Key: "rack", Operator: metav1.LabelSelectorOpDoesNotExist}}
		}, machine("m", labelled("rack", "b")), OtherLabels},
		{"its failure domain", func(c *teapotv1.MachineClaim) { c.Spec.FailureDomain = "room-1" }, machine("m", domain("room-1")), host.Claimable},
		{"another failure domain", func(c *teapotv1.MachineClaim) { c.Spec.FailureDomain = "room-1" }, machine("m", domain("room-2")), OtherDomain},
		{"no failure domain", func(c *teapotv1.MachineClaim) { c.Spec.FailureDomain = "room-1" }, machine("m"), OtherDomain},
		{"a host that failed before", func(c *teapotv1.MachineClaim) {
			c.Annotations[teapotv1.FailedHostsAnnotation] = "machines/a,machines/m"
		}, machine("m"), FailedBefore},
		{"one that does not suffice is not counted as taken", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.MinCount = 17 }), machine("m", heldBy("other")), FewCPUs},
		{"one that would do is", asks(func(h *teapotv1.HardwareRequirements) { h.CPU.MinCount = 16 }), machine("m", heldBy("other")), host.Taken},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, h := request(t, test.asks), host.Of(test.host)
			if got := r.Refuses(&h); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("a rule that the API's validation lets nobody write", func(t *testing.T) {
		claim := &teapotv1.MachineClaim{}
		claim.Spec.HostSelector.MatchExpressions = []teapotv1.HostSelectorRequirement{{Key: "rack", Operator: "Near"}}
		if _, err := NewRequest(claim, "namespace-0"); err == nil {
			t.Error("no error")
		}
	})
}

func TestChoose(t *testing.T) {
	before := func(name string) func(*teapotv1.MachineClaim) {
		return func(c *teapotv1.MachineClaim) { c.Annotations[teapotv1.HostAnnotation] = "machines/" + name }
	}
	for _, test := range []struct {
		name     string
		asks     func(*teapotv1.MachineClaim)
		hosts    []*host.Object
		siblings []string
		reserved []string
		want     string
		says     string
	}{
		{name: "the first by name of equal hosts", hosts: []*host.Object{machine("b"), machine("a"), machine("c")}, want: "a"},
		{name: "the cheapest", hosts: []*host.Object{machine("a", cpus(32)), machine("b"), machine("c", memory(128))}, want: "b"},
		{name: "the cheapest that suffices", asks: asks(func(h *teapotv1.HardwareRequirements) { h.Memory = ptr.To(resource.MustParse("96Gi")) }),
			hosts: []*host.Object{machine("a"), machine("b", memory(256)), machine("c", memory(128))}, want: "c"},
		{name: "GPUs go last to one that does not ask for them", hosts: []*host.Object{machine("a", gpus("1", "T4")), machine("b", cpus(512), memory(2048))}, want: "b"},
		{name: "the operator's own cost counts", hosts: []*host.Object{machine("a"), machine("b", cpus(64), costing("1"))}, want: "b"},
		{name: "a cost that is not a number does not", hosts: []*host.Object{machine("a"), machine("b", cpus(64), costing("cheap"))}, want: "a"},
		{name: "the host that it had before comes first", asks: before("c"), hosts: []*host.Object{machine("a"), machine("b"), machine("c", cpus(64))}, want: "c"},
		{name: "unless it does not suffice", asks: func(c *teapotv1.MachineClaim) { before("c")(c); c.Spec.Hardware.CPU.MinCount = 16 },
			hosts: []*host.Object{machine("a"), machine("c", cpus(8))}, want: "a"},
		{name: "unless it is taken", asks: before("c"), hosts: []*host.Object{machine("a"), machine("c", heldBy("other"))}, want: "a"},
		{name: "spread: the failure domain with the fewest siblings", siblings: []string{"x"},
			hosts: []*host.Object{machine("a", domain("room-1")), machine("b", domain("room-2")), machine("x", domain("room-1"), heldBy("sibling"))}, want: "b"},
		{name: "others' machines do not count for that",
			hosts: []*host.Object{machine("a", domain("room-1")), machine("b", domain("room-2")), machine("x", domain("room-1"), heldBy("stranger"))}, want: "a"},
		{name: "cost comes before spread", siblings: []string{"x"},
			hosts: []*host.Object{machine("a", domain("room-1")), machine("b", domain("room-2"), cpus(64)), machine("x", domain("room-1"), heldBy("sibling"))}, want: "a"},
		{name: "hosts of one class are spread though their disks differ a little", siblings: []string{"x"},
			hosts: []*host.Object{machine("a", domain("room-1")), machine("x", domain("room-1"), heldBy("sibling")),
				machine("b", domain("room-2"), func(o *host.Object) { o.Status.HardwareDetails.Storage[0].SizeBytes += 1e8 })}, want: "b"},
		{name: "a host that another claim has chosen is left to it", reserved: []string{"a"}, hosts: []*host.Object{machine("a"), machine("b")}, want: "b"},
		{name: "none: why", asks: asks(func(h *teapotv1.HardwareRequirements) { h.Memory = ptr.To(resource.MustParse("64Gi")) }),
			hosts: slices.Concat(
				several(7, heldBy("other")), several(3, memory(32)),
				several(2, func(o *host.Object) { o.Annotations[teapotv1.UncleanedForAnnotation] = "globex" })),
			says: "12 hosts: 7 taken, 3 too little memory, 2 not clean"},
		{name: "none: one host", hosts: []*host.Object{machine("a", heldBy("other"))}, says: "1 host: 1 taken"},
		{name: "none: it is being taken", reserved: []string{"a"}, hosts: []*host.Object{machine("a")}, says: "1 host: 1 being taken"},
		{name: "hosts of namespaces that no policy opens are not counted", hosts: []*host.Object{machine("a", func(o *host.Object) { o.Namespace = "secret" })},
			says: "no hosts: there are none in this namespace, and no HostDeployPolicy lets it claim those of another"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, p := request(t, test.asks), pool(test.hosts...)
			p.Siblings, p.Reserved = siblings(test.siblings...), named(test.reserved)
			for range 5 { // in whatever order the hosts come
				choice := r.Choose(p)
				switch {
				case choice.Host == nil:
					if got := choice.String(); test.want != "" || got != test.says {
						t.Fatalf("none, since %q; want %q %q", got, test.want, test.says)
					}
				case choice.Host.Key.Name != test.want:
					t.Fatalf("got %s, want %q %q", choice.Host.Key, test.want, test.says)
				}
				rand.Shuffle(len(p.Hosts), func(i, j int) { p.Hosts[i], p.Hosts[j] = p.Hosts[j], p.Hosts[i] })
			}
		})
	}
}

// siblings are hosts that siblings hold, by name.
func siblings(names ...string) (all Siblings) {
	for name := range named(names) {
		all.Add(name, false)
	}
	return all
}

// named are hosts by name.
func named(names []string) sets.Set[types.NamespacedName] {
	set := sets.New[types.NamespacedName]()
	for _, name := range names {
		set.Insert(types.NamespacedName{Namespace: "machines", Name: name})
	}
	return set
}

var made int

// several are some equal hosts.
func several(n int, change func(*host.Object)) []*host.Object {
	var all []*host.Object
	for range n {
		made++
		all = append(all, machine(fmt.Sprintf("m-%d", made), change))
	}
	return all
}

// BenchmarkSelect10000 chooses among 10,000 hosts of which a third suffice and are free.
// Copying what the watch of hosts knows is part of it, as in a reconcile.
func BenchmarkSelect10000(b *testing.B) {
	var all []host.Host
	for i := range 10_000 {
		changes := []func(*host.Object){domain(fmt.Sprintf("room-%d", i%7)), labelled("rack", fmt.Sprint(i%40), "class", fmt.Sprint(i%3)), cpus(8 + 8*(i%5))}
		if i%3 == 0 {
			changes = append(changes, heldBy("other"))
		}
		all = append(all, host.Of(machine(fmt.Sprintf("machine-%d", i), changes...)))
	}
	asked := teapotv1.MachineClaimSpec{}
	asked.HostSelector.MatchLabels = map[string]teapotv1.LabelValue{"class": "1"}
	asked.Hardware.CPU.MinCount = 16
	asked.Hardware.Memory = ptr.To(resource.MustParse("32Gi"))
	asked.Hardware.Disks.MinSize = ptr.To(resource.MustParse("400G"))
	asked.Hardware.NICs.MinSpeedGbps = 10
	namespaces, siblings := sets.New("acme", "machines"), Siblings{}
	for i := range 100 {
		siblings.Add(types.NamespacedName{Namespace: "machines", Name: fmt.Sprintf("machine-%d", 3*i)}, false)
	}
	for name, spread := range map[string][]teapotv1.HostSpread{
		"by default": nil,
		"apart":      {{TopologyKey: "rack", MaxPerDomain: 10}, {TopologyKey: teapotv1.FailureDomainLabel}},
	} {
		r := request(b, func(c *teapotv1.MachineClaim) { c.Spec = *asked.DeepCopy(); c.Spec.Spread = spread })
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if choice := r.Choose(Pool{Hosts: slices.Clone(all), Namespaces: namespaces, Siblings: siblings}); choice.Host == nil {
					b.Fatal(choice.String())
				}
			}
		})
	}
}
