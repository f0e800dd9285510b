package routes

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane/route"
)

const (
	// writers is how many writes of activity are under way at most.
	writers = 4
	// writeWithin is how long a write may take.
	writeWithin = 5 * time.Second
	// wakeAgain is how long to wait after a wake that could not be asked for. A client waits for
	// seconds only.
	wakeAgain = time.Second
	// activityAgain is how long to wait after activity that could not be written. The controllers
	// take a gateway's word for three minutes.
	activityAgain = 10 * time.Second
)

// Opened notes that a user's connection is passed on to the control plane.
func (r *Routes) Opened(tenant *Tenant, client netip.Addr) {
	tenant.opened(client)
	r.reports.Add(tenant)
}

// Closed notes the end of a connection that was Opened.
func (r *Routes) Closed(tenant *Tenant, client netip.Addr) {
	tenant.closed(client, r.options.Clock.Now())
	r.reports.Add(tenant)
}

// Wake asks for a control plane that sleeps, on behalf of a client, if this is the moment to do so: the
// client is one that may, and nobody has asked for a minute. It does not wait for the write.
func (r *Routes) Wake(ctx context.Context, tenant *Tenant, client netip.Addr) {
	at, may := tenant.mayWake(client, r.options.Clock.Now())
	if !may {
		return
	}
	go func() {
		err := r.patch(ctx, tenant.Lease, map[string]any{"spec": map[string]any{
			"renewTime": metav1.NewMicroTime(at), "holderIdentity": r.options.Pod,
		}})
		r.options.Wrote(Wake, err)
		if err == nil {
			r.options.Log.Info("asked for a control plane that sleeps", "lease", tenant.Lease)
			return
		}
		r.complain.Do(func() { r.options.Log.Error(err, "a wake cannot be asked for", "lease", tenant.Lease) })
		tenant.wakeFailed(r.options.Clock.Now().Add(wakeAgain))
		select {
		case <-r.options.Clock.After(wakeAgain):
			tenant.tryAgain()
		case <-ctx.Done():
		}
	}()
}

// writeNext writes the next activity that is due. It returns false at the end.
func (r *Routes) writeNext(ctx context.Context) bool {
	tenant, ended := r.reports.Get()
	if ended {
		return false
	}
	defer r.reports.Done(tenant)
	activity, write, again := tenant.activity(r.options.Clock.Now())
	if write {
		again = r.writeActivity(ctx, tenant, activity)
	}
	if again > 0 {
		r.reports.AddAfter(tenant, again)
	}
	return true
}

// writeActivity returns after how long to look at the tenant again; zero if there is no need to.
func (r *Routes) writeActivity(ctx context.Context, tenant *Tenant, activity route.Activity) (again time.Duration) {
	err := r.patchActivity(ctx, tenant, activity)
	switch {
	case err == nil:
		return tenant.wrote(activity, r.options.Clock.Now())
	case apierrors.IsNotFound(err):
		return 0 // the watch will tell of it
	default:
		r.complain.Do(func() { r.options.Log.Error(err, "activity cannot be written", "lease", tenant.Lease) })
		return activityAgain
	}
}

func (r *Routes) patchActivity(ctx context.Context, tenant *Tenant, activity route.Activity) error {
	value, err := json.Marshal(activity)
	if err != nil {
		return err
	}
	err = r.patch(ctx, tenant.Lease, map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		teapotv1.GatewayActivityAnnotation + r.options.Pod: string(value),
	}}})
	r.options.Wrote(Activity, err)
	return err
}

// Finish writes that this gateway has no users any more. It is called when Run has returned.
func (r *Routes) Finish(ctx context.Context) error {
	var writes errgroup.Group
	writes.SetLimit(writers)
	for _, tenant := range r.all() {
		if activity, write := tenant.last(r.options.Clock.Now()); write {
			writes.Go(func() error { return r.patchActivity(ctx, tenant, activity) })
		}
	}
	return writes.Wait()
}

func (r *Routes) patch(ctx context.Context, lease types.NamespacedName, patch map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = r.options.Leases.Leases(lease.Namespace).Patch(ctx, lease.Name, types.MergePatchType, body, metav1.PatchOptions{})
	return err
}
