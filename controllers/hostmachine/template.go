package hostmachine

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// templateInterval is how often the hosts that a template would take are looked at again.
const templateInterval = 5 * time.Minute

// architectures are Go's words for those of Metal3.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// TemplateReconciler writes into the status of HostMachineTemplates what their machines have, so
// that an autoscaler can scale from zero.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine#inframachinetemplate-support-cluster-autoscaling-from-zero
type TemplateReconciler struct {
	Client client.Client
	Hosts  hosts.Reader
}

// SetupWithManager registers the controller and what it watches.
func (r *TemplateReconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("hostmachinetemplate").
		WithOptions(options).
		For(&teapotv1.HostMachineTemplate{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile brings the status of one template up to date.
func (r *TemplateReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	template := &teapotv1.HostMachineTemplate{}
	if err := r.Client.Get(ctx, request.NamespacedName, template); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	asked := template.Spec.Template.Spec.HostRequest
	tenant, err := r.Hosts.Tenant(ctx, template.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	wanted, err := claim.NewRequest(&teapotv1.MachineClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: template.Namespace}, Spec: teapotv1.MachineClaimSpec{HostRequest: asked},
	}, tenant.UID)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading HostMachineTemplate %s: %w", request.NamespacedName, err)
	}
	has := &least{}
	err = r.Hosts.Each(ctx, template.Namespace, func(each *host.Host) {
		switch wanted.Refuses(each) {
		case host.Claimable, host.Taken, host.Paused, host.Failing, host.Busy, host.Used:
			has.add(each) // the claim takes it now, or would once it is free
		}
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("finding hosts for HostMachineTemplate %s: %w", request.NamespacedName, err)
	}
	before := template.DeepCopy()
	template.Status = has.status(asked.Hardware)
	if !apiequality.Semantic.DeepEqual(before.Status, template.Status) {
		if err := r.Client.Status().Patch(ctx, template, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("writing the status of HostMachineTemplate %s: %w", request.NamespacedName, err)
		}
	}
	return ctrl.Result{RequeueAfter: templateInterval}, nil
}

// least is what each of some hosts has.
type least struct {
	hosts        int
	cpus, memory int64
	architecture string // empty: they differ
}

func (l *least) add(h *host.Host) {
	switch cpus, memory := int64(h.CPUs()), h.Memory(); {
	case !h.Inspected():
		return
	case l.hosts == 0:
		l.cpus, l.memory, l.architecture = cpus, memory, h.Architecture()
	default:
		l.cpus, l.memory = min(l.cpus, cpus), min(l.memory, memory)
		if l.architecture != h.Architecture() {
			l.architecture = ""
		}
	}
	l.hosts++
}

// status is what each of the hosts has, or, without hosts, what is asked for. Promising an
// autoscaler more than a machine turns out to have would make it buy machines for ever.
func (l *least) status(asked teapotv1.HardwareRequirements) teapotv1.HostMachineTemplateStatus {
	has := *l
	if has.hosts == 0 {
		has.cpus, has.architecture = int64(asked.CPU.MinCount), asked.CPU.Architecture
		if asked.Memory != nil {
			has.memory = asked.Memory.Value()
		}
	}
	status := teapotv1.HostMachineTemplateStatus{
		NodeInfo: teapotv1.NodeInfo{Architecture: architectures[has.architecture], OperatingSystem: "linux"},
	}
	for name, quantity := range map[corev1.ResourceName]*resource.Quantity{
		corev1.ResourceCPU:              resource.NewQuantity(has.cpus, resource.DecimalSI),
		corev1.ResourceMemory:           resource.NewQuantity(has.memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: asked.Disks.MinSize,
	} {
		if quantity == nil || quantity.IsZero() {
			continue
		}
		if status.Capacity == nil {
			status.Capacity = corev1.ResourceList{}
		}
		status.Capacity[name] = *quantity
	}
	return status
}
