package pool

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Observed is a pool and what became of it.
type Observed struct {
	// Pool has the status that is to be brought up to date.
	Pool *teapotv1.WorkerPool
	// MachineDeployment is nil while there is none.
	MachineDeployment *clusterv1.MachineDeployment
	// Machines are the pool's.
	Machines []clusterv1.Machine
	// Hibernation is what is to become of the machines of a control plane that sleeps; empty: it is awake.
	Hibernation teapotv1.HibernatedWorkers
	// Failure is why the spec is not applied: a *Refusal, or what went wrong.
	Failure error
	Now     time.Time
}

// Summarize writes what was observed into the pool's status, and returns after how long it is to be
// looked at again though nothing changes; 0: not before.
func (o Observed) Summarize() time.Duration {
	o.Count()
	o.setPaused("")
	refusal := &Refusal{}
	switch {
	case errors.As(o.Failure, &refusal):
		o.set(teapotv1.AppliedCondition, metav1.ConditionFalse, refusal.Reason, refusal.Message)
	case o.Failure != nil:
		o.set(teapotv1.AppliedCondition, metav1.ConditionFalse, teapotv1.ReasonReconcileFailed, o.Failure.Error())
	default:
		o.set(teapotv1.AppliedCondition, metav1.ConditionTrue, teapotv1.ReasonApplied, fmt.Sprintf("MachineDeployment %s is as the spec has it", o.Pool.Name))
	}
	if o.Failure == nil || errors.As(o.Failure, &refusal) {
		o.Pool.Status.ObservedGeneration = o.Pool.Generation
	}
	status, reason, message := o.ready()
	o.set(teapotv1.ReadyCondition, status, reason, message)
	return o.summarizeStalled()
}

// SummarizePaused writes that nothing is changed, and why. What else the status says is of before.
func (o Observed) SummarizePaused(why string) {
	o.Count()
	o.setPaused(why)
}

// Count writes the numbers of machines.
func (o Observed) Count() {
	status := &o.Pool.Status
	status.Selector = labels.Set{teapotv1.PoolLabel: o.Pool.Name}.String()
	md := &clusterv1.MachineDeployment{Status: clusterv1.MachineDeploymentStatus{Replicas: ptr.To(int32(len(o.Machines)))}}
	if o.MachineDeployment != nil {
		md = o.MachineDeployment
	}
	status.DesiredReplicas = o.Pool.Spec.Replicas
	if bounds := o.Pool.Spec.Autoscaling; bounds != nil {
		switch noted := withinBounds(AwakeReplicas(o.Pool), bounds); {
		case noted != nil:
			status.DesiredReplicas = noted
		case Released(o.Pool, o.Hibernation):
			status.DesiredReplicas = &bounds.MinReplicas
		default:
			status.DesiredReplicas = md.Spec.Replicas
		}
	}
	status.Replicas = ptr.To(ptr.Deref(md.Status.Replicas, 0))
	status.ReadyReplicas = ptr.To(ptr.Deref(md.Status.ReadyReplicas, 0))
	status.AvailableReplicas = ptr.To(ptr.Deref(md.Status.AvailableReplicas, 0))
	status.UpToDateReplicas = ptr.To(ptr.Deref(md.Status.UpToDateReplicas, 0))
}

// ready is the condition Ready: True only if as many machines as are wanted exist, and all of them
// are available and up to date, as Cluster API says of the newest spec.
func (o Observed) ready() (metav1.ConditionStatus, string, string) {
	if o.Failure != nil {
		applied := meta.FindStatusCondition(o.Pool.Status.Conditions, teapotv1.AppliedCondition)
		return metav1.ConditionFalse, applied.Reason, applied.Message
	}
	if o.Hibernation != "" {
		reason, message := o.asleep()
		return metav1.ConditionFalse, reason, message
	}
	md := o.MachineDeployment
	switch {
	case !md.DeletionTimestamp.IsZero():
		return metav1.ConditionFalse, teapotv1.ReasonScaling, fmt.Sprintf("MachineDeployment %s was deleted by somebody; it is made anew when its machines are gone%s",
			md.Name, list(which(o.Machines, machine.deleting)))
	case md.Status.ObservedGeneration < md.Generation || md.Spec.Replicas == nil:
		return metav1.ConditionFalse, teapotv1.ReasonScaling, fmt.Sprintf("waiting for Cluster API to look at MachineDeployment %s", md.Name)
	}
	desired, exist := replicas(md.Spec.Replicas), replicas(md.Status.Replicas)
	upToDate, available := replicas(md.Status.UpToDateReplicas), replicas(md.Status.AvailableReplicas)
	notReady := list(which(o.Machines, func(m machine) bool { return !m.ready() }))
	// Of new machines Cluster API does not say at once that they are up to date.
	rolling := meta.IsStatusConditionTrue(md.Status.Conditions, clusterv1.MachineDeploymentRollingOutCondition)
	switch {
	case rolling && o.Pool.Spec.Strategy.Type == teapotv1.OnDelete:
		return metav1.ConditionFalse, teapotv1.ReasonRolling, fmt.Sprintf("%d of %s up to date; the others are replaced when somebody deletes them, as spec.strategy.type OnDelete has it%s",
			upToDate, are(exist), notReady)
	case rolling:
		return metav1.ConditionFalse, teapotv1.ReasonRolling, fmt.Sprintf("%d of %s up to date%s", upToDate, are(exist), notReady)
	case exist != desired:
		return metav1.ConditionFalse, teapotv1.ReasonScaling, fmt.Sprintf("%s of %d%s", count(exist, "machine"), desired, notReady)
	case available < desired:
		return metav1.ConditionFalse, teapotv1.ReasonMachinesNotReady, fmt.Sprintf("%d of %s available%s", available, are(desired), notReady)
	case upToDate < desired:
		return metav1.ConditionFalse, teapotv1.ReasonScaling, fmt.Sprintf("Cluster API has said of %d of %s up to date", upToDate, that(desired))
	case desired == 0:
		return metav1.ConditionTrue, teapotv1.ReasonReady, "no machine is wanted, and there is none"
	}
	return metav1.ConditionTrue, teapotv1.ReasonReady, fmt.Sprintf("%s available and up to date", are(desired))
}

