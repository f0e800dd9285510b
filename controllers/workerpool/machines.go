package workerpool

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/workers/pool"
)

// pruneInterval is how often MachineSets are looked at while there are templates of before: Cluster
// API deletes an old MachineSet some time after its last machine.
const pruneInterval = time.Minute

// ensureTemplates applies the templates. All that is in them is Teapot's.
func (s *scope) ensureTemplates(ctx context.Context) error {
	s.input = pool.Input{Pool: s.pool, Cluster: s.cluster.Name, Hibernation: s.hibernation}
	templates, err := pool.NewTemplates(s.input)
	if err != nil {
		return err
	}
	s.templates = templates
	for _, template := range []client.Object{templates.Bootstrap, templates.Infrastructure} {
		if err := s.ensure(ctx, template, apply.Options{Force: true}); err != nil {
			return err
		}
	}
	s.input.Offers = templates.Infrastructure.Status
	return nil
}

// ensureMachineDeployment applies the MachineDeployment. What others add beside the plan stays, the
// time of a restart by clusterctl for one.
func (s *scope) ensureMachineDeployment(ctx context.Context) error {
	md := pool.NewMachineDeployment(s.input, s.templates)
	if err := s.ensure(ctx, md, apply.Options{}); err != nil {
		return err
	}
	s.machineDeployment = md
	return nil
}

// ensureHealthCheck applies the MachineHealthCheck, or deletes it if machines that fail are to stay. It is
// paused while the control plane sleeps.
func (s *scope) ensureHealthCheck(ctx context.Context) error {
	if check := pool.NewHealthCheck(s.input); check != nil {
		if err := s.ensure(ctx, check, apply.Options{}); err != nil || s.hibernation == "" {
			return err
		}
		return s.annotate(ctx, check, pausedBySleep)
	}
	check := &clusterv1.MachineHealthCheck{}
	found, err := s.find(ctx, s.Client, s.pool.Name, check)
	if err != nil || !found || !s.owns(check) || !check.DeletionTimestamp.IsZero() {
		return err
	}
	return s.remove(ctx, check, "spec.remediation.enabled is false")
}

// ensure applies an object of the pool, unless one of its name is somebody else's. It stores what the
// API server holds then into the object.
func (s *scope) ensure(ctx context.Context, object client.Object, options apply.Options) error {
	if err := s.checkName(ctx, object); err != nil {
		return err
	}
	applier := apply.Applier{Client: s.Client}
	outcome, err := applier.Apply(ctx, object, options)
	if apierrors.IsConflict(err) {
		// Somebody changed a field of the plan's.
		outcome, err = applier.Apply(ctx, object, apply.Options{Force: true})
	}
	if err != nil {
		return err
	}
	s.tellApplied(object, outcome)
	return s.resume(ctx, object)
}

// checkName makes sure that the object is the pool's own, or that it may be made. Server-side apply
// itself would take over what is there.
func (s *scope) checkName(ctx context.Context, object client.Object) error {
	have, err := s.newLike(object)
	if err != nil {
		return err
	}
	found, err := s.find(ctx, s.Client, object.GetName(), have)
	if err != nil {
		return err
	}
	if !found {
		if found, err = s.find(ctx, s.Live, object.GetName(), have); err != nil {
			return err
		}
		if found && s.owns(have) {
			return errStale // the cache is behind
		}
	}
	switch {
	case !found:
		return s.mayMake(ctx)
	case !s.owns(have):
		return taken(object)
	}
	return nil
}

// tellApplied tells by an event of what changed.
func (s *scope) tellApplied(object client.Object, outcome apply.Outcome) {
	what := object.GetObjectKind().GroupVersionKind().Kind + " " + object.GetName()
	switch {
	case outcome == apply.Repaired:
		s.eventAbout(object, corev1.EventTypeWarning, teapotv1.ReasonRepaired, what+" was changed by somebody else and is as it was")
	case outcome == apply.Made && s.established():
		s.eventAbout(object, corev1.EventTypeWarning, teapotv1.ReasonRepaired, what+" was deleted by somebody else and was made again")
	case outcome == apply.Made:
		s.eventAbout(object, corev1.EventTypeNormal, teapotv1.ReasonApplied, what+" was made")
	case outcome == apply.Changed:
		s.eventAbout(object, corev1.EventTypeNormal, teapotv1.ReasonApplied, what+" was changed")
	}
}

// newLike is an empty object of the same kind: an answer that lacks a field leaves it as it was.
func (s *scope) newLike(object client.Object) (client.Object, error) {
	kind := object.GetObjectKind().GroupVersionKind()
	empty, err := s.Client.Scheme().New(kind)
	if err != nil {
		return nil, fmt.Errorf("making a %s: %w", kind.Kind, err)
	}
	return empty.(client.Object), nil
}

