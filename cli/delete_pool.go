package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// shownLosses is how many machines are named before a pool is deleted.
const shownLosses = 20

func newDeletePoolCommand(e *environment) *cobra.Command {
	o := &deleteOptions{environment: e, subject: workerPools, losses: func(ctx context.Context, c client.Client, pool client.Object) string {
		// Without the right to list machines their number is still known.
		machines, _ := machinesOfPool(ctx, c, pool)
		return poolLosses(pool.(*teapotv1.WorkerPool), machines)
	}}
	cmd := &cobra.Command{
		Use:     "pool NAME... [options]",
		Aliases: poolWords,
		Short:   "Delete pools with their machines, after saying which",
		Long: e.long(`
			Delete WorkerPools with their machines. First comes a list of the machines and
			Nodes that go, and then the question whether to go on; --yes answers it, and is
			needed where nobody can be asked.

			Pods leave each machine first, for as long as the pool's time-outs allow. The hosts
			are then cleaned and free for others.`),
		Example: e.examples(`
			# Delete a pool and wait until its machines are gone
			{teapot} delete pool web

			# In a script
			{teapot} delete pool web --yes --timeout 20m`),
		RunE:              e.run(o),
		ValidArgsFunction: e.completeNamesOf(workerPools, 0),
	}
	o.addFlags(cmd, poolTimeout)
	return cmd
}

// poolLosses says what goes with a pool. machines are its own as far as they are known.
func poolLosses(pool *teapotv1.WorkerPool, machines []clusterv1.Machine) string {
	number := max(int(ptr.Deref(pool.Status.Replicas, 0)), len(machines))
	lines := []string{fmt.Sprintf("%s %s (Kubernetes %s, of control plane %s) is deleted, and with it:",
		workerPools.kind.Kind, client.ObjectKeyFromObject(pool), pool.Spec.Version, pool.Spec.ControlPlaneName)}
	switch number {
	case 0:
		lines = append(lines, "  - no machine: there is none")
	case 1:
		lines = append(lines, "  - 1 machine, its Node and all that is on its disks")
	default:
		lines = append(lines, fmt.Sprintf("  - %d machines, their Nodes and all that is on their disks", number))
	}
	for i := range machines {
		if i == shownLosses {
			lines = append(lines, fmt.Sprintf("      and %d more", len(machines)-shownLosses))
			break
		}
		text := "      " + machines[i].Name
		if node := machines[i].Status.NodeRef.Name; node != "" && node != machines[i].Name {
			text += " (Node " + node + ")"
		} else if node == "" {
			text += " (no Node yet)"
		}
		lines = append(lines, text)
	}
	if drain := pool.Spec.Deletion.NodeDrainTimeoutSeconds; number > 0 && drain > 0 {
		lines = append(lines, fmt.Sprintf("Pods have %s to leave each machine, as far as PodDisruptionBudgets let them.", plain(time.Duration(drain)*time.Second)))
	}
	if pool.Spec.Paused {
		lines = append(lines, "It is paused (spec.paused), so its deletion begins when it is resumed.")
	}
	return strings.Join(lines, "\n")
}

// plain is a duration without the zeros of its smaller units: 10m and not 10m0s.
func plain(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// machinesOfPool are the Machines of Cluster API that belong to a pool.
func machinesOfPool(ctx context.Context, c client.Client, pool client.Object) ([]clusterv1.Machine, error) {
	list := &clusterv1.MachineList{}
	err := c.List(ctx, list, client.InNamespace(pool.GetNamespace()), client.MatchingLabels{teapotv1.PoolLabel: pool.GetName()})
	return list.Items, err
}
