package claimtest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/teapot-cloud/teapot/workers/host"
)

// Operator stands for the baremetal-operator with its Ironic and the machines behind it, as far
// as their states are seen in BareMetalHosts: it plays internal/controller/metal3.io/
// host_state_machine.go of v0.13.2, where each step on a machine takes no time. It writes the
// status with the resource version that it read, as the operator does, and knows the
// deviations that a Fault asks for. What it does not show is in test/machineroom, under the real
// operator.
type Operator struct {
	Client client.Client

	mu sync.Mutex
	// disks holds what is on each machine's disk: the namespace that wrote to it.
	disks map[types.NamespacedName]string
	// leaks are disks that one namespace found with the data of another.
	leaks []string
}

// FaultAnnotation asks for deviations of a host, separated by commas.
const FaultAnnotation = "test.teapot.dev/fault"

// Fault is a deviation.
type Fault string

const (
	// FailsToProvision: writing an image fails, each time.
	FailsToProvision Fault = "provision"
	// FailsToClean: cleaning fails, each time.
	FailsToClean Fault = "clean"
	// Hangs: nothing that was begun ends.
	Hangs Fault = "hang"
	// LosesPower: the machine is off, whatever is wanted.
	LosesPower Fault = "power"
)

func has(o *host.Object, fault Fault) bool {
	for each := range strings.SplitSeq(o.Annotations[FaultAnnotation], ",") {
		if each == string(fault) {
			return true
		}
	}
	return false
}

// NewHost is a host that the operator has not looked at yet.
func NewHost(namespace, name string) *host.Object {
	return &host.Object{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Finalizers: []string{metal3v1.BareMetalHostFinalizer}}, Spec: metal3v1.BareMetalHostSpec{
		BMC:            metal3v1.BMCDetails{Address: "redfish://192.0.2.1/" + name, CredentialsName: name},
		BootMACAddress: "52:54:00:00:00:01",
	}}
}

// MakeAvailable gives a new host the status that the operator would get it to.
func MakeAvailable(o *host.Object) {
	o.Status.OperationalStatus = metal3v1.OperationalStatusOK
	o.Status.Provisioning.State = metal3v1.StateAvailable
	o.Status.HardwareDetails = details(o.Name)
}

// Step plays the next step of a host, and reports whether there was one.
func (p *Operator) Step(ctx context.Context, name types.NamespacedName) (bool, error) {
	o := &host.Object{}
	if err := p.Client.Get(ctx, name, o); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if _, paused := o.Annotations[metal3v1.PausedAnnotation]; paused {
		return false, nil
	}
	before := o.DeepCopy()
	if err := p.play(ctx, o); err != nil {
		return false, err
	}
	if o.Status.Provisioning.State == metal3v1.StateDeleting {
		if !controllerutil.RemoveFinalizer(o, metal3v1.BareMetalHostFinalizer) {
			return false, nil
		}
		return true, ignoreRace(p.Client.Update(ctx, o))
	}
	if same(before, o) {
		return false, nil
	}
	if err := p.Client.Status().Update(ctx, o); err != nil {
		return true, ignoreRace(err)
	}
	p.written(before, o)
	return true, nil
}

func same(a, b *host.Object) bool {
	x, y := host.Of(a), host.Of(b)
	return x.State == y.State && x.Written == y.Written && x.PoweredOn == y.PoweredOn && x.Error == y.Error && x.Operational == y.Operational
}