func that(n int) string {
	if n == 1 {
		return "1 machine that it is"
	}
	return fmt.Sprintf("%d machines that they are", n)
}

func are(n int) string {
	if n == 1 {
		return "1 machine is"
	}
	return fmt.Sprintf("%d machines are", n)
}

// summarizeStalled says whether a person must act: at once where waiting does not help, and after a
// deadline where it should have. It returns after how long the next deadline is.
func (o Observed) summarizeStalled() time.Duration {
	reason, message, due := o.stalled()
	if message == "" {
		o.set(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, "")
	} else {
		o.set(teapotv1.StalledCondition, metav1.ConditionTrue, reason, message)
	}
	if due.IsZero() {
		return 0
	}
	return max(due.Sub(o.Now), time.Second)
}

func (o Observed) stalled() (reason, message string, due time.Time) {
	if o.Failure != nil {
		refusal := &Refusal{}
		if errors.As(o.Failure, &refusal) && refusal.Stalled {
			return refusal.Reason, refusal.Message, time.Time{}
		}
		applied := meta.FindStatusCondition(o.Pool.Status.Conditions, teapotv1.AppliedCondition)
		if due = applied.LastTransitionTime.Add(patience); due.After(o.Now) {
			return "", "", due
		}
		return applied.Reason, fmt.Sprintf("the spec is not applied since %s: %s", applied.LastTransitionTime.UTC().Format(time.RFC3339), applied.Message), time.Time{}
	}
	if o.Hibernation != "" {
		return o.late(machine.deleting)
	}
	if md := o.MachineDeployment; md.Status.ObservedGeneration == 0 {
		if due = md.CreationTimestamp.Add(patience); due.After(o.Now) {
			return "", "", due
		}
		return teapotv1.ReasonScaling, fmt.Sprintf("Cluster API has not looked at MachineDeployment %s since it was made: do its controllers run?", md.Name), time.Time{}
	} else if up := meta.FindStatusCondition(md.Status.Conditions, clusterv1.MachineDeploymentScalingUpCondition); up != nil && up.Status == metav1.ConditionTrue {
		if due = up.LastTransitionTime.Add(patience); !due.After(o.Now) {
			return teapotv1.ReasonScaling, say("Cluster API makes no machines", up), time.Time{}
		}
	}
	return o.late(func(machine) bool { return true })
}

// late says which of the machines that are meant take too long, and when the next one will.
func (o Observed) late(meant func(machine) bool) (reason, message string, due time.Time) {
	late := which(o.Machines, func(m machine) bool {
		if m.ready() || !meant(m) {
			return false
		}
		deadline := m.deadline(o.Pool.Spec)
		if deadline.After(o.Now) && (due.IsZero() || deadline.Before(due)) {
			due = deadline
		}
		return !deadline.After(o.Now)
	})
	if len(late) > 0 {
		return teapotv1.ReasonMachinesNotReady, fmt.Sprintf("%s longer than expected%s", takes(len(late)), list(late)), due
	}
	return "", "", due
}

func takes(n int) string {
	if n == 1 {
		return "1 machine takes"
	}
	return fmt.Sprintf("%d machines take", n)
}

// SummarizeDeletion writes what the deletion of the pool waits for, and returns after how long it
// turns into a problem; 0: it is one.
func (o Observed) SummarizeDeletion() time.Duration {
	o.Count()
	o.setPaused("")
	left := which(o.Machines, func(machine) bool { return true })
	message := "waiting for " + count(len(left), "machine") + " to be given back" + list(left)
	switch {
	case o.Failure != nil:
		message = o.Failure.Error()
	case len(left) == 0:
		message = fmt.Sprintf("waiting for MachineDeployment %s to be gone; metadata.finalizers says who holds it", o.Pool.Name)
	}
	deadline := o.Pool.DeletionTimestamp.Add(deletionTime(o.Pool.Spec))
	if deadline.After(o.Now) {
		o.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, message)
		o.set(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, "")
		return deadline.Sub(o.Now)
	}
	message = fmt.Sprintf("not done %s after the pool was deleted, which is as long as spec.deletion allows: %s", deletionTime(o.Pool.Spec), message)
	o.set(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeletionBlocked, message)
	o.set(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonDeletionBlocked, message)
	return 0
}

// setPaused writes the condition Paused: why one of the API's reasons, or "".
func (o Observed) setPaused(why string) {
	switch why {
	case teapotv1.ReasonPaused:
		o.set(teapotv1.PausedCondition, metav1.ConditionTrue, why, "spec.paused is true: nothing is changed, and what runs goes on running")
	case teapotv1.ReasonClusterPaused:
		o.set(teapotv1.PausedCondition, metav1.ConditionTrue, why, fmt.Sprintf("the Cluster has spec.paused, or this object the annotation %s: nothing is changed, and what runs goes on running", clusterv1.PausedAnnotation))
	default:
		o.set(teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused, "")
	}
}

func (o Observed) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&o.Pool.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: o.Pool.Generation, LastTransitionTime: metav1.NewTime(o.Now),
	})
}
