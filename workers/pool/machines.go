package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

const (
	// namedMachines is how many machines a message names.
	namedMachines = 5
	// maxWhy is how many characters of a machine's own words a message repeats.
	maxWhy = 200
	// patience is how long somebody may take who should answer at once.
	patience = 10 * time.Minute
)

// causes are the conditions of a Machine that say why it is not ready, the one that comes true first
// in front. Ready itself sums up these and others.
var causes = []string{
	clusterv1.MachineBootstrapConfigReadyCondition,
	clusterv1.MachineInfrastructureReadyCondition,
	clusterv1.MachineNodeReadyCondition,
	clusterv1.MachineReadyCondition,
}

// IsRead says whether a condition of a Machine is looked at.
func IsRead(kind string) bool {
	return kind == clusterv1.MachineDeletingCondition || slices.Contains(causes, kind)
}

// machine is what is read of a Machine.
type machine struct{ *clusterv1.Machine }

func (m machine) deleting() bool { return !m.DeletionTimestamp.IsZero() }

func (m machine) ready() bool {
	return !m.deleting() && meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineReadyCondition)
}

// why says in words why the machine is not ready.
func (m machine) why() string {
	if m.deleting() {
		if is := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineDeletingCondition); is != nil && is.Status == metav1.ConditionTrue {
			return say("is being deleted", is)
		}
		return "is being deleted"
	}
	for _, kind := range causes {
		if is := meta.FindStatusCondition(m.Status.Conditions, kind); is != nil && is.Status != metav1.ConditionTrue {
			return say(fmt.Sprintf("%s is %s", kind, is.Status), is)
		}
	}
	return "Cluster API has said nothing of it yet"
}

func say(what string, is *metav1.Condition) string {
	said := strings.Join(strings.Fields(is.Message), " ")
	if letters := []rune(said); len(letters) > maxWhy {
		said = string(letters[:maxWhy]) + "…"
	}
	if said != "" {
		said = ": " + said
	}
	return fmt.Sprintf("%s (%s)%s", what, is.Reason, said)
}

// deadline is until when a machine that is not ready should be, or be gone.
func (m machine) deadline(spec teapotv1.WorkerPoolSpec) time.Time {
	ready := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineReadyCondition)
	switch {
	case m.deleting():
		return m.DeletionTimestamp.Add(deletionTime(spec))
	case m.Status.NodeRef.IsDefined() && ready != nil:
		return ready.LastTransitionTime.Add(time.Duration(spec.Remediation.UnhealthyTimeoutSeconds)*time.Second + patience)
	default:
		return m.CreationTimestamp.Add(startupTime(spec))
	}
}

// deletionTime is how long a machine that goes is waited for, in all.
func deletionTime(spec teapotv1.WorkerPoolSpec) time.Duration {
	d := spec.Deletion
	return time.Duration(d.NodeDrainTimeoutSeconds+d.NodeVolumeDetachTimeoutSeconds+d.NodeDeletionTimeoutSeconds) * time.Second
}

// which are those of the machines that are meant, by name.
func which(all []clusterv1.Machine, meant func(machine) bool) []machine {
	var found []machine
	for i := range all {
		if m := (machine{&all[i]}); meant(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b machine) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// list names the first few machines and says why each is not ready. It begins with a colon, or is
// empty.
func list(machines []machine) string {
	if len(machines) == 0 {
		return ""
	}
	said := make([]string, 0, namedMachines)
	for _, m := range machines[:min(len(machines), namedMachines)] {
		said = append(said, m.Name+" "+m.why())
	}
	more := ""
	if n := len(machines) - namedMachines; n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return ": " + strings.Join(said, "; ") + more
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func replicas(n *int32) int { return int(ptr.Deref(n, 0)) }
