package orphans_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

var direct client.WithWatch

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	config, stop, err := apiserver.Start()
	if err != nil {
		panic(err)
	}
	defer func() {
		if err := stop(); err != nil {
			panic(err)
		}
	}()
	if err := claimtest.InstallCRDs(context.Background(), config, "../.."); err != nil {
		panic(err)
	}
	if direct, err = client.NewWithWatch(config, client.Options{Scheme: claimtest.Scheme()}); err != nil {
		panic(err)
	}
	return m.Run()
}

// room is a namespace with a host, machine-0, and sweeps that the test asks for.
type room struct {
	*orphans.Reconciler
	namespace string
	clock     *testingclock.FakeClock
	recorder  *events.FakeRecorder
	operator  *claimtest.Operator
	writes    int
}

func newRoom(t *testing.T) *room {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "room-"}}
	create(t, namespace)
	r := &room{
		namespace: namespace.Name, clock: testingclock.NewFakeClock(time.Now()),
		recorder: events.NewFakeRecorder(100), operator: &claimtest.Operator{Client: direct},
	}
	r.Reconciler = &orphans.Reconciler{Client: interceptor.NewClient(direct, interceptor.Funcs{
		// What other tests leave is not this one's; and hosts are as the manager's cache has them.
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if err := c.List(ctx, list, append(options, client.InNamespace(r.namespace))...); err != nil {
				return err
			}
			if hosts, ok := list.(*host.List); ok {
				for i := range hosts.Items {
					kept, err := host.Transform(hosts.Items[i].DeepCopy())
					if err != nil {
						return err
					}
					hosts.Items[i] = *kept.(*host.Object)
				}
			}
			return nil
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			r.writes++
			return c.Patch(ctx, object, patch, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			r.writes++
			return c.Delete(ctx, object, options...)
		},
	}), Live: direct, Recorder: r.recorder, Clock: r.clock}
	o := claimtest.NewHost(r.namespace, "machine-0")
	create(t, o)
	claimtest.MakeAvailable(o)
	if err := direct.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := direct.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *room) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: name}
}

// claim makes a claim that holds machine-0.
func (r *room) claim(t *testing.T, name string) *teapotv1.MachineClaim {
	t.Helper()
	c := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: r.namespace, Name: name, Annotations: map[string]string{teapotv1.HostAnnotation: r.namespace + "/machine-0"},
	}}
	c.Spec.Image = teapotv1.Image{URL: "oci://images.example.com/node:v1"}
	create(t, c)
	return c
}

// provisioned lets a claim, which may not exist, hold a host that runs its image, with a Secret.
func (r *room) provisioned(t *testing.T, holder host.Holder) {
	t.Helper()
	r.change(t, func(o *host.Object) {
		host.Take(o, holder)
		host.Provision(o, host.Provisioning{Image: teapotv1.Image{URL: "oci://images.example.com/node:v1"}})
	})
	create(t, host.Secret(r.host(t), holder.NamespacedName, host.UserData, []byte("secret")))
	r.play(t)
}

