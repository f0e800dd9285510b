package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/printers"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// machineWatch shows machines and then each one that changed. Machines, the hosts that they are on and
// their Clusters are watched apart.
type machineWatch struct {
	*getMachinesOptions
	// columns keeps the widths of the columns from one line to the next.
	columns interface {
		io.Writer
		Flush() error
	}

	mu sync.Mutex
	// machines, hosts and clusters are nil until they were listed.
	machines, hosts, clusters found
	titled                    bool
	// rows are what was last shown of each machine, without its age, and versions what was last
	// printed of it.
	rows     map[types.NamespacedName]machineRow
	versions map[types.NamespacedName]string
}

// follow shows machines until ctx ends.
func (o *getMachinesOptions) follow(ctx context.Context, c client.WithWatch) error {
	w := &machineWatch{
		getMachinesOptions: o, columns: printers.GetNewTabWriter(o.Out),
		rows: map[types.NamespacedName]machineRow{}, versions: map[types.NamespacedName]string{},
	}
	in := client.InNamespace(o.namespaceName)
	group, each := errgroup.WithContext(ctx)
	group.Go(func() error {
		list := func() client.ObjectList { return &clusterv1.MachineList{} }
		return follow(each, c, list, []client.ListOption{in, client.MatchingLabelsSelector{Selector: o.labels}}, func(machines found) (bool, error) {
			return false, w.update(&w.machines, machines)
		})
	})
	// Which hosts they are is not everybody's to know, nor the Clusters: without them the rest is shown.
	alsoFollow := func(newList func() client.ObjectList, into *found) {
		group.Go(func() error {
			err := follow(each, c, newList, []client.ListOption{in}, func(objects found) (bool, error) {
				return false, w.update(into, objects)
			})
			if each.Err() != nil {
				return err
			}
			return w.update(into, found{})
		})
	}
	alsoFollow(func() client.ObjectList { return &teapotv1.HostMachineList{} }, &w.hosts)
	alsoFollow(func() client.ObjectList { return &clusterv1.ClusterList{} }, &w.clusters)
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// update takes note of what there is now, and shows what is new.
func (w *machineWatch) update(into *found, now found) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	*into = maps.Clone(now)
	switch {
	case w.machines == nil || w.hosts == nil || w.clusters == nil:
		return nil
	case w.printer != nil:
		return w.print()
	default:
		return w.tabulate()
	}
}

// print writes the machines that changed as they are stored.
func (w *machineWatch) print() error {
	for _, key := range sortedNames(w.machines) {
		object := w.machines[key]
		if !w.asked(key.Name) || w.versions[key] == object.GetResourceVersion() {
			continue
		}
		w.versions[key] = object.GetResourceVersion()
		object.GetObjectKind().SetGroupVersionKind(machineKind)
		if err := w.printer.PrintObj(object, w.Out); err != nil {
			return err
		}
	}
	return nil
}

// tabulate writes a line for each machine that changed, or is gone.
func (w *machineWatch) tabulate() error {
	var changed []machineRow
	for _, key := range sortedNames(w.rows) {
		if w.machines[key] == nil {
			gone := w.rows[key]
			gone.phase, gone.because, gone.age = string(clusterv1.MachinePhaseDeleted), "", "-"
			changed = append(changed, gone)
			delete(w.rows, key)
		}
	}
	for _, key := range sortedNames(w.machines) {
		machine, ok := w.machines[key].(*clusterv1.Machine)
		if !ok || !w.asked(key.Name) {
			continue
		}
		of, _ := w.hosts[hostMachineOf(machine)].(*teapotv1.HostMachine)
		cluster, _ := w.clusters[clusterOf(machine)].(*clusterv1.Cluster)
		row := newMachineRow(machine, of, cluster, w.clock.Now())
		ageless := row
		ageless.age = ""
		if w.rows[key] != ageless {
			w.rows[key] = ageless
			changed = append(changed, row)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	table := w.table()
	var lines [][]string
	if !w.titled {
		w.titled = true
		lines = append(lines, table.header())
	}
	for _, row := range changed {
		lines = append(lines, table.cells(row))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w.columns, printers.EscapeTerminal(strings.Join(line, "\t"))); err != nil {
			return err
		}
	}
	return w.columns.Flush()
}

// sortedNames are the names of what a map has, in their order.
func sortedNames[V any](m map[types.NamespacedName]V) []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(m), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
}
