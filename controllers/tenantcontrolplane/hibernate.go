package tenantcontrolplane

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/controlplane/hibernation"
	"github.com/teapot-cloud/teapot/controlplane/route"
)

// sleep is what a reconcile knows of hibernation.
type sleep struct {
	// lease is the record; nil while there is none.
	lease  *coordinationv1.Lease
	record hibernation.Record
	// decision is what was decided now.
	decision hibernation.Decision
	// waits says what is waited for on the way down or up; empty if nothing is.
	waits string
	// left says which machines were not waited for any longer.
	left string
}

// asleep says that the control plane sleeps, or is to.
func (s *scope) asleep() bool { return s.sleep.decision.State == hibernation.Asleep }

// hibernate decides whether the control plane sleeps, records that before anything follows from it, and
// finds out how far it may be stopped now.
func (s *scope) hibernate(ctx context.Context) error {
	if err := s.readRecord(ctx, s.Client); err != nil {
		return err
	}
	if s.sleep.lease == nil && s.tcp.Spec.Hibernation == nil && s.input.Gateway.ServerName == "" {
		s.sleep.decision = hibernation.Decision{State: hibernation.Awake, Reason: hibernation.ReasonAwake}
		return nil
	}
	s.decide()
	if s.paused {
		// Nothing is changed: what was decided before stays.
		s.sleep.decision.State = hibernation.Awake
		if s.sleep.record.State == hibernation.Asleep {
			s.sleep.decision.State = hibernation.Asleep
		}
	} else if err := s.recordDecision(ctx); err != nil {
		return err
	}
	if after := s.sleep.decision.RecheckAfter; after > 0 {
		s.requeueAfter(after)
	}
	if s.asleep() {
		return s.stop(ctx)
	}
	s.stopping.Delete(s.input.Owner)
	return nil
}

// readRecord reads the Lease, and what it says of earlier decisions.
func (s *scope) readRecord(ctx context.Context, reader client.Reader) error {
	lease := &coordinationv1.Lease{}
	key := types.NamespacedName{Namespace: s.input.Namespace(), Name: route.LeaseName}
	s.sleep.lease, s.sleep.record = nil, hibernation.Record{EverRan: s.initialized()}
	switch err := reader.Get(ctx, key, lease); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading Lease %s: %w", key, err)
	}
	s.sleep.lease = lease
	was, err := route.Read(lease)
	if err != nil {
		// Somebody wrote into it: what can be read is lost, and is decided again.
		log.FromContext(ctx).Error(err, "the record of hibernation cannot be read")
		return nil
	}
	if was.Decided {
		s.sleep.record.State = hibernation.Awake
		if was.Asleep {
			s.sleep.record.State = hibernation.Asleep
		}
	}
	s.sleep.record.Since, s.sleep.record.AsleepSince, s.sleep.record.Reason = was.Since, was.AsleepSince, was.Reason
	return nil
}

// decide asks the pure part.
func (s *scope) decide() {
	in := hibernation.Input{
		Spec:        s.tcp.Spec.Hibernation,
		Deleting:    !s.tcp.DeletionTimestamp.IsZero(),
		Created:     s.tcp.CreationTimestamp.Time,
		Record:      s.sleep.record,
		Operation:   s.operation(),
		Busy:        s.busy(),
		WorkersKept: s.inCluster && controlplane.WorkersAtRest(s.tcp.Spec) != teapotv1.HibernatedWorkersRelease,
		Now:         s.now,
	}
	if at, err := time.Parse(time.RFC3339, s.tcp.Annotations[teapotv1.HibernationRequestedAtAnnotation]); err == nil {
		in.RequestedAt = at
	}
	in.Users.Connections, in.Users.Last = s.users()
	in.WakeRequested = s.wakeRequested()
	s.sleep.decision = hibernation.Decide(in)
}

// wakeRequested is when a user last asked for the control plane while it slept.
func (s *scope) wakeRequested() time.Time {
	if s.sleep.lease == nil {
		return time.Time{}
	}
	return route.WakeRequested(s.sleep.lease)
}

// users is how many users' connections are open through the gateway, and when there last was one.
func (s *scope) users() (connections int, last time.Time) {
	if s.sleep.lease == nil {
		return 0, time.Time{}
	}
	return route.Users(s.sleep.lease, s.now)
}

// operation is what is finished before the control plane sleeps: a roll that its Deployment has not
// given up.
func (s *scope) operation() string {
	d := &s.running.deployment
	if d.Name == "" || ptr.Deref(d.Spec.Replicas, 1) == 0 {
		return ""
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentProgressing && condition.Status == corev1.ConditionFalse {
			return "" // it takes longer than spec.progressDeadlineSeconds
		}
	}
	if d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= ptr.Deref(d.Spec.Replicas, 1) && d.Status.Replicas == d.Status.UpdatedReplicas {
		return ""
	}
	return "its pods are being replaced"
}