func (r *room) host(t *testing.T) *host.Object {
	t.Helper()
	o := &host.Object{}
	if err := direct.Get(t.Context(), r.key("machine-0"), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func (r *room) change(t *testing.T, change func(*host.Object)) {
	t.Helper()
	o := r.host(t)
	before := o.DeepCopy()
	change(o)
	if err := direct.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// play plays the operator until the host rests.
func (r *room) play(t *testing.T) {
	t.Helper()
	for played := true; played; {
		var err error
		if played, err = r.operator.Step(t.Context(), r.key("machine-0")); err != nil {
			t.Fatal(err)
		}
	}
}

// sweep sweeps once, after some time.
func (r *room) sweep(t *testing.T, after time.Duration) {
	t.Helper()
	r.clock.Step(after)
	result, err := r.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter != orphans.Interval {
		t.Fatalf("the sweep ends with %+v, %v", result, err)
	}
	r.play(t)
}

func (r *room) holder(name string, uid types.UID) host.Holder {
	return host.Holder{NamespacedName: r.key(name), UID: uid}
}

// runs says whether the host is untouched.
func (r *room) runs(t *testing.T) bool {
	t.Helper()
	v := host.Of(r.host(t))
	return v.Holder != nil && v.State == string(metal3v1.StateProvisioned) && v.Asked != ""
}

// free says whether the host is back, with nothing beside it.
func (r *room) free(t *testing.T) bool {
	t.Helper()
	secrets := &corev1.SecretList{}
	if err := direct.List(t.Context(), secrets, client.InNamespace(r.namespace), client.HasLabels{teapotv1.ClaimNameLabel}); err != nil {
		t.Fatal(err)
	}
	v := host.Of(r.host(t))
	return v.Claimable("anybody") == host.Claimable && len(secrets.Items) == 0
}

func (r *room) told() string {
	var all []string
	for {
		select {
		case event := <-r.recorder.Events:
			all = append(all, event)
		default:
			return strings.Join(all, "\n")
		}
	}
}

func TestAHostOfAClaimThatIsGone(t *testing.T) {
	t.Run("is given back clean, after a time in which the claim may come", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("gone", "uid"))
		for range 9 {
			if r.sweep(t, time.Minute); !r.runs(t) {
				t.Fatal("it was touched before its time")
			}
		}
		if told := r.told(); strings.Count(told, "Orphaned") != 1 || !strings.Contains(told, "consumerRef names MachineClaim "+r.namespace+"/gone") {
			t.Errorf("it told %q", told)
		}
		r.sweep(t, 2*time.Minute)
		if v := host.Of(r.host(t)); v.Asked != "" || v.Holder == nil {
			t.Fatalf("it is %+v, want it deprovisioned and held still", v)
		}
		r.sweep(t, time.Minute)
		if !r.free(t) {
			t.Fatalf("it is not free: %+v", r.host(t).Spec)
		}
		if told := r.told(); !strings.Contains(told, "OrphanRemoved") {
			t.Errorf("it told %q", told)
		}
	})
	t.Run("is left alone if the claim comes in time", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("moved", "uid before the move"))
		r.sweep(t, 0)
		r.claim(t, "moved")
		r.sweep(t, orphans.Grace)
		r.sweep(t, orphans.Grace)
		if !r.runs(t) {
			t.Error("it was touched")
		}
	})
	t.Run("is given back though there is a new claim of the same name", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("again", "uid of the first"))
		c := r.claim(t, "again")
		before := c.DeepCopy()
		c.Annotations = nil
		if err := direct.Patch(t.Context(), c, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		r.sweep(t, 0)
		r.sweep(t, orphans.Grace)
		r.sweep(t, time.Minute)
		if !r.free(t) {
			t.Errorf("it is not free: %+v", r.host(t).Spec)
		}
	})
	t.Run("stays fenced until it can be cleaned", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("gone", "uid"))
		r.change(t, func(o *host.Object) {
			metav1.SetMetaDataAnnotation(&o.ObjectMeta, claimtest.FaultAnnotation, string(claimtest.FailsToClean))
			host.Deprovision(o) // the claim did that before it went
		})
		r.play(t)
		for range 30 {
			if r.sweep(t, time.Minute); host.Of(r.host(t)).Holder == nil {
				t.Fatal("it was freed uncleaned")
			}
		}
		r.change(t, func(o *host.Object) { delete(o.Annotations, claimtest.FaultAnnotation) })
		r.play(t)
		r.sweep(t, time.Minute)
		if !r.free(t) {
			t.Errorf("it is not free: %+v", r.host(t).Spec)
		}
	})
	t.Run("keeps its image while it is paused", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("gone", "uid"))
		r.change(t, func(o *host.Object) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, metal3v1.PausedAnnotation, "") })
		r.sweep(t, 0)
		r.sweep(t, orphans.Grace)
		r.sweep(t, orphans.Grace)
		if !r.runs(t) {
			t.Error("it was touched")
		}
	})
}

