package tenantcontrolplane

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/tenant"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/inside"
	"github.com/teapot-cloud/teapot/pki"
)

// askTenant opens the tenant's session, tells it what should be inside the tenant's
// cluster, and takes over what it knows. It never waits for the tenant.
func (s *scope) askTenant(ctx context.Context) error {
	if s.input.Rest >= controlplane.RestControlPlane {
		return nil
	}
	authorities, own := s.input.Credentials.Authorities, s.input.Credentials.Leaves[pki.Teapot]
	session, err := s.Tenants.Open(s.input.Owner, tenant.Access{
		URL:        s.input.MachinesURL(),
		ServerName: s.input.Endpoint.Host,
		CA:         authorities.Cluster.Cert,
		Cert:       own.Cert,
		Key:        own.Key,
	})
	if err != nil {
		return err
	}
	s.observation = session.Observe()
	if !s.paused {
		if err := errors.Join(s.askUse(ctx), s.welcome(ctx)); err != nil {
			return err
		}
	}
	s.answers = session.Ask(s.chores)
	input := s.insideInput()
	source, err := sourceOf(input)
	if err != nil {
		return err
	}
	if s.wanted = session.Holds(source); s.wanted == nil {
		if s.wanted, err = content(source, input); err != nil {
			return err
		}
	}
	if !s.paused && s.wanted.Objects != nil {
		s.wanted.Settled = s.was(teapotv1.AddonsReadyCondition) && s.tcp.Status.ObservedGeneration == s.tcp.Generation
		session.Want(s.wanted)
	}
	for _, repaired := range session.TakeRepairs() {
		s.tellRepair(&repaired, "inside the tenant's cluster, was changed or deleted by somebody else and is as it was: %s",
			kindAndName(repaired.Kind, types.NamespacedName{Namespace: repaired.Namespace, Name: repaired.Name}))
	}
	s.observeTenant(ctx)
	return nil
}

// insideInput is what decides on what should be inside the tenant's cluster.
func (s *scope) insideInput() inside.Input {
	spec, addons := s.tcp.Spec, s.tcp.Spec.Addons
	return inside.Input{
		ClusterName:      s.input.ClusterName,
		Version:          s.insideVersion(),
		ServiceCIDR:      spec.Network.ServiceCIDR,
		PodCIDR:          spec.Network.PodCIDR,
		DNSDomain:        spec.Network.DNSDomain,
		EndpointHost:     s.input.Endpoint.Host,
		EndpointAddress:  s.input.Endpoint.Address,
		EndpointPort:     s.input.Endpoint.Port,
		KonnectivityPort: s.input.Endpoint.KonnectivityPort,
		CACert:           s.input.Credentials.Authorities.Cluster.Cert,
		CoreDNS:          controlplane.Enabled(addons.CoreDNS),
		KubeProxy:        controlplane.Enabled(addons.KubeProxy),
		Konnectivity:     controlplane.Enabled(addons.Konnectivity),
		Machines:         s.observation.Machines,
	}
}

// sourceOf identifies an input.
func sourceOf(input inside.Input) (string, error) {
	encoded, err := json.Marshal(input)
	if err != nil {
		return "", fmt.Errorf("encoding what decides on the inside of a tenant's cluster: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return string(sum[:]), nil
}

// content renders what should be inside the tenant's cluster.
func content(source string, input inside.Input) (*tenant.Content, error) {
	objects, err := inside.Render(input)
	if err != nil {
		return nil, err
	}
	references, err := inside.Unwanted(input)
	if err != nil {
		return nil, err
	}
	absent := make([]unstructured.Unstructured, len(references))
	for i, reference := range references {
		absent[i].SetGroupVersionKind(reference.GroupVersionKind)
		absent[i].SetNamespace(reference.Namespace)
		absent[i].SetName(reference.Name)
	}
	return tenant.NewContent(source, objects, absent)
}

// insideVersion is that of the older replicas while a change of version is under way:
// kube-proxy must not be newer than an API server that it talks to
// (https://kubernetes.io/releases/version-skew-policy/#kube-proxy).
func (s *scope) insideVersion() string {
	if !s.rolledOut() && s.tcp.Status.Version != "" {
		return s.tcp.Status.Version
	}
	return s.tcp.Spec.Version
}

// observeTenant turns the session's observation into conditions.
func (s *scope) observeTenant(ctx context.Context) {
	seen := s.observation
	switch {
	case !seen.Asked && s.was(teapotv1.APIServerReadyCondition):
		// The manager has just started: what held a moment ago holds until it has asked,
		// which takes it seconds.
	case seen.Answered:
		s.setTrue(teapotv1.APIServerReadyCondition, "an authenticated request to %s was answered", s.input.MachinesURL())
	case seen.DatastoreDown:
		s.setFalse(teapotv1.DatastoreReadyCondition, teapotv1.ReasonNoQuorum, "the API server is alive but cannot read from etcd")
		s.setFalse(teapotv1.APIServerReadyCondition, teapotv1.ReasonNotAnswering, "the API server at %s is alive but does not answer requests that read from etcd", s.input.MachinesURL())
	case seen.Refused:
		s.setFalse(teapotv1.APIServerReadyCondition, teapotv1.ReasonRequestRefused,
			"the API server at %s answers, and refuses the manager's certificate (%s); compare the clocks of the nodes, and see its log", s.input.MachinesURL(), seen.Error)
	case s.input.NoVolume:
		s.setFalse(teapotv1.APIServerReadyCondition, teapotv1.ReasonWaitingForStorage, "the API server is started when etcd has a volume")
	case s.deployment.Status.ReadyReplicas == 0:
		reason, message := s.ailment(ctx, controlplane.ControlPlaneName)
		s.setFalse(teapotv1.APIServerReadyCondition, reason, "no control-plane pod is ready%s", message)
	default:
		s.requeueAfter(pollInterval)
		s.setFalse(teapotv1.APIServerReadyCondition, teapotv1.ReasonNotAnswering,
			"pods are ready but %s does not answer the manager (%s); check that the address and port are reachable from the management cluster", s.input.MachinesURL(), seen.Error)
	}

	switch {
	case seen.Applied == s.wanted.Hash:
		s.setTrue(teapotv1.AddonsReadyCondition, "%s", s.addonsMessage())
	case seen.ApplyError == "" && s.was(teapotv1.AddonsReadyCondition) && s.tcp.Status.ObservedGeneration == s.tcp.Generation:
		// As above: what was applied for this generation is applied again to make sure, or
		// follows a roll that has come to its end or the first machine.
	case seen.ApplyError != "":
		s.setFalse(teapotv1.AddonsReadyCondition, teapotv1.ReasonApplyFailed, "%s", seen.ApplyError)
	case !seen.Answered:
		s.setFalse(teapotv1.AddonsReadyCondition, teapotv1.ReasonWaitingForAPIServer, "waiting for the API server")
	default:
		s.setFalse(teapotv1.AddonsReadyCondition, teapotv1.ReasonApplying, "objects inside the tenant's cluster are being applied")
	}
}

// was says whether a condition was true when the reconcile began.
func (s *scope) was(kind string) bool {
	return meta.IsStatusConditionTrue(s.before.Status.Conditions, kind)
}

func (s *scope) addonsMessage() string {
	message := fmt.Sprintf("%d objects are applied inside the tenant's cluster", s.wanted.Count)
	if !s.observation.Machines {
		message += "; Deployments stand at 0 replicas until there is a machine"
	}
	return message
}
