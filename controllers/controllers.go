// Package controllers lists every controller of Teapot. Each is alone in a folder below;
// what they share is in apply (server-side apply into the management cluster) and tenant
// (clients of the tenants' API servers).
package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hostmachine"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/controllers/machineclaim"
	"github.com/teapot-cloud/teapot/controllers/metrics"
	"github.com/teapot-cloud/teapot/controllers/orphans"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
	"github.com/teapot-cloud/teapot/controllers/tenantcontrolplane"
	"github.com/teapot-cloud/teapot/controllers/workerpool"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/workers/host"
)

// Scheme knows Kubernetes' own kinds and Teapot's.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(clusterv1.AddToScheme(scheme))
	utilruntime.Must(bootstrapv1.AddToScheme(scheme))
	utilruntime.Must(host.AddToScheme(scheme))
	utilruntime.Must(teapotv1.AddToScheme(scheme))
	return scheme
}

// CacheOptions keep in memory only what is labelled as Teapot's, and of that nothing that
// no controller reads.
func CacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{teapotv1.ManagedByLabel: teapotv1.ManagedByTeapot})}
	return cache.Options{
		DefaultTransform: transform,
		ByObject: map[client.Object]cache.ByObject{
			&teapotv1.TenantControlPlane{}:  {Transform: cache.TransformStripManagedFields()},
			&corev1.Namespace{}:             ours,
			&corev1.Secret{}:                ours,
			&corev1.ServiceAccount{}:        ours,
			&corev1.Service{}:               ours,
			&networkingv1.NetworkPolicy{}:   ours,
			&policyv1.PodDisruptionBudget{}: ours,
			&appsv1.StatefulSet{}:           ours,
			&appsv1.Deployment{}:            ours,
			&coordinationv1.Lease{}:         ours,
		},
	}
}

// transform keeps of each object what some controller reads, and once what many have in common.
// Cluster API's kinds cannot be named in ByObject, which fails where they are not installed.
func transform(in any) (any, error) {
	shareTemplate(in)
	switch in.(type) {
	case *clusterv1.Cluster:
		return tenantcontrolplane.TrimCluster(in)
	case *host.Object:
		return host.Transform(in)
	default:
		return workerpool.Trim(in)
	}
}

// Options are what the operator decides.
type Options struct {
	Settings controlplane.Settings
	// MaxConcurrentReconciles is the number of control planes that are worked on at once.
	MaxConcurrentReconciles int
}

// Setup adds every controller to the manager.
func Setup(mgr ctrl.Manager, options Options) error {
	tenants := tenant.NewRegistry(clock.RealClock{})
	if err := mgr.Add(tenants); err != nil {
		return fmt.Errorf("adding the tenants' clients: %w", err)
	}
	if err := metrics.Add(mgr); err != nil {
		return fmt.Errorf("adding the metrics: %w", err)
	}
	shared := controller.Options{MaxConcurrentReconciles: options.MaxConcurrentReconciles}

	if err := addAll(mgr, shared, []reconciler{
		&tenantcontrolplane.Reconciler{
			Client:   mgr.GetClient(),
			Live:     mgr.GetAPIReader(),
			Tenants:  tenants,
			Recorder: mgr.GetEventRecorder("teapot"),
			Clock:    clock.RealClock{},
			Settings: options.Settings,
		},
		// Waits for Cluster API by itself: pools say so, and go without it.
		&workerpool.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{}},
	}); err != nil {
		return err
	}

	reader := hosts.Reader{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	for _, each := range []*late{
		{
			needs: []schema.GroupVersionKind{bareMetalHost, hostDeployPolicy, cluster},
			reconcilers: []reconciler{
				&machineclaim.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{}},
				&orphans.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{}},
			},
		},
		{
			needs: []schema.GroupVersionKind{bareMetalHost, hostDeployPolicy, cluster, machine},
			reconcilers: []reconciler{
				&tenantcluster.Reconciler{Client: mgr.GetClient(), Hosts: reader, Clock: clock.RealClock{}},
				&hostmachine.TemplateReconciler{Client: mgr.GetClient(), Hosts: reader},
				&hostmachine.Reconciler{
					Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Tokens: tenants,
					Recorder: mgr.GetEventRecorder("teapot"), Clock: clock.RealClock{},
					NewID: func() string { return string(uuid.NewUUID()) },
				},
			},
		},
	} {
		each.manager, each.options = mgr, shared
		if err := mgr.Add(each); err != nil {
			return fmt.Errorf("adding the machines' controllers: %w", err)
		}
	}
	return nil
}
