package workerpool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

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

// play is a tenant with a control plane and a pool, and Cluster API to it.
type play struct {
	c       client.Client
	tcp     *teapotv1.TenantControlPlane
	pool    *teapotv1.WorkerPool
	cluster *clusterv1.Cluster
}

// newPlay prepares a control plane and a pool, of which nothing is made yet.
func newPlay(t testing.TB) *play { return newPlayIn(t, direct) }

func newPlayIn(t testing.TB, c client.Client) *play {
	t.Helper()
	namespace := newNamespace(t, c)
	return &play{
		c: c,
		tcp: &teapotv1.TenantControlPlane{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "prod"},
			Spec:       teapotv1.TenantControlPlaneSpec{Version: "v1.36.3"},
		},
		pool: newPool(namespace, "workers"),
	}
}

func newPool(namespace, name string) *teapotv1.WorkerPool {
	return &teapotv1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: teapotv1.WorkerPoolSpec{
			ControlPlaneName: "prod", Replicas: ptr.To[int32](3), Version: "v1.36.3",
			HostRequest: teapotv1.HostRequest{Image: teapotv1.Image{URL: "oci://images.example.com/node:v1.36.3"}},
		},
	}
}

// begun makes both.
func (p *play) begun(t testing.TB) *play {
	t.Helper()
	must(t, p.c.Create(t.Context(), p.tcp))
	return p.asked(t)
}

// asked makes the pool.
func (p *play) asked(t testing.TB) *play {
	t.Helper()
	must(t, p.c.Create(t.Context(), p.pool))
	t.Cleanup(func() { p.sweep(t) })
	return p
}

// sweep lets the pool go, whatever the test left.
func (p *play) sweep(t testing.TB) {
	ctx := contextOf(t)
	for _, object := range []client.Object{&clusterv1.MachineDeployment{}, &teapotv1.WorkerPool{}} {
		if err := p.c.Get(ctx, p.key(), object); err != nil {
			continue
		}
		object.SetFinalizers(nil)
		if err := errors.Join(client.IgnoreNotFound(p.c.Update(ctx, object)), client.IgnoreNotFound(p.c.Delete(ctx, object))); err != nil && !apierrors.IsConflict(err) {
			t.Error(err)
		}
	}
}

func (p *play) key() types.NamespacedName { return client.ObjectKeyFromObject(p.pool) }

func (p *play) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.pool.Namespace, Name: name}
}

// get reads an object of the namespace, and says whether it is there.
func (p *play) get(t testing.TB, name string, object client.Object) bool {
	t.Helper()
	err := p.c.Get(t.Context(), types.NamespacedName{Namespace: p.pool.Namespace, Name: name}, object)
	must(t, client.IgnoreNotFound(err))
	return err == nil
}

func (p *play) md(t *testing.T) *clusterv1.MachineDeployment {
	t.Helper()
	md := &clusterv1.MachineDeployment{}
	eventually(t, "the MachineDeployment", func() error { return p.c.Get(t.Context(), p.key(), md) })
	return md
}

// mdIs waits until the MachineDeployment is as it should be.
func (p *play) mdIs(t *testing.T, what string, so func(*clusterv1.MachineDeployment) bool) *clusterv1.MachineDeployment {
	t.Helper()
	md := &clusterv1.MachineDeployment{}
	eventually(t, "the MachineDeployment: "+what, func() error {
		md = &clusterv1.MachineDeployment{}
		if err := p.c.Get(t.Context(), p.key(), md); err != nil {
			return err
		}
		if !so(md) {
			return fmt.Errorf("its annotations are %v, its spec %+v", md.Annotations, md.Spec)
		}
		return nil
	})
	return md
}

func replicasAre(n int32) func(*clusterv1.MachineDeployment) bool {
	return func(md *clusterv1.MachineDeployment) bool { return ptr.Deref(md.Spec.Replicas, -1) == n }
}

// templates are the names of the pool's templates.
func (p *play) templates(t testing.TB) (bootstrap, infrastructure []string) {
	t.Helper()
	configs, machines := &bootstrapv1.KubeadmConfigTemplateList{}, &teapotv1.HostMachineTemplateList{}
	must(t, p.c.List(t.Context(), configs, client.InNamespace(p.pool.Namespace), client.MatchingLabels{teapotv1.PoolLabel: p.pool.Name}))
	must(t, p.c.List(t.Context(), machines, client.InNamespace(p.pool.Namespace), client.MatchingLabels{teapotv1.PoolLabel: p.pool.Name}))
	for _, template := range configs.Items {
		bootstrap = append(bootstrap, template.Name)
	}
	for _, template := range machines.Items {
		infrastructure = append(infrastructure, template.Name)
	}
	return bootstrap, infrastructure
}

// change writes a change of the pool's spec.
func (p *play) change(t testing.TB, what func(*teapotv1.WorkerPoolSpec)) {
	t.Helper()
	apiserver.Change(t, p.c, p.pool, func() { what(&p.pool.Spec) })
}