// recordDecision writes the decision, and where the gateway finds the control plane, onto the Lease.
// What was decided from a cache that may be behind is decided again from the API server before it is
// changed: a second record of the same decision would make requests since the first count for nothing.
func (s *scope) recordDecision(ctx context.Context) error {
	if s.sleep.decision.State != s.sleep.record.State {
		if err := s.readRecord(ctx, s.Live); err != nil {
			return err
		}
		s.decide()
	}
	was, decision := s.sleep.record, s.sleep.decision
	s.sleep.record = was.After(decision, s.wakeRequested(), s.now)
	record := s.sleep.record
	if was.State != record.State && (was.State != "" || s.asleep()) {
		s.Recorder.Eventf(s.tcp, nil, corev1.EventTypeNormal, decision.Reason, string(decision.State), "%s", decision.Message)
		log.FromContext(ctx).Info("decided", "state", decision.State, "reason", decision.Reason)
	}
	wanted := route.Route{
		Owner: s.input.Owner, Host: s.input.Gateway.ServerName, Backend: s.backend(),
		CertificateAuthority: string(s.input.Credentials.Authorities.Cluster.Cert),
		Asleep:               s.asleep(), Since: record.Since, Reason: record.Reason, AsleepSince: record.AsleepSince,
		WakeOnRequest: hibernation.WakesOnRequest(s.tcp.Spec.Hibernation),
	}.Lease()
	err := s.apply(ctx, false, wanted)
	if apierrors.IsConflict(err) { // somebody else has written to a field of ours
		err = s.apply(ctx, true, wanted)
	}
	if err != nil {
		return err
	}
	return s.forgetGateways(ctx)
}

// forgetGateways removes the word of gateway pods that are gone.
func (s *scope) forgetGateways(ctx context.Context) error {
	if s.sleep.lease == nil {
		return nil
	}
	stale := route.StaleActivities(s.sleep.lease, s.now)
	if len(stale) == 0 {
		return nil
	}
	after := s.sleep.lease.DeepCopy()
	for _, key := range stale {
		delete(after.Annotations, key)
	}
	if err := s.Client.Patch(ctx, after, client.MergeFrom(s.sleep.lease), client.FieldOwner(teapotv1.FieldManager)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing what gateways that are gone wrote to Lease %s: %w", client.ObjectKeyFromObject(after), err)
	}
	return nil
}

// backend is where the gateway finds the API server: inside the management cluster.
func (s *scope) backend() netip.AddrPort {
	address, err := netip.ParseAddr(s.service.Spec.ClusterIP)
	if err != nil || len(s.service.Spec.Ports) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(address, uint16(s.service.Spec.Ports[0].Port))
}

// summarizeHibernation writes the phase and the condition, and reports whether the control plane is
// awake as far as Ready is concerned.
func (s *scope) summarizeHibernation() bool {
	decision, record := s.sleep.decision, s.sleep.record
	if decision.State == "" {
		return s.tcp.Status.Hibernation == nil || s.tcp.Status.Hibernation.Phase == teapotv1.HibernationAwake // not got to
	}
	phase := s.phase()
	status := &teapotv1.HibernationStatus{
		Phase: phase, Reason: decision.Reason, Message: joinSentences(decision.Message, decision.Problem, s.sleep.waits, s.sleep.left, s.withoutGateway()),
		NextChange: decision.Next, AwakeBecause: decision.AwakeBecause,
	}
	if !record.Since.IsZero() {
		status.Since = ptr.To(metav1.NewTime(record.Since.Truncate(time.Second)))
	}
	s.tcp.Status.Hibernation = status
	reason := string(phase) // ReasonAwake, ReasonHibernating, ReasonAsleep or ReasonWaking
	switch {
	case phase == teapotv1.HibernationAsleep:
		s.set(teapotv1.HibernatedCondition, metav1.ConditionTrue, reason, "%s", status.Message)
	case s.tcp.Spec.Hibernation != nil || !record.AsleepSince.IsZero():
		s.setFalse(teapotv1.HibernatedCondition, reason, "%s", status.Message)
	}
	return phase == teapotv1.HibernationAwake || phase == teapotv1.HibernationWaking
}

// withoutGateway says what spec asks for that nobody can do.
func (s *scope) withoutGateway() string {
	spec := s.tcp.Spec.Hibernation
	if spec == nil || s.input.Gateway.ServerName != "" {
		return ""
	}
	switch {
	case spec.IdleAfter == nil:
		return ""
	case s.tcp.Spec.Endpoint.Gateway == teapotv1.GatewayDisabled:
		return "Users do not come through the gateway (spec.endpoint.gateway is Disabled): nobody knows of their connections, and no request wakes the control plane."
	case s.noGateway != "":
		return "Nobody knows of users' connections, and no request wakes the control plane: " + s.noGateway + "."
	default:
		return "Teapot runs without a gateway: nobody knows of users' connections, and no request wakes the control plane. Install the chart with gateway.enabled."
	}
}

func (s *scope) phase() teapotv1.HibernationPhase {
	switch {
	case s.asleep() && s.input.Rest == controlplane.RestEtcd && s.sleep.waits == "":
		return teapotv1.HibernationAsleep
	case s.asleep():
		return teapotv1.HibernationHibernating
	case !s.sleep.record.AsleepSince.IsZero() && (s.sleep.waits != "" || !s.observation.Answered && s.wasWaking()):
		return teapotv1.HibernationWaking
	default:
		return teapotv1.HibernationAwake
	}
}

// wasWaking says that the control plane has not answered since it was to come back.
func (s *scope) wasWaking() bool {
	was := s.before.Status.Hibernation
	return was == nil || was.Phase != teapotv1.HibernationAwake
}

func joinSentences(sentences ...string) string {
	said := slices.DeleteFunc(sentences, func(sentence string) bool { return sentence == "" })
	return strings.Join(said, " ")
}
