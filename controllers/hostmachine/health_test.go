package hostmachine_test

import (
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/internal/manifest"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestMachineHealthCheck: the one of examples/machines.yaml replaces machines that failed, and not
// those that take their time. Cluster API's own code mirrors the condition.
func TestMachineHealthCheck(t *testing.T) {
	check := exampleHealthCheck(t)
	p := newPlay(t).begun(t)
	claim := p.claim(t)

	for _, stage := range []struct {
		name     string
		claim    []metav1.Condition
		phase    teapotv1.MachineClaimPhase
		replaced bool
	}{
		{"no host is free", []metav1.Condition{
			is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNoHost, "12 hosts: 12 taken"),
			is(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonNoHost, "12 hosts: 12 taken"),
		}, teapotv1.ClaimPending, false},
		{"an image is written", []metav1.Condition{
			is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonProvisioning, "host-7 is being written"),
			is(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, ""),
		}, teapotv1.ClaimProvisioning, false},
		{"no more hosts are tried", []metav1.Condition{
			is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonProvisioningFailed, "3 hosts failed"),
			is(teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioningFailed, "3 hosts failed"),
		}, teapotv1.ClaimFailed, true},
		{"it runs", []metav1.Condition{
			is(teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "host-7 runs"),
			is(teapotv1.ProvisionedCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioned, ""),
			is(teapotv1.StalledCondition, metav1.ConditionFalse, teapotv1.ReasonProgressing, ""),
		}, teapotv1.ClaimProvisioned, false},
		{"it lost its power", []metav1.Condition{
			is(teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonPoweredOff, "host-7 is off"),
		}, teapotv1.ClaimProvisioned, true},
	} {
		says(t, claim, stage.phase, stage.claim...)
		p.condition(t, teapotv1.ReadyCondition, mirroredStatus(stage.replaced, stage.claim[0]), stage.claim[0].Reason, stage.claim[0].Message)

		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p.hm)
		must(t, err)
		machine := p.machine.DeepCopy()
		must(t, conditions.SetMirrorConditionFromUnstructured(&unstructured.Unstructured{Object: fields}, machine,
			"Ready", conditions.TargetConditionType(clusterv1.MachineInfrastructureReadyCondition)))
		if got := unhealthy(check, machine); got != stage.replaced {
			t.Errorf("%s: the machine is unhealthy: %t; its conditions are %+v", stage.name, got, machine.Status.Conditions)
		}
	}
}

// mirroredStatus is False for what is to be replaced, and Unknown for what is on its way.
func mirroredStatus(replaced bool, claim metav1.Condition) metav1.ConditionStatus {
	switch {
	case replaced:
		return metav1.ConditionFalse
	case claim.Status == metav1.ConditionTrue:
		return metav1.ConditionTrue
	default:
		return metav1.ConditionUnknown
	}
}

// unhealthy compares as machineChecks in
// core/reconcilers/machinehealthcheck/machinehealthcheck_targets.go does once the time-out is
// over.
func unhealthy(check *clusterv1.MachineHealthCheck, machine *clusterv1.Machine) bool {
	for _, wanted := range check.Spec.Checks.UnhealthyMachineConditions {
		if is := conditions.Get(machine, wanted.Type); is != nil && is.Status == wanted.Status {
			return true
		}
	}
	return false
}

// exampleHealthCheck reads the example's, as the API server takes it.
func exampleHealthCheck(t *testing.T) *clusterv1.MachineHealthCheck {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(apiserver.Root(t), "examples", "machines.yaml"))
	must(t, err)
	objects, err := manifest.Parse(text)
	must(t, err)
	namespace := newNamespace(t)
	var found *clusterv1.MachineHealthCheck
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			continue
		}
		object.SetNamespace(namespace)
		if err := direct.Create(t.Context(), object, client.FieldValidation("Strict"), client.DryRunAll); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		if object.GetKind() == "MachineHealthCheck" {
			found = &clusterv1.MachineHealthCheck{}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, found))
		}
	}
	if found == nil {
		t.Fatal("examples/machines.yaml has no MachineHealthCheck")
	}
	return found
}
