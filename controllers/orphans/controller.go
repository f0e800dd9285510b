// Package orphans finds what no claim answers for any more, tells of it, and puts it right where
// that is safe:
//
//   - hosts whose consumerRef names a MachineClaim that is gone, or one that holds another host,
//     are given back: deprovisioned, cleaned, and only then freed;
//   - Secrets beside hosts, of claims that are gone, are deleted;
//   - claims whose HostMachine is gone are deleted, which gives back their hosts.
//
// It is also what ends the fence around a host whose claim went before the host was clean
// (claim.ReleasePatience in workers/claim).
//
// A sweep compares what the manager's cache holds, so it costs no request while there is nothing
// to find. What looks like an orphan is then looked at twice with live reads, some time apart.
package orphans

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/host"
)

const (
	// Interval is the time between two sweeps.
	Interval = time.Minute
	// Grace is how long something must have been an orphan before anything is taken away from it:
	// a host's image, a Secret, a claim. `clusterctl move` and a restored backup make hosts before
	// the claims that hold them, and what is deprovisioned cannot be brought back. A host that
	// nothing is asked of any more is freed at the second look.
	Grace = 10 * time.Minute
)

// Reconciler sweeps.
type Reconciler struct {
	// Client reads from the manager's cache, in which hosts are trimmed by host.Transform.
	Client client.Client
	// Live reads from the API server: nothing is taken away because of a stale cache.
	Live     client.Reader
	Recorder events.EventRecorder
	Clock    clock.PassiveClock

	// suspects are what looked like an orphan to the last sweep, by what they are, and since when.
	// It is lost with the manager, and then the time begins anew.
	suspects map[string]time.Time
}

// SetupWithManager registers the sweep. Metal3's kinds must be installed.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	options.MaxConcurrentReconciles = 1
	begin := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("orphans").WithOptions(options).WatchesRawSource(begin).Complete(r)
}

// Reconcile is one sweep.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	s := &sweep{Reconciler: r, now: r.Clock.Now(), suspects: map[string]time.Time{}, found: map[string]int{}}
	if err := s.read(ctx); err != nil {
		return ctrl.Result{}, err
	}
	err := errors.Join(s.hosts(ctx), s.secrets(ctx), s.owners(ctx))
	r.suspects = s.suspects
	observe(s.found)
	return ctrl.Result{RequeueAfter: Interval}, err
}

// sweep is one sweep.
type sweep struct {
	*Reconciler
	now      time.Time
	suspects map[string]time.Time
	// found counts orphans by kind.
	found map[string]int

	all    []host.Object
	claims map[client.ObjectKey]*teapotv1.MachineClaim
}

// read reads hosts and claims from the cache. They are not copied, and must not be changed.
func (s *sweep) read(ctx context.Context) error {
	hosts, claims := &host.List{}, &teapotv1.MachineClaimList{}
	if err := s.Client.List(ctx, hosts, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing hosts: %w", err)
	}
	if err := s.Client.List(ctx, claims, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing MachineClaims: %w", err)
	}
	s.all = hosts.Items
	s.claims = make(map[client.ObjectKey]*teapotv1.MachineClaim, len(claims.Items))
	for i := range claims.Items {
		s.claims[client.ObjectKeyFromObject(&claims.Items[i])] = &claims.Items[i]
	}
	return nil
}

// suspect notes that something is an orphan by a live read, and returns for how long it has been
// one: 0 at the first look. What it is tells one orphan from the next at the same place.
func (s *sweep) suspect(ctx context.Context, kind, what string, object client.Object, why string) time.Duration {
	s.found[kind]++
	since, known := s.Reconciler.suspects[what]
	if !known {
		since = s.now
		log.FromContext(ctx).Info("orphaned", "what", what, "why", why)
		s.Recorder.Eventf(object.DeepCopyObject(), nil, corev1.EventTypeWarning, teapotv1.ReasonOrphaned, "Sweep", "%s", why)
	}
	s.suspects[what] = since
	return s.now.Sub(since)
}

func (s *sweep) tellRemoved(ctx context.Context, what string, object client.Object, how string) {
	delete(s.suspects, what)
	log.FromContext(ctx).Info("orphan removed", "what", what, "how", how)
	s.Recorder.Eventf(object.DeepCopyObject(), nil, corev1.EventTypeNormal, teapotv1.ReasonOrphanRemoved, "Sweep", "%s", how)
}
