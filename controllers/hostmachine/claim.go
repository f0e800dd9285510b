package hostmachine

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/workers/bootstrap"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

// waitForMachine waits for what Cluster API writes on an InfraMachine, and for its Cluster. A
// machine that has a claim needs neither to be shown.
func (s *scope) waitForMachine(context.Context) error {
	switch {
	case s.claim != nil:
		return nil
	case s.machine == nil:
		return s.wait(teapotv1.ReasonWaitingForMachine, "waiting for a Machine of Cluster API to own this object; it does if its spec.infrastructureRef names HostMachine %s", s.hm.Name)
	case s.cluster == nil:
		return s.wait(teapotv1.ReasonWaitingForCluster, "waiting for Cluster %s, which Machine %s names, to be made", s.clusterName(), s.machine.Name)
	}
	return nil
}

// begin writes the finalizer and the provider id before anything is made: what exists without the
// one could leak, and a machine that has been told the other must find it again.
func (s *scope) begin(ctx context.Context) error {
	if s.hm.Spec.ProviderID != "" && controllerutil.ContainsFinalizer(s.hm, teapotv1.HostMachineFinalizer) {
		return nil
	}
	return s.patch(ctx, "writing the finalizer and spec.providerID", func() {
		controllerutil.AddFinalizer(s.hm, teapotv1.HostMachineFinalizer)
		if s.hm.Spec.ProviderID == "" {
			s.hm.Spec.ProviderID = bootstrap.ProviderID(s.NewID())
		}
		if !s.provisioned() {
			metav1.SetMetaDataAnnotation(&s.hm.ObjectMeta, blockMoveAnnotation, "")
		}
	})
}

// waitForBootstrapData waits for the user data.
func (s *scope) waitForBootstrapData(context.Context) error {
	switch {
	case s.claim != nil:
		return nil
	case !ptr.Deref(s.cluster.Status.Initialization.InfrastructureProvisioned, false):
		return s.wait(teapotv1.ReasonWaitingForCluster, "waiting for status.initialization.infrastructureProvisioned of Cluster %s; see kubectl describe tenantcluster %s",
			s.cluster.Name, s.cluster.Spec.InfrastructureRef.Name)
	case ptr.Deref(s.machine.Spec.Bootstrap.DataSecretName, "") == "":
		return s.wait(teapotv1.ReasonWaitingForBootstrapData, "waiting for spec.bootstrap.dataSecretName of Machine %s, which Cluster API writes when %s %s is ready; its conditions say what that waits for",
			s.machine.Name, s.machine.Spec.Bootstrap.ConfigRef.Kind, s.machine.Spec.Bootstrap.ConfigRef.Name)
	}
	return nil
}

