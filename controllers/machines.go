package controllers

import (
	"context"
	"fmt"
	"time"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// kindsInterval is how often a management cluster is asked for kinds that it does not have yet.
const kindsInterval = 15 * time.Second

var (
	bareMetalHost    = metal3v1.GroupVersion.WithKind("BareMetalHost")
	hostDeployPolicy = metal3v1.GroupVersion.WithKind("HostDeployPolicy")
	cluster          = clusterv1.GroupVersion.WithKind("Cluster")
	machine          = clusterv1.GroupVersion.WithKind("Machine")
)

// reconciler is one controller.
type reconciler interface {
	SetupWithManager(ctrl.Manager, controller.Options) error
}

// late adds controllers once the management cluster has the kinds that they work on: Metal3 and
// Cluster API may be installed after Teapot, or never, and control planes need neither.
type late struct {
	manager     ctrl.Manager
	options     controller.Options
	needs       []schema.GroupVersionKind
	reconcilers []reconciler
}

// NeedLeaderElection is so for what writes.
func (l *late) NeedLeaderElection() bool { return true }

// Start waits for the kinds. It ends when the controllers are added, which then run by themselves.
func (l *late) Start(ctx context.Context) error {
	told := false
	err := wait.PollUntilContextCancel(ctx, kindsInterval, true, func(ctx context.Context) (bool, error) {
		for _, kind := range l.needs {
			_, err := l.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
			if err == nil {
				continue
			}
			if !meta.IsNoMatchError(err) {
				log.FromContext(ctx).Error(err, "asking for a kind", "kind", kind.String())
			} else if !told {
				log.FromContext(ctx).Info("machines wait for a kind to be installed", "kind", kind.String())
				told = true
			}
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return nil // the manager ends
	}
	return addAll(l.manager, l.options, l.reconcilers)
}

func addAll(mgr ctrl.Manager, options controller.Options, reconcilers []reconciler) error {
	for _, each := range reconcilers {
		if err := each.SetupWithManager(mgr, options); err != nil {
			return fmt.Errorf("setting up %T: %w", each, err)
		}
	}
	return nil
}
