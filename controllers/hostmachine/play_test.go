package hostmachine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

const (
	image    = "http://images.example.com/node-v1.36.3"
	checksum = "0000000000000000000000000000000000000000000000000000000000000000"
)

// play is Cluster API, and the controller of claims, to one machine.
type play struct {
	cluster *clusterv1.Cluster
	machine *clusterv1.Machine
	hm      *teapotv1.HostMachine
}

// newPlay prepares a machine, of which nothing is made yet.
func newPlay(t testing.TB) *play {
	t.Helper()
	namespace := newNamespace(t)
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{clusterv1.ClusterNameLabel: "acme"}}
	}
	return &play{
		cluster: &clusterv1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"},
			Spec: clusterv1.ClusterSpec{
				ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: "acme"},
				InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantCluster", Name: "acme"},
			},
		},
		machine: &clusterv1.Machine{
			ObjectMeta: named("worker-1"),
			Spec: clusterv1.MachineSpec{
				ClusterName: "acme", Version: "v1.36.3", FailureDomain: "row-a",
				Bootstrap:         clusterv1.Bootstrap{ConfigRef: clusterv1.ContractVersionedObjectReference{APIGroup: bootstrapv1.GroupVersion.Group, Kind: "KubeadmConfig", Name: "worker-1"}},
				InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "HostMachine", Name: "worker-1"},
			},
		},
		hm: &teapotv1.HostMachine{
			ObjectMeta: named("worker-1"),
			Spec: teapotv1.HostMachineSpec{HostRequest: teapotv1.HostRequest{
				Image: teapotv1.Image{URL: image, Checksum: checksum}, ProvisioningTimeout: "45m",
			}},
		},
	}
}

// begun makes all that a claim needs.
func (p *play) begun(t testing.TB) *play {
	t.Helper()
	p.makeHostMachine(t)
	p.makeMachine(t)
	p.makeCluster(t)
	p.provisionCluster(t)
	p.giveBootstrapData(t)
	return p
}

func (p *play) makeHostMachine(t testing.TB) {
	t.Helper()
	must(t, direct.Create(t.Context(), p.hm))
	t.Cleanup(func() { p.sweep(t) })
}

// sweep lets everything go, whatever the test left.
func (p *play) sweep(t testing.TB) {
	ctx := contextOf(t)
	claim, hm := &teapotv1.MachineClaim{}, &teapotv1.HostMachine{}
	for _, object := range []client.Object{claim, hm} {
		if err := direct.Get(ctx, p.key(), object); err != nil {
			continue
		}
		object.SetFinalizers(nil)
		if err := errors.Join(client.IgnoreNotFound(direct.Update(ctx, object)), client.IgnoreNotFound(direct.Delete(ctx, object))); err != nil && !apierrors.IsConflict(err) {
			t.Error(err)
		}
	}
}

// makeMachine makes the Machine, which then owns the HostMachine.
func (p *play) makeMachine(t testing.TB) {
	t.Helper()
	must(t, direct.Create(t.Context(), p.machine))
	change(t, p.hm, func() { must(t, controllerutil.SetControllerReference(p.machine, p.hm, scheme)) })
}

func (p *play) makeCluster(t testing.TB) {
	t.Helper()
	must(t, direct.Create(t.Context(), p.cluster))
}

func (p *play) provisionCluster(t testing.TB) {
	t.Helper()
	changeStatus(t, p.cluster, func() { p.cluster.Status.Initialization.InfrastructureProvisioned = ptr.To(true) })
}

func (p *play) giveBootstrapData(t testing.TB) {
	t.Helper()
	change(t, p.machine, func() { p.machine.Spec.Bootstrap.DataSecretName = ptr.To("worker-1") })
}

// join plays that Cluster API saw the machine provisioned, and its Node.
func (p *play) join(t testing.TB) {
	t.Helper()
	p.read(t)
	change(t, p.machine, func() { p.machine.Spec.ProviderID = p.hm.Spec.ProviderID })
	changeStatus(t, p.machine, func() {
		p.machine.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
		p.machine.Status.NodeRef.Name = "worker-1"
	})
}

func (p *play) pause(t testing.TB, paused bool) {
	t.Helper()
	change(t, p.cluster, func() { p.cluster.Spec.Paused = ptr.To(paused) })
}

