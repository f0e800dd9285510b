package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

// asleepWithin is how long a control plane without machines may take to sleep before the bench gives
// up.
const asleepWithin = 5 * time.Minute

// slept is what one round took, in seconds.
type slept struct{ floor, floorWorking, hibernate, request, working float64 }

// measureResume takes hibernate, resume_request and resume_working of one control plane that sleeps
// and wakes again and again, in turns with a floor that is stopped and started again on its volume.
func (b *bench) measureResume(ctx context.Context, o options) ([]Result, error) {
	floors, err := b.prepare(ctx, 1)
	if err != nil {
		return nil, err
	}
	if _, err := floors[0].run(ctx); err != nil {
		return nil, err
	}
	// Both have worked before they sleep, so that both have a Lease that somebody holds who is gone.
	if _, err := makesPods(ctx, floors[0].config()); err != nil {
		return nil, err
	}
	byHand, err := b.stop(ctx, floors[0])
	if err != nil {
		return nil, err
	}
	tenant := b.newTenant()
	if _, err := b.create(ctx, tenant); err != nil {
		return nil, err
	}
	config, err := b.byAddress(ctx, tenant.Name)
	if err != nil {
		return nil, err
	}
	if err := b.waitReady(ctx, tenant); err != nil {
		return nil, err
	}
	if _, err := makesPods(ctx, config); err != nil {
		return nil, err
	}

	var rounds []slept
	for i := range o.n {
		var s slept
		if s.hibernate, err = b.timeHibernation(ctx, tenant); err != nil {
			return nil, err
		}
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		if byHand, err = b.resumeFloor(ctx, floors[0], byHand, &s); err != nil {
			return nil, err
		}
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		if err := b.resume(ctx, tenant, config, &s); err != nil {
			return nil, err
		}
		if err := b.waitReady(ctx, tenant); err != nil {
			return nil, err
		}
		progress("sleep %d/%d: hibernate %.2f s; resume: request %.2f s (floor %.2f s), working %.2f s (floor %.2f s)",
			i+1, o.n, s.hibernate, s.request, s.floor, s.working, s.floorWorking)
		rounds = append(rounds, s)
	}
	if err := b.removeNamespaces(ctx, namespaces(floors)...); err != nil {
		return nil, err
	}
	each := func(of func(slept) float64) (samples []float64) {
		for _, s := range rounds {
			samples = append(samples, of(s))
		}
		return samples
	}
	return []Result{
		newResult(hibernation, "s", each(func(s slept) float64 { return s.hibernate }), nil),
		newResult(resumeRequest, "s", each(func(s slept) float64 { return s.request }), each(func(s slept) float64 { return s.floor })),
		newResult(resumeWorking, "s", each(func(s slept) float64 { return s.working }), each(func(s slept) float64 { return s.floorWorking })),
	}, b.removeTenants(ctx)
}

// resumeFloor starts a floor that was stopped, on the volume that it had, and stops it again. It notes
// the same as resume.
func (b *bench) resumeFloor(ctx context.Context, p *prepared, stopped *corev1.Pod, s *slept) (*corev1.Pod, error) {
	begun := time.Now()
	at, err := b.startAgain(ctx, p, stopped)
	if err != nil {
		return nil, err
	}
	s.floor = at.Sub(begun).Seconds()
	if at, err = makesPods(ctx, p.config()); err != nil {
		return nil, err
	}
	s.floorWorking = at.Sub(begun).Seconds()
	return b.stop(ctx, p)
}

// ask has a control plane sleep or wake, by what "teapot hibernate" and "teapot resume" write.
func (b *bench) ask(ctx context.Context, tenant *teapotv1.TenantControlPlane, sleep bool) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}},"spec":{"hibernation":{"enabled":%t}}}`,
		teapotv1.HibernationRequestedAtAnnotation, time.Now().UTC().Format(time.RFC3339), sleep)
	if err := b.client.Patch(ctx, tenant, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("changing spec.hibernation of TenantControlPlane %s: %w", tenant.Name, err)
	}
	return nil
}

// timeHibernation has a control plane sleep and returns the seconds until it is said to be asleep and
// has no pods left.
func (b *bench) timeHibernation(ctx context.Context, tenant *teapotv1.TenantControlPlane) (float64, error) {
	begun := time.Now()
	if err := b.ask(ctx, tenant, true); err != nil {
		return 0, err
	}
	err := wait.PollUntilContextTimeout(ctx, tick, asleepWithin, true, func(ctx context.Context) (bool, error) {
		if err := b.client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant); err != nil || !isAsleep(tenant) {
			return false, err
		}
		pods, err := b.podsOf(ctx, tenant)
		return len(pods) == 0, err
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for TenantControlPlane %s to be asleep (kubectl describe tcp -n %s): %w", tenant.Name, tenant.Namespace, err)
	}
	return time.Since(begun).Seconds(), nil
}

func isAsleep(tenant *teapotv1.TenantControlPlane) bool {
	return tenant.Status.Hibernation != nil && tenant.Status.Hibernation.Phase == teapotv1.HibernationAsleep
}

// resume wakes a control plane. It notes when a request by its address is answered, and when its
// controller-manager has made a pod for a Deployment that was not there before.
func (b *bench) resume(ctx context.Context, tenant *teapotv1.TenantControlPlane, config *rest.Config, s *slept) error {
	_, namespaces, err := questions(config)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := b.ask(ctx, tenant, false); err != nil {
		return err
	}
	at, err := namespaces.answered(ctx)
	if err != nil {
		return err
	}
	s.request = at.Sub(begun).Seconds()
	if at, err = makesPods(ctx, config); err != nil {
		return err
	}
	s.working = at.Sub(begun).Seconds()
	return nil
}

// makesPods makes a Deployment and returns when a pod of it exists. No machine runs it.
func makesPods(ctx context.Context, config *rest.Config) (time.Time, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Dial, config.Timeout = -1, netdial.DialContext, 5*time.Second
	inside, err := kubernetes.NewForConfig(config)
	if err != nil {
		return time.Time{}, err
	}
	made, err := inside.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, onePod(time.Now()), metav1.CreateOptions{})
	if err != nil {
		return time.Time{}, fmt.Errorf("creating a Deployment in a control plane that woke: %w", err)
	}
	selector := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(made.Spec.Selector)}
	err = wait.PollUntilContextTimeout(ctx, tick, readyWithin, true, func(ctx context.Context) (bool, error) {
		pods, err := inside.CoreV1().Pods(made.Namespace).List(ctx, selector)
		return err == nil && len(pods.Items) > 0, err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("waiting for the pod of Deployment %s: %w", made.Name, err)
	}
	at := time.Now()
	background := metav1.DeletePropagationBackground
	err = inside.AppsV1().Deployments(made.Namespace).Delete(ctx, made.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil {
		return time.Time{}, fmt.Errorf("deleting Deployment %s: %w", made.Name, err)
	}
	return at, nil
}

// onePod is a Deployment of one pod, which is told from those of earlier rounds by a label.
func onePod(now time.Time) *appsv1.Deployment {
	labels := map[string]string{"bench": strconv.FormatInt(now.UnixNano(), 10)}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	deployment.Spec.Template.Labels = labels
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "none", Image: "example.com/none"}}
	return deployment
}
