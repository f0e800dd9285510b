package cli

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// machineRow is what is shown of a machine.
type machineRow struct {
	namespace, name, pool, node, phase, host, version string
	age                                               string
	cluster, failureDomain                            string
	// because says why it is not ready; empty if it is.
	because string
}

// newMachineRow shows a machine; of is nil if its HostMachine is not known, and so is cluster.
func newMachineRow(machine *clusterv1.Machine, of *teapotv1.HostMachine, cluster *clusterv1.Cluster, now time.Time) machineRow {
	row := machineRow{
		namespace: machine.Namespace, name: machine.Name, pool: machine.Labels[teapotv1.PoolLabel],
		node: machine.Status.NodeRef.Name, phase: machine.Status.Phase, version: machine.Spec.Version,
		age:     duration.HumanDuration(now.Sub(machine.CreationTimestamp.Time)),
		cluster: machine.Spec.ClusterName, failureDomain: machine.Status.FailureDomain, because: whyNotReady(machine),
	}
	if mode, asleep := clusterapi.Hibernating(cluster); asleep && machine.DeletionTimestamp == nil {
		row.because = whileAsleep(machine, mode)
	}
	if of != nil {
		row.failureDomain = cmp.Or(row.failureDomain, of.Status.FailureDomain)
		if of.Status.Host != nil {
			row.host = of.Status.Host.Namespace + "/" + of.Status.Host.Name
		}
	}
	return row
}

// machineTable is how machines are shown.
type machineTable struct{ namespaces, wide bool }

func (t machineTable) header() []string {
	return t.columns("NAMESPACE", []string{"NAME", "POOL", "NODE", "PHASE", "HOST", "VERSION", "AGE"}, []string{"CLUSTER", "FAILURE DOMAIN"}, "NOT READY BECAUSE")
}

func (t machineTable) cells(r machineRow) []string {
	because := r.because
	if !t.wide {
		because = shortened(because, messageWidth)
	}
	return t.columns(r.namespace, []string{r.name, dash(r.pool), dash(r.node), dash(r.phase), dash(r.host), dash(r.version), r.age},
		[]string{dash(r.cluster), dash(r.failureDomain)}, dash(because))
}

// columns are those that were asked for.
func (t machineTable) columns(namespace string, always, wide []string, last string) []string {
	var columns []string
	if t.namespaces {
		columns = append(columns, namespace)
	}
	columns = append(columns, always...)
	if t.wide {
		columns = append(columns, wide...)
	}
	return append(columns, last)
}

// rows shows machines, with the hosts that their HostMachines name.
func (t machineTable) rows(machines []clusterv1.Machine, hostMachines []teapotv1.HostMachine, owners []clusterv1.Cluster, now time.Time) [][]string {
	clusters := map[types.NamespacedName]*clusterv1.Cluster{}
	for i := range owners {
		clusters[client.ObjectKeyFromObject(&owners[i])] = &owners[i]
	}
	hosts := map[types.NamespacedName]*teapotv1.HostMachine{}
	for i := range hostMachines {
		hosts[client.ObjectKeyFromObject(&hostMachines[i])] = &hostMachines[i]
	}
	rows := [][]string{t.header()}
	for i := range machines {
		rows = append(rows, t.cells(newMachineRow(&machines[i], hosts[hostMachineOf(&machines[i])], clusters[clusterOf(&machines[i])], now)))
	}
	return rows
}

// hostMachineOf names the HostMachine of a Machine.
func hostMachineOf(machine *clusterv1.Machine) types.NamespacedName {
	return types.NamespacedName{Namespace: machine.Namespace, Name: machine.Spec.InfrastructureRef.Name}
}

// clusterOf names the Cluster of a Machine.
func clusterOf(machine *clusterv1.Machine) types.NamespacedName {
	return types.NamespacedName{Namespace: machine.Namespace, Name: machine.Spec.ClusterName}
}

// whileAsleep says what becomes of a machine whose control plane sleeps. Its Cluster is paused then, and
// what Cluster API said of it is of before.
func whileAsleep(machine *clusterv1.Machine, mode teapotv1.HibernatedWorkers) string {
	const asleep = "its control plane sleeps: "
	switch {
	case mode == clusterapi.Waking:
		return "its control plane is back, and it boots"
	case mode == teapotv1.HibernatedWorkersRelease:
		return asleep + "it is given back"
	case !machine.Status.NodeRef.IsDefined():
		return asleep + "no host is held for a machine that has not joined"
	case mode == teapotv1.HibernatedWorkersPowerOff:
		return asleep + "it is switched off"
	default:
		return asleep + "it runs on"
	}
}

// whyNotReady is the message of a machine's Ready condition; empty if it is Ready.
func whyNotReady(machine *clusterv1.Machine) string {
	ready := meta.FindStatusCondition(machine.Status.Conditions, clusterv1.ReadyCondition)
	switch {
	case ready == nil:
		return "not looked at yet: check that Cluster API's controllers run"
	case ready.Status == metav1.ConditionTrue:
		return ""
	case ready.Message == "":
		return ready.Reason
	}
	// Cluster API lists one cause per line, each after a star.
	var causes []string
	for line := range strings.Lines(ready.Message) {
		causes = append(causes, strings.TrimPrefix(strings.Join(strings.Fields(line), " "), "* "))
	}
	return strings.Join(causes, "; ")
}

// shortened is a text of at most so many characters; the dots say that there was more.
func shortened(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return strings.TrimSpace(string(runes[:width-3])) + "..."
	}
	return text
}