// adopt plays what Cluster API does to what a pool applied: owner references to the Cluster beside
// the pool's, a finalizer, and a first look.
func (p *play) adopt(t testing.TB) {
	t.Helper()
	cluster := &clusterv1.Cluster{}
	must(t, p.c.Get(t.Context(), types.NamespacedName{Namespace: p.pool.Namespace, Name: "prod"}, cluster))
	md, check := &clusterv1.MachineDeployment{}, &clusterv1.MachineHealthCheck{}
	objects := []client.Object{md}
	must(t, p.c.Get(t.Context(), p.key(), md))
	if p.get(t, p.pool.Name, check) {
		objects = append(objects, check)
	}
	bootstrap, infrastructure := &bootstrapv1.KubeadmConfigTemplate{}, &teapotv1.HostMachineTemplate{}
	if !p.get(t, md.Spec.Template.Spec.Bootstrap.ConfigRef.Name, bootstrap) || !p.get(t, md.Spec.Template.Spec.InfrastructureRef.Name, infrastructure) {
		t.Fatal("the MachineDeployment names templates that are not there")
	}
	for _, object := range append(objects, bootstrap, infrastructure) {
		apiserver.Change(t, p.c, object, func() { must(t, controllerutil.SetOwnerReference(cluster, object, scheme)) })
	}
	apiserver.Change(t, p.c, md, func() {
		controllerutil.AddFinalizer(md, clusterv1.MachineDeploymentFinalizer)
		metav1.SetMetaDataAnnotation(&md.ObjectMeta, clusterv1.RevisionAnnotation, "1")
	})
}

// counts plays that Cluster API looked at the MachineDeployment: as many machines as are wanted
// exist, and some of them are up to date and available. The others are being replaced.
func (p *play) counts(t testing.TB, exist, upToDate, available int32) {
	t.Helper()
	md := &clusterv1.MachineDeployment{ObjectMeta: p.named(p.pool.Name)}
	apiserver.ChangeStatus(t, p.c, md, func() {
		md.Status.ObservedGeneration = md.Generation
		md.Status.Replicas, md.Status.UpToDateReplicas = &exist, &upToDate
		md.Status.AvailableReplicas, md.Status.ReadyReplicas = &available, &available
		rolling := metav1.Condition{Type: clusterv1.MachineDeploymentRollingOutCondition, Status: metav1.ConditionFalse, Reason: clusterv1.MachineDeploymentNotRollingOutReason}
		if upToDate < exist {
			rolling.Status, rolling.Reason = metav1.ConditionTrue, clusterv1.MachineDeploymentRollingOutReason
		}
		meta.SetStatusCondition(&md.Status.Conditions, rolling)
	})
}

// makeMachine plays a Machine of the MachineDeployment.
func (p *play) makeMachine(t testing.TB, name string) *clusterv1.Machine {
	t.Helper()
	md := &clusterv1.MachineDeployment{}
	must(t, p.c.Get(t.Context(), p.key(), md))
	return p.makeMachineOf(t, name, md.Spec.Template.Spec)
}

func (p *play) makeMachineOf(t testing.TB, name string, spec clusterv1.MachineSpec) *clusterv1.Machine {
	t.Helper()
	machine := &clusterv1.Machine{ObjectMeta: p.named(name), Spec: spec}
	machine.Labels = map[string]string{
		clusterv1.ClusterNameLabel: spec.ClusterName, clusterv1.MachineDeploymentNameLabel: p.pool.Name, teapotv1.PoolLabel: p.pool.Name,
	}
	machine.Finalizers = []string{clusterv1.MachineFinalizer}
	must(t, p.c.Create(t.Context(), machine))
	t.Cleanup(func() { letGo(t, p.c, machine) })
	return machine
}

// makeMachineSet plays a MachineSet of the MachineDeployment's present templates.
func (p *play) makeMachineSet(t testing.TB, name string) *clusterv1.MachineSet {
	t.Helper()
	md := &clusterv1.MachineDeployment{}
	must(t, p.c.Get(t.Context(), p.key(), md))
	set := &clusterv1.MachineSet{
		ObjectMeta: p.named(name),
		Spec:       clusterv1.MachineSetSpec{ClusterName: md.Spec.ClusterName, Replicas: ptr.To[int32](1), Selector: md.Spec.Selector, Template: md.Spec.Template},
	}
	must(t, p.c.Create(t.Context(), set))
	return set
}

// machineSays plays what Cluster API says of a Machine.
func machineSays(t testing.TB, c client.Client, machine *clusterv1.Machine, conditions ...metav1.Condition) {
	t.Helper()
	apiserver.ChangeStatus(t, c, machine, func() {
		for _, condition := range conditions {
			meta.SetStatusCondition(&machine.Status.Conditions, condition)
		}
	})
}

// letGo removes an object's finalizers.
func letGo(t testing.TB, c client.Client, object client.Object) {
	t.Helper()
	ctx := contextOf(t)
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		must(t, client.IgnoreNotFound(err))
		return
	}
	before := object.DeepCopyObject().(client.Object)
	object.SetFinalizers(nil)
	must(t, client.IgnoreNotFound(c.Patch(ctx, object, client.MergeFrom(before))))
}

// condition waits for a condition with a status, a reason and words in its message.
func (p *play) condition(t *testing.T, kind string, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s, %s, %q", kind, status, reason, words), func() error {
		must(t, p.c.Get(t.Context(), p.key(), p.pool))
		return say(p.pool.Status.Conditions, kind, status, reason, words...)
	})
}

func (p *play) ready(t *testing.T, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	p.condition(t, teapotv1.ReadyCondition, status, reason, words...)
}

func (p *play) refused(t *testing.T, reason string, words ...string) {
	t.Helper()
	p.condition(t, teapotv1.AppliedCondition, metav1.ConditionFalse, reason, words...)
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

func gone(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s to be gone", object, object.GetName()), func() error {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("it is still there: %+v", object))
	})
}

// owners are the kinds of an object's owners.
func owners(object client.Object) []string {
	var kinds []string
	for _, reference := range object.GetOwnerReferences() {
		kinds = append(kinds, reference.Kind)
	}
	slices.Sort(kinds)
	return kinds
}

// contextOf is a context for what is done when a test has ended.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