func (p *play) key() types.NamespacedName { return client.ObjectKeyFromObject(p.hm) }

func (p *play) read(t testing.TB) *teapotv1.HostMachine {
	t.Helper()
	must(t, direct.Get(t.Context(), p.key(), p.hm))
	return p.hm
}

// claim waits for the machine's claim.
func (p *play) claim(t *testing.T) *teapotv1.MachineClaim {
	t.Helper()
	claim := &teapotv1.MachineClaim{}
	eventually(t, "the claim", func() error { return direct.Get(t.Context(), p.key(), claim) })
	return claim
}

// ready waits for the condition Ready with a status and a reason, and words of its message.
func (p *play) ready(t *testing.T, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	p.condition(t, teapotv1.ReadyCondition, status, reason, words...)
}

func (p *play) condition(t *testing.T, kind string, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s, %s, %q", kind, status, reason, words), func() error {
		return say(p.read(t).Status.Conditions, kind, status, reason, words...)
	})
}

// say returns an error unless a condition has a status, a reason and words in its message.
func say(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string, words ...string) error {
	is := meta.FindStatusCondition(conditions, kind)
	if is == nil || is.Status != status || is.Reason != reason {
		return fmt.Errorf("conditions are %+v", conditions)
	}
	for _, word := range words {
		if !strings.Contains(is.Message, word) {
			return fmt.Errorf("condition %s says %q", kind, is.Message)
		}
	}
	return nil
}

// says plays what the claim's controller says.
func says(t testing.TB, claim *teapotv1.MachineClaim, phase teapotv1.MachineClaimPhase, conditions ...metav1.Condition) {
	t.Helper()
	changeStatus(t, claim, func() {
		claim.Status.Phase = phase
		for _, condition := range conditions {
			meta.SetStatusCondition(&claim.Status.Conditions, condition)
		}
	})
}

func is(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// provision plays a claim that holds a host, takes the finalizer that the host needs, and runs.
func provision(t testing.TB, claim *teapotv1.MachineClaim) {
	t.Helper()
	change(t, claim, func() {
		controllerutil.AddFinalizer(claim, teapotv1.MachineClaimFinalizer)
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, teapotv1.HostAnnotation, "hosts/host-7")
	})
	changeStatus(t, claim, func() {
		claim.Status.Host = &teapotv1.HostReference{Namespace: "hosts", Name: "host-7"}
		claim.Status.FailureDomain = "row-a"
		claim.Status.Addresses = []clusterv1.MachineAddress{
			{Type: clusterv1.MachineHostName, Address: "as-inspected"}, {Type: clusterv1.MachineInternalIP, Address: "192.0.2.7"},
		}
	})
	says(t, claim, teapotv1.ClaimProvisioned,
		is(teapotv1.ProvisionedCondition, metav1.ConditionTrue, teapotv1.ReasonProvisioned, ""),
		is(teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "host-7 runs"))
}

// release plays that the host is given back: the claim's finalizer goes.
func release(t testing.TB, claim *teapotv1.MachineClaim) {
	t.Helper()
	change(t, claim, func() { controllerutil.RemoveFinalizer(claim, teapotv1.MachineClaimFinalizer) })
}

// change writes a change to the newest state of an object.
func change(t testing.TB, object client.Object, what func()) {
	t.Helper()
	apiserver.Change(t, direct, object, what)
}

func changeStatus(t testing.TB, object client.Object, what func()) {
	t.Helper()
	apiserver.ChangeStatus(t, direct, object, what)
}

func gone(t *testing.T, object client.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s to be gone", object, object.GetName()), func() error {
		err := direct.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is still there"))
	})
}

// deleting returns an error unless the object is being deleted.
func deleting(t testing.TB, object client.Object) error {
	t.Helper()
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	if object.GetDeletionTimestamp().IsZero() {
		return errors.New("it is not being deleted")
	}
	return nil
}

func metaDataOf(t testing.TB, p *play) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	must(t, direct.Get(t.Context(), types.NamespacedName{Namespace: p.hm.Namespace, Name: "worker-1-metadata"}, secret))
	return secret
}

// contextOf is a context for what is done when a test has ended.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