// established says that all of this spec was applied before.
func (s *scope) established() bool {
	return s.before.Status.ObservedGeneration == s.pool.Generation &&
		meta.IsStatusConditionTrue(s.before.Status.Conditions, teapotv1.AppliedCondition)
}

// mayMake asks the API server whether the control plane and its Cluster are still there: while they
// go, Cluster API deletes machines, and what is made anew would be in its way.
func (s *scope) mayMake(ctx context.Context) error {
	if err := s.readControlPlane(ctx); err != nil {
		return err
	}
	cluster := &clusterv1.Cluster{}
	switch found, err := s.find(ctx, s.Live, s.cluster.Name, cluster); {
	case err != nil:
		return err
	case !found || !cluster.DeletionTimestamp.IsZero():
		return clusterGoes(s.cluster.Name)
	}
	return nil
}

// prune deletes templates of before that nothing is made from any more. A MachineSet may be made
// from what Cluster API has not looked past yet.
func (s *scope) prune(ctx context.Context) error {
	left, err := s.oldTemplates(ctx)
	if err != nil || len(left) == 0 {
		return err
	}
	if s.machineDeployment.Status.ObservedGeneration < s.machineDeployment.Generation {
		return nil // its status will bring the pool back
	}
	used, err := s.machineSetTemplates(ctx)
	if err != nil {
		return err
	}
	for _, template := range left {
		if used.Has(nameOf(template)) {
			s.requeueAfter(pruneInterval)
			continue
		}
		if err := s.remove(ctx, template, "no machine is made from it any more"); err != nil {
			return err
		}
	}
	return nil
}

// templateName names a template among those of both kinds.
type templateName struct{ group, name string }

func nameOf(template client.Object) templateName {
	if _, ok := template.(*teapotv1.HostMachineTemplate); ok {
		return templateName{teapotv1.GroupVersion.Group, template.GetName()}
	}
	return templateName{bootstrapv1.GroupVersion.Group, template.GetName()}
}

// oldTemplates are the pool's templates but for the ones that it has now.
func (s *scope) oldTemplates(ctx context.Context) ([]client.Object, error) {
	all, err := s.listTemplates(ctx, s.Client)
	now := sets.New(nameOf(s.templates.Bootstrap), nameOf(s.templates.Infrastructure))
	return slices.DeleteFunc(all, func(template client.Object) bool { return now.Has(nameOf(template)) }), err
}

// listTemplates lists the templates that are the pool's and are not being deleted.
func (s *scope) listTemplates(ctx context.Context, from client.Reader) ([]client.Object, error) {
	bootstrap, infrastructure := &bootstrapv1.KubeadmConfigTemplateList{}, &teapotv1.HostMachineTemplateList{}
	for _, list := range []client.ObjectList{bootstrap, infrastructure} {
		if err := s.list(ctx, from, list, s.ours()...); err != nil {
			return nil, err
		}
	}
	var all []client.Object
	for i := range bootstrap.Items {
		all = append(all, &bootstrap.Items[i])
	}
	for i := range infrastructure.Items {
		all = append(all, &infrastructure.Items[i])
	}
	return slices.DeleteFunc(all, func(template client.Object) bool {
		return !s.owns(template) || !template.GetDeletionTimestamp().IsZero()
	}), nil
}

// machineSetTemplates are the templates that MachineSets of the namespace make machines from.
func (s *scope) machineSetTemplates(ctx context.Context) (sets.Set[templateName], error) {
	list := &clusterv1.MachineSetList{}
	if err := s.list(ctx, s.Live, list, client.InNamespace(s.pool.Namespace)); err != nil {
		return nil, err
	}
	used := sets.New[templateName]()
	for i := range list.Items {
		spec := &list.Items[i].Spec.Template.Spec
		used.Insert(
			templateName{spec.InfrastructureRef.APIGroup, spec.InfrastructureRef.Name},
			templateName{spec.Bootstrap.ConfigRef.APIGroup, spec.Bootstrap.ConfigRef.Name})
	}
	return used, nil
}

// remove deletes an object of the pool and tells of it.
func (s *scope) remove(ctx context.Context, object client.Object, why string) error {
	err := s.Client.Delete(ctx, object, client.Preconditions{UID: ptr.To(object.GetUID())})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting %T %s/%s: %w", object, object.GetNamespace(), object.GetName(), err)
	}
	kind, err := apiutil.GVKForObject(object, s.Client.Scheme())
	if err != nil {
		return err
	}
	what := kind.Kind + " " + object.GetName()
	log.FromContext(ctx).Info("deleted", "object", what)
	s.eventAbout(object, corev1.EventTypeNormal, teapotv1.ReasonApplied, fmt.Sprintf("%s was deleted: %s", what, why))
	return nil
}