func ignoreRace(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

func (p *Operator) play(ctx context.Context, o *host.Object) error {
	status := &o.Status
	state := &status.Provisioning.State
	_, detached := o.Annotations[metal3v1.DetachedAnnotation]
	if detached && (*state == metal3v1.StateProvisioned || *state == metal3v1.StateAvailable) {
		status.OperationalStatus = metal3v1.OperationalStatusDetached
		return nil
	}
	if !o.DeletionTimestamp.IsZero() {
		switch *state {
		case metal3v1.StateProvisioning, metal3v1.StateProvisioned:
			*state = metal3v1.StateDeprovisioning
			return nil
		case metal3v1.StateDeprovisioning:
		default:
			*state = metal3v1.StateDeleting
			return nil
		}
	}
	if has(o, Hangs) && *state != metal3v1.StateAvailable && *state != metal3v1.StateProvisioned {
		return nil
	}
	switch *state {
	case metal3v1.StateNone:
		*state = metal3v1.StateRegistering
		if o.Spec.BMC.Address == "" {
			*state, status.OperationalStatus = metal3v1.StateUnmanaged, metal3v1.OperationalStatusDiscovered
		}
	case metal3v1.StateRegistering:
		*state, status.OperationalStatus = metal3v1.StateInspecting, metal3v1.OperationalStatusOK
	case metal3v1.StateInspecting:
		*state, status.HardwareDetails = metal3v1.StatePreparing, details(o.Name)
	case metal3v1.StatePreparing:
		*state = metal3v1.StateAvailable
	case metal3v1.StateAvailable:
		if o.Spec.Image != nil && o.Spec.Online {
			*state = metal3v1.StateProvisioning
			status.OperationHistory.Provision = metal3v1.OperationMetric{Start: metav1.Now()}
			return nil
		}
		status.PoweredOn = o.Spec.Online && !has(o, LosesPower)
	case metal3v1.StateProvisioning:
		return p.provision(ctx, o)
	case metal3v1.StateProvisioned:
		if o.Spec.Image == nil || o.Spec.Image.URL != status.Provisioning.Image.URL {
			*state = metal3v1.StateDeprovisioning
			return nil
		}
		status.PoweredOn = o.Spec.Online && !has(o, LosesPower)
	case metal3v1.StateDeprovisioning:
		p.clean(o)
	}
	return nil
}

func (p *Operator) provision(ctx context.Context, o *host.Object) error {
	status := &o.Status
	if status.ErrorType != "" || o.Spec.Image == nil {
		status.Provisioning.State = metal3v1.StateDeprovisioning
		return nil
	}
	if has(o, FailsToProvision) {
		fail(o, "the image could not be written")
		return nil
	}
	for _, reference := range []*corev1.SecretReference{o.Spec.UserData, o.Spec.MetaData, o.Spec.NetworkData} {
		if reference == nil {
			continue
		}
		err := p.Client.Get(ctx, types.NamespacedName{Namespace: reference.Namespace, Name: reference.Name}, &corev1.Secret{})
		if apierrors.IsNotFound(err) {
			fail(o, "Secret "+reference.Name+" does not exist")
			return nil
		}
		if err != nil {
			return err
		}
	}
	status.Provisioning.State, status.Provisioning.Image = metal3v1.StateProvisioned, *o.Spec.Image
	status.PoweredOn = !has(o, LosesPower)
	return nil
}

func (p *Operator) clean(o *host.Object) {
	status := &o.Status
	if has(o, FailsToClean) && o.Spec.AutomatedCleaningMode != metal3v1.CleaningModeDisabled {
		fail(o, "the disk could not be erased")
		return
	}
	status.OperationalStatus, status.ErrorType, status.ErrorMessage = metal3v1.OperationalStatusOK, "", ""
	status.Provisioning.Image = metal3v1.Image{}
	status.PoweredOn = false
	status.Provisioning.State = metal3v1.StateAvailable
	if !o.DeletionTimestamp.IsZero() {
		status.Provisioning.State = metal3v1.StateDeleting
	}
}

func fail(o *host.Object, message string) {
	o.Status.OperationalStatus, o.Status.ErrorType, o.Status.ErrorMessage = metal3v1.OperationalStatusError, metal3v1.ProvisioningError, message
}

// written keeps the books of what is on the machine's disk.
func (p *Operator) written(before, after *host.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disks == nil {
		p.disks = map[types.NamespacedName]string{}
	}
	name := client.ObjectKeyFromObject(after)
	from, to := before.Status.Provisioning.State, after.Status.Provisioning.State
	switch {
	case from == metal3v1.StateAvailable && to == metal3v1.StateProvisioning && after.Spec.ConsumerRef != nil:
		if owner := p.disks[name]; owner != "" && owner != after.Spec.ConsumerRef.Namespace {
			p.leaks = append(p.leaks, fmt.Sprintf("namespace %s got host %s with the data of namespace %s", after.Spec.ConsumerRef.Namespace, name, owner))
		}
		p.disks[name] = after.Spec.ConsumerRef.Namespace
	case from == metal3v1.StateDeprovisioning && to == metal3v1.StateAvailable && after.Spec.AutomatedCleaningMode != metal3v1.CleaningModeDisabled:
		delete(p.disks, name)
	}
}

// Leaks are the disks that one namespace found with the data of another.
func (p *Operator) Leaks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaks
}

// details is the hardware of every host.
func details(name string) *metal3v1.HardwareDetails {
	return &metal3v1.HardwareDetails{
		Hostname: name, RAMMebibytes: 64 << 10, CPU: metal3v1.CPU{Arch: "x86_64", Count: 16},
		NIC:     []metal3v1.NIC{{Name: "eth0", MAC: "52:54:00:00:00:01", IP: "192.0.2.10", SpeedGbps: 10}},
		Storage: []metal3v1.Storage{{Name: "/dev/sda", SizeBytes: 480 * metal3v1.GigaByte, Type: metal3v1.SSD}},
	}
}