// ensureMetaData applies the Secret with the meta data, as long as it may be read.
func (s *scope) ensureMetaData(ctx context.Context) error {
	if s.machine == nil || s.provisioned() || s.claim != nil && !s.ours(s.claim) {
		return nil
	}
	data, err := bootstrap.MetaData(bootstrap.Machine{Name: s.machine.Name, ProviderID: s.hm.Spec.ProviderID})
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: s.owned(bootstrap.MetaDataSecretName(s.hm.Name)),
		Data:       map[string][]byte{bootstrap.MetaDataKey: data},
	}
	if err := controllerutil.SetControllerReference(s.hm, secret, s.Client.Scheme()); err != nil {
		return fmt.Errorf("setting the owner of Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	_, err = apply.Applier{Client: s.Client}.Apply(ctx, secret, apply.Options{})
	return err
}

// owned is the metadata of an object that belongs to the machine: with Cluster API's labels and the
// pool's, by which people select and machines are kept apart.
func (s *scope) owned(name string) metav1.ObjectMeta {
	labels := maps.Clone(s.hm.Labels)
	maps.DeleteFunc(labels, func(key, _ string) bool {
		group, _, _ := strings.Cut(key, "/")
		return group != clusterv1.GroupVersion.Group && key != teapotv1.PoolLabel
	})
	if labels == nil {
		labels = map[string]string{}
	}
	labels[clusterv1.ClusterNameLabel] = s.clusterName()
	labels[teapotv1.ManagedByLabel] = teapotv1.ManagedByTeapot
	return metav1.ObjectMeta{Namespace: s.hm.Namespace, Name: name, Labels: labels}
}

// ensureClaim makes the claim, unless the machine has had one that is gone: its host is given back
// and holds the machine no more, and another host with the same identity would be another
// machine. Cluster API replaces machines.
func (s *scope) ensureClaim(ctx context.Context) error {
	if s.claim == nil {
		// The cache may be behind.
		if err := s.findClaim(ctx, s.Live); err != nil {
			return err
		}
	}
	switch {
	case s.claim == nil && s.provisioned():
		return s.wait(teapotv1.ReasonHostLost, "MachineClaim %s was deleted, and its host given back; delete Machine %s, and its owner makes another",
			s.hm.Name, clusterapi.OwnerName(s.hm, "Machine"))
	case s.claim == nil:
		return s.makeClaim(ctx)
	case !s.ours(s.claim):
		return s.wait(teapotv1.ReasonWaitingForClaim, "MachineClaim %s exists and belongs to somebody else; delete it, or delete this machine", s.claim.Name)
	}
	return nil
}

func (s *scope) makeClaim(ctx context.Context) error {
	claim := &teapotv1.MachineClaim{
		ObjectMeta: s.owned(s.hm.Name),
		Spec: teapotv1.MachineClaimSpec{
			HostRequest:   *s.hm.Spec.HostRequest.DeepCopy(),
			UserData:      &teapotv1.SecretReference{Name: *s.machine.Spec.Bootstrap.DataSecretName},
			MetaData:      &teapotv1.SecretReference{Name: bootstrap.MetaDataSecretName(s.hm.Name)},
			FailureDomain: s.machine.Spec.FailureDomain,
		},
	}
	if err := controllerutil.SetControllerReference(s.hm, claim, s.Client.Scheme()); err != nil {
		return fmt.Errorf("setting the owner of MachineClaim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	if err := s.Client.Create(ctx, claim); err != nil {
		return fmt.Errorf("making MachineClaim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	log.FromContext(ctx).Info("made a claim", "machine", s.machine.Name, "providerID", s.hm.Spec.ProviderID)
	s.claim = claim
	return nil
}

// ours says whether a claim is this machine's.
func (s *scope) ours(claim *teapotv1.MachineClaim) bool { return metav1.IsControlledBy(claim, s.hm) }

func (s *scope) claimRef() string { return "MachineClaim " + s.hm.Name }

// showClaim maps the claim's status to what Cluster API's contract reads.
func (s *scope) showClaim(context.Context) error {
	observed, status := s.claim.Status, &s.hm.Status
	if meta.IsStatusConditionTrue(observed.Conditions, teapotv1.ProvisionedCondition) {
		// It stays true: Cluster API waits for it once.
		status.Initialization.Provisioned = ptr.To(true)
	}
	status.Addresses, status.FailureDomain, status.Host = s.addresses(), observed.FailureDomain, observed.Host
	ready := readiness(s.claim, s.provisioned())
	s.set(ready.Type, ready.Status, ready.Reason, "%s", ready.Message)
	return nil
}

// addresses are the host's, and the machine's own name, which it has in place of the one that
// inspection found.
func (s *scope) addresses() []clusterv1.MachineAddress {
	var addresses []clusterv1.MachineAddress
	name := clusterapi.OwnerName(s.hm, "Machine")
	for _, address := range s.claim.Status.Addresses {
		if address.Type == clusterv1.MachineHostName && name != "" {
			address.Address = name
		}
		addresses = append(addresses, address)
	}
	return addresses
}
