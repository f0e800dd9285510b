package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// hostRows shows hosts.
func hostRows(hosts []host.Host, wide bool) [][]string {
	header := []string{"NAMESPACE", "NAME", "STATE", "HELD BY", "HARDWARE", "FAILURE DOMAIN", "CLAIMABLE"}
	if wide {
		header = append(header, "COST", "POWER", "ERROR")
	}
	rows := [][]string{header}
	for i := range hosts {
		h := &hosts[i]
		row := []string{h.Key.Namespace, h.Key.Name, dash(h.State), heldBy(h), hardwareClass(h.Hardware()), dash(h.FailureDomain), claimable(h)}
		if wide {
			power := "off"
			if h.PoweredOn {
				power = "on"
			}
			failure := strings.Join(strings.Fields(strings.Join([]string{h.ErrorKind, h.Error}, " ")), " ")
			row = append(row, strconv.FormatFloat(claim.Cost(h), 'f', -1, 64), power, dash(failure))
		}
		rows = append(rows, row)
	}
	return rows
}

// heldBy names who holds a host: a claim by its namespace and name, anything else with its kind.
func heldBy(h *host.Host) string {
	if h.Holder == nil {
		return "-"
	}
	if name, ok := h.ClaimOf(); ok {
		return name.String()
	}
	return fmt.Sprintf("%s %s/%s", h.Holder.Kind, h.Holder.Namespace, h.Holder.Name)
}

// free says whether a claim of some namespace could take the host.
func free(h *host.Host) bool { return h.Claimable(h.KeptFor()) == host.Claimable }

// claimable says whether a host can be claimed, by whom, or why not. A HostDeployPolicy may
// narrow it further.
func claimable(h *host.Host) string {
	switch refusal := h.Claimable(h.KeptFor()); {
	case refusal != host.Claimable:
		return "no: " + string(refusal)
	case h.UncleanedFor != "":
		return "in namespace " + h.KeptFor().Namespace + " only: not clean"
	default:
		return "yes"
	}
}

// hardwareClass is what tells hosts of one kind from those of another, in a few words.
func hardwareClass(hardware *teapotv1.HardwareSummary) string {
	if hardware == nil {
		return "not inspected"
	}
	words := []string{fmt.Sprintf("%d CPU", hardware.CPUs)}
	if hardware.Architecture != "" {
		words[0] += " " + hardware.Architecture
	}
	if hardware.Memory != nil {
		words = append(words, rounded(*hardware.Memory))
	}
	if hardware.GPUs > 0 {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%d %s", hardware.GPUs, cmp.Or(hardware.GPUModel, "GPU"))))
	}
	return strings.Join(words, ", ")
}

// rounded is an amount of memory in whole GiB, or MiB where that is nothing: firmware keeps some of
// what is built in, and not the same on each host.
func rounded(amount resource.Quantity) string {
	const mib, gib = 1 << 20, 1 << 30
	if bytes := amount.Value(); bytes < gib {
		return fmt.Sprintf("%dMi", bytes/mib)
	}
	return fmt.Sprintf("%dGi", (amount.Value()+gib/2)/gib)
}

// classRows counts hosts by class of hardware, the cheapest first and those unknown last.
func classRows(hosts []host.Host) [][]string {
	type class struct {
		name                     string
		unknown                  int // 1 for hosts that were not inspected
		cost                     float64
		free, held, other, total int
	}
	classes := map[string]*class{}
	for i := range hosts {
		h := &hosts[i]
		name := hardwareClass(h.Hardware())
		if classes[name] == nil {
			classes[name] = &class{name: name, cost: claim.Cost(h)}
			if !h.Inspected() {
				classes[name].unknown = 1
			}
		}
		c := classes[name]
		c.cost = min(c.cost, claim.Cost(h))
		c.total++
		switch {
		case free(h):
			c.free++
		case h.Holder != nil:
			c.held++
		default:
			c.other++
		}
	}
	sorted := make([]*class, 0, len(classes))
	for _, c := range classes {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b *class) int {
		return cmp.Or(cmp.Compare(a.unknown, b.unknown), cmp.Compare(a.cost, b.cost), cmp.Compare(a.name, b.name))
	})
	rows := [][]string{{"HARDWARE", "FREE", "HELD", "NOT CLAIMABLE", "TOTAL"}}
	for _, c := range sorted {
		rows = append(rows, []string{c.name, fmt.Sprint(c.free), fmt.Sprint(c.held), fmt.Sprint(c.other), fmt.Sprint(c.total)})
	}
	return rows
}

// dash is a cell of which nothing is known.
func dash(text string) string { return cmp.Or(text, "-") }
