package hostmachine

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// readiness is the condition Ready of a machine with a claim.
//
// # What a MachineHealthCheck reads
//
// Cluster API mirrors Ready, with its status, reason and message, as the condition
// InfrastructureReady of the Machine (setInfrastructureReadyCondition in
// core/reconcilers/machine/machine_controller_status.go, v1.14.2). A MachineHealthCheck compares
// the type, the status and the age of a Machine's conditions with its
// spec.checks.unhealthyMachineConditions; reasons it does not compare, and failureReason, the sign
// of the contract's older version, it does not read (machineChecks in
// core/reconcilers/machinehealthcheck/machinehealthcheck_targets.go). So the status has to tell a
// machine that failed from one that takes its time:
//
//   - Unknown: on the way to its first run, however long that takes (no host is free, an image is written),
//     or being switched off or on as asked for;
//   - False: it failed, and no more hosts are tried, or it has run and does not now.
//
// A check of InfrastructureReady, "False", with a time-out that a reboot does not reach, replaces
// both. That Unknown is for a transition that takes long is Kubernetes' convention
// (https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties).
func readiness(claim *teapotv1.MachineClaim, provisioned bool) metav1.Condition {
	ready := meta.FindStatusCondition(claim.Status.Conditions, teapotv1.ReadyCondition)
	if ready == nil {
		ready = &metav1.Condition{Status: metav1.ConditionUnknown, Reason: teapotv1.ReasonWaitingForClaim, Message: "not looked at yet"}
	}
	is := metav1.Condition{
		Type: teapotv1.ReadyCondition, Status: ready.Status, Reason: ready.Reason,
		Message: fmt.Sprintf("MachineClaim %s: %s", claim.Name, ready.Message),
	}
	switch {
	case ready.Status == metav1.ConditionTrue:
	case ready.Reason == teapotv1.ReasonProgressing:
		is.Status = metav1.ConditionUnknown
	default:
		is.Status = notReady(provisioned, meta.IsStatusConditionTrue(claim.Status.Conditions, teapotv1.StalledCondition) && claim.Status.Phase == teapotv1.ClaimFailed)
	}
	return is
}

// notReady is the status of Ready of a machine that is not.
func notReady(provisioned, failed bool) metav1.ConditionStatus {
	if provisioned || failed {
		return metav1.ConditionFalse
	}
	return metav1.ConditionUnknown
}