func TestWhatIsInOrder(t *testing.T) {
	r := newRoom(t)
	c := r.claim(t, "worker-0")
	r.provisioned(t, host.HolderOf(c))
	for range 3 {
		r.sweep(t, orphans.Grace)
	}
	if told := r.told(); !r.runs(t) || r.writes > 0 || told != "" {
		t.Errorf("it wrote %d times and told %q; the host is %+v", r.writes, told, r.host(t).Spec)
	}
	t.Run("a host of something else", func(t *testing.T) {
		r := newRoom(t)
		r.change(t, func(o *host.Object) { o.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Metal3Machine", Name: "x"} })
		r.sweep(t, 0)
		r.sweep(t, orphans.Grace)
		if r.writes > 0 || r.host(t).Spec.ConsumerRef == nil {
			t.Error("it was touched")
		}
	})
}

// TestTwoHostsOfOneClaim is what managers that run at the same time may leave.
func TestTwoHostsOfOneClaim(t *testing.T) {
	r := newRoom(t)
	c := r.claim(t, "worker-0")
	r.provisioned(t, host.HolderOf(c))
	second := claimtest.NewHost(r.namespace, "machine-1")
	host.Take(second, host.HolderOf(c))
	create(t, second)
	claimtest.MakeAvailable(second)
	if err := direct.Status().Update(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	r.sweep(t, 0)
	r.sweep(t, time.Minute)
	if err := direct.Get(t.Context(), r.key("machine-1"), second); err != nil {
		t.Fatal(err)
	}
	if !r.runs(t) || second.Spec.ConsumerRef != nil {
		t.Errorf("the one that the claim names runs: %v; the other is held by %v", r.runs(t), second.Spec.ConsumerRef)
	}
}

func TestSecretsWithoutClaims(t *testing.T) {
	r := newRoom(t)
	c := r.claim(t, "worker-0")
	long := strings.Repeat("x", 63)
	r.claim(t, long)
	wanted := []*corev1.Secret{
		host.Secret(r.host(t), r.key(c.Name), host.UserData, nil),
		host.Secret(r.host(t), r.key(long), host.UserData, nil),
	}
	orphan := host.Secret(r.host(t), r.key("gone"), host.MetaData, nil)
	create(t, wanted[0], wanted[1], orphan)
	there := func(secret *corev1.Secret) bool {
		err := direct.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{})
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return err == nil
	}
	r.sweep(t, 0)
	if r.sweep(t, orphans.Grace-time.Second); !there(orphan) {
		t.Error("it was deleted before its time")
	}
	r.sweep(t, time.Second)
	if there(orphan) || !there(wanted[0]) || !there(wanted[1]) {
		t.Errorf("the orphan is there: %v, the others: %v, %v", there(orphan), there(wanted[0]), there(wanted[1]))
	}
}

func TestClaimsWithoutMachines(t *testing.T) {
	r := newRoom(t)
	machine := &teapotv1.HostMachine{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "there"}}
	machine.Spec.Image = teapotv1.Image{URL: "oci://images.example.com/node:v1"}
	create(t, machine)
	owned := func(name, owner string, uid types.UID) {
		c := &teapotv1.MachineClaim{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: teapotv1.GroupVersion.String(), Kind: "HostMachine", Name: owner, UID: uid, Controller: ptr.To(true),
		}}}}
		c.Spec.Image = teapotv1.Image{URL: "oci://images.example.com/node:v1"}
		create(t, c)
	}
	owned("in-order", "there", machine.UID)
	owned("moved", "there", "uid before the move")
	owned("orphan", "gone", "uid")
	r.sweep(t, 0)
	r.sweep(t, orphans.Grace-time.Second)
	if err := direct.Get(t.Context(), r.key("orphan"), &teapotv1.MachineClaim{}); err != nil {
		t.Errorf("it was deleted before its time: %v", err)
	}
	r.sweep(t, time.Second)
	for name, want := range map[string]bool{"in-order": true, "moved": true, "orphan": false} {
		err := direct.Get(t.Context(), r.key(name), &teapotv1.MachineClaim{})
		if apierrors.IsNotFound(err) == want {
			t.Errorf("claim %s: %v", name, err)
		}
	}
}
