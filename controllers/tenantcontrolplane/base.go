package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

const (
	// pollInterval is how often something is looked at that no watch reports.
	pollInterval = 5 * time.Second
	timeFormat   = time.RFC3339
)

// ensureBase applies Services, service accounts and network policies, and remembers what
// the API server chose for the Services.
func (s *scope) ensureBase(ctx context.Context) error {
	if err := s.observeServing(ctx); err != nil {
		return err
	}
	if known := s.tcp.Status.Endpoint; known != nil && (s.input.Serving.ControlPlane || s.initialized()) {
		s.input.Known = controlplane.Endpoint{Address: known.Address, Port: known.Port, KonnectivityPort: known.KonnectivityPort}
	}
	objects := controlplane.Base(s.input)
	if err := s.apply(ctx, true, objects...); err != nil {
		if taken := portTaken(err); taken != "" {
			s.setFalse(teapotv1.EndpointReadyCondition, teapotv1.ReasonPortTaken,
				"%s; free the port, or choose another in spec.endpoint", taken)
			return waiting{after: pollInterval}
		}
		return err
	}
	for _, object := range objects {
		service, ok := object.(*corev1.Service)
		if !ok {
			continue
		}
		switch service.Name {
		case controlplane.ControlPlaneName:
			s.service = service
		case controlplane.EtcdName:
			s.input.EtcdClientIP = service.Spec.ClusterIP
		}
	}
	return nil
}

// observeServing reads whether anything was ready before this reconcile, and whether it could be.
func (s *scope) observeServing(ctx context.Context) error {
	deployment, statefulSet := &s.running.deployment, &s.running.statefulSet
	for name, object := range map[string]client.Object{
		controlplane.ControlPlaneName: deployment, controlplane.EtcdName: statefulSet,
	} {
		key := types.NamespacedName{Namespace: s.input.Namespace(), Name: name}
		if err := s.Client.Get(ctx, key, object); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading %T %s: %w", object, key, err)
		}
	}
	s.input.Serving = controlplane.Serving{
		ControlPlane: deployment.Status.ReadyReplicas > 0, Etcd: statefulSet.Status.ReadyReplicas > 0,
	}
	if !controlplane.MayLackVolume(statefulSet, s.now) {
		return nil
	}
	claims := &corev1.PersistentVolumeClaimList{}
	if err := s.Live.List(ctx, claims, client.InNamespace(s.input.Namespace())); err != nil {
		return fmt.Errorf("listing the volume claims of namespace %s: %w", s.input.Namespace(), err)
	}
	s.input.NoVolume = controlplane.LacksVolume(claims.Items)
	return nil
}

// portTaken finds the API server's words for a node port that another Service has.
func portTaken(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Field == "spec.ports[0].nodePort" || cause.Field == "spec.ports[1].nodePort" {
			return cause.Message
		}
	}
	return ""
}

// resolveEndpoint finds out the machines' way in. The address of a node, once chosen, is
// written onto the Service before anything depends on it: machines know it from then on.
func (s *scope) resolveEndpoint(ctx context.Context) error {
	var nodes []corev1.Node
	choose := controlplane.ChoosesNode(s.input, s.service)
	if choose {
		list := &corev1.NodeList{}
		if err := s.Live.List(ctx, list); err != nil {
			return fmt.Errorf("listing the management cluster's nodes: %w", err)
		}
		nodes = list.Items
	}
	endpoint, err := controlplane.ResolveEndpoint(s.input, s.service, nodes)
	var unresolved *controlplane.NotResolved
	if errors.As(err, &unresolved) {
		s.setFalse(teapotv1.EndpointReadyCondition, unresolved.Reason, "%s", unresolved.Message)
		return waiting{after: pollInterval}
	}
	if err != nil {
		return err
	}
	if choose {
		if err := s.recordAddress(ctx, endpoint.Address); err != nil {
			return err
		}
	}
	s.input.Endpoint = endpoint
	s.tcp.Status.Endpoint = &teapotv1.EndpointStatus{
		URL: endpoint.URL(), Host: endpoint.Host, Address: endpoint.Address,
		Port: endpoint.Port, KonnectivityPort: endpoint.KonnectivityPort,
	}
	s.setTrue(teapotv1.EndpointReadyCondition, "machines come by %s, port %d", endpoint.Address, endpoint.Port)
	return s.publishEndpoint(ctx)
}

// recordAddress annotates the Service. The lock makes a choice that was made from a stale
// read fail: then the one on the Service counts.
func (s *scope) recordAddress(ctx context.Context, address string) error {
	if s.paused {
		return nil
	}
	annotated := s.service.DeepCopy()
	if annotated.Annotations == nil {
		annotated.Annotations = map[string]string{}
	}
	annotated.Annotations[teapotv1.EndpointHostAnnotation] = address
	patch := client.MergeFromWithOptions(s.service, client.MergeFromWithOptimisticLock{})
	// A field owner of its own, so that applying the Service does not take it away.
	if err := s.Client.Patch(ctx, annotated, patch, client.FieldOwner(teapotv1.FieldManager+"-endpoint")); err != nil {
		return fmt.Errorf("writing the chosen address onto Service %s/%s: %w", s.service.Namespace, s.service.Name, err)
	}
	s.service = annotated
	return nil
}
