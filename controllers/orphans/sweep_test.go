package orphans_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/machineclaim/claimtest"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/workers/host"
)

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
	t.Run("and the Secrets of that claim beside another host stay", func(t *testing.T) {
		r := newRoom(t)
		r.provisioned(t, r.holder("again", "uid of the first"))
		c := r.claim(t, "again")
		before := c.DeepCopy()
		c.Annotations[teapotv1.HostAnnotation] = r.namespace + "/machine-1"
		if err := direct.Patch(t.Context(), c, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		another := claimtest.NewHost(r.namespace, "machine-1")
		create(t, another)
		theirs := host.Secret(another, r.key("again"), host.MetaData, []byte("of the second"))
		create(t, theirs)
		r.sweep(t, 0)
		r.sweep(t, orphans.Grace)
		r.sweep(t, time.Minute)
		if v := host.Of(r.host(t)); v.Claimable(host.Tenant{}) != host.Claimable {
			t.Errorf("it is not free: %+v", r.host(t).Spec)
		}
		if err := direct.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
			t.Error(err)
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
	host.Take(second, host.HolderOf(c), "namespace-0")
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

// TestItSweepsByItself runs it in a manager, where nothing asks for a sweep.
func TestItSweepsByItself(t *testing.T) {
	r := newRoom(t)
	r.provisioned(t, r.holder("gone", "uid"))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: claimtest.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{r.namespace: {}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sweeper := &orphans.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: r.recorder, Clock: r.clock}
	if err := sweeper.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 8}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	select {
	case told := <-r.recorder.Events:
		if !strings.Contains(told, teapotv1.ReasonOrphaned) {
			t.Errorf("it told %s", told)
		}
	case <-time.After(time.Minute):
		t.Error("it does not sweep")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
