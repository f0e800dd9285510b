package tenantcontrolplane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/pki"
)

// errKeysMissing: data exists that depends on keys which do not.
var errKeysMissing = errors.New("keys missing")

// ensureCredentials makes the authorities once and keeps every certificate in date.
func (s *scope) ensureCredentials(ctx context.Context) error {
	authorities, err := s.authorities(ctx)
	var unusable *pki.UnusableError
	switch {
	case errors.Is(err, errKeysMissing):
		s.setFalse(teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysMissing,
			"etcd's volumes exist in namespace %s but Secret %s, which their data depends on, does not; restore the Secret from a backup, or delete the volume claims to start anew and lose the data",
			s.input.Namespace(), controlplane.AuthoritiesName)
		return waiting{after: pollInterval}
	case errors.As(err, &unusable):
		s.setFalse(teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysInvalid, "Secret %s/%s: %v", s.input.Namespace(), controlplane.AuthoritiesName, err)
		return waiting{after: pollInterval}
	case err != nil:
		return err
	}

	// What looks missing in the cache may just not be in it yet, and a second certificate
	// would roll the pods: nothing is issued before the API server itself was asked.
	observed, err := s.observeSecrets(ctx, s.Client)
	if err != nil {
		return err
	}
	credentials, issued, err := controlplane.PlanCredentials(s.input, authorities, observed, s.now)
	if err == nil && len(issued) > 0 {
		if observed, err = s.observeSecrets(ctx, s.Live); err != nil {
			return err
		}
		credentials, issued, err = controlplane.PlanCredentials(s.input, authorities, observed, s.now)
	}
	if err != nil {
		s.setFalse(teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysInvalid, "%v", err)
		return err
	}
	for _, certificate := range issued {
		if s.established() && altered(certificate.Reason) {
			s.tellRepair(controlplane.SecretOf(s.input, certificate.Leaf), "was changed or deleted by somebody else and is issued anew: certificate %s (%s)", certificate.Leaf, certificate.Message)
		}
		log.FromContext(ctx).Info("issued certificate", "certificate", certificate.Leaf, "reason", certificate.Reason, "message", certificate.Message)
	}
	first, renewal, err := credentials.Expiry()
	if err != nil {
		return err
	}
	s.requeueAfter(max(renewal.Sub(s.now), pollInterval))
	s.tcp.Status.CertificatesExpire = &metav1.Time{Time: first}
	s.input.Credentials = credentials
	s.setTrue(teapotv1.CertificatesReadyCondition, "certificates are valid until %s at least and are renewed before", first.UTC().Format(timeFormat))
	return nil
}

// authorities reads the keys that cannot be made anew, or makes them if nothing exists
// that depends on them. Creating the Secret is the decision: it succeeds once.
func (s *scope) authorities(ctx context.Context) (pki.Authorities, error) {
	key := types.NamespacedName{Namespace: s.input.Namespace(), Name: controlplane.AuthoritiesName}
	secret := &corev1.Secret{}
	err := s.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		err = s.Live.Get(ctx, key, secret)
	}
	if err == nil {
		authorities, err := pki.ParseAuthorities(secret.Data)
		if err == nil {
			err = s.labelAuthorities(ctx, secret)
		}
		return authorities, err
	}
	if !apierrors.IsNotFound(err) {
		return pki.Authorities{}, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	if s.paused {
		return pki.Authorities{}, waiting{}
	}

	claims := &corev1.PersistentVolumeClaimList{}
	if err := s.Live.List(ctx, claims, client.InNamespace(key.Namespace), client.Limit(1)); err != nil {
		return pki.Authorities{}, fmt.Errorf("looking for volume claims in namespace %s: %w", key.Namespace, err)
	}
	if len(claims.Items) > 0 {
		return pki.Authorities{}, errKeysMissing
	}
	authorities, err := pki.NewAuthorities(s.now)
	if err != nil {
		return pki.Authorities{}, fmt.Errorf("making the authorities of control plane %s: %w", s.input.Owner, err)
	}
	wanted := controlplane.AuthoritiesSecret(s.input, authorities)
	if err := s.Client.Create(ctx, wanted, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return pki.Authorities{}, fmt.Errorf("creating Secret %s: %w", key, err)
	}
	log.FromContext(ctx).Info("made certificate authorities and service-account keys", "secret", key)
	return authorities, nil
}

// labelAuthorities puts back the labels of a Secret that is otherwise never written to: they
// make it watched.
func (s *scope) labelAuthorities(ctx context.Context, secret *corev1.Secret) error {
	wanted := labels.Set(controlplane.OwnerLabels(s.input.Owner))
	if s.paused || labels.SelectorFromSet(wanted).Matches(labels.Set(secret.Labels)) {
		return nil
	}
	before := secret.DeepCopy()
	secret.Labels = labels.Merge(secret.Labels, wanted)
	if err := s.Client.Patch(ctx, secret, client.MergeFrom(before), client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return fmt.Errorf("labelling Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	s.tellRepair(secret, "lost labels of Teapot's and has them again: Secret %s", client.ObjectKeyFromObject(secret))
	return nil
}

// altered says of the reason for a new certificate that somebody else meddled with the old
// one: neither the time nor the spec asks for it.
func altered(reason pki.Reason) bool {
	return slices.Contains([]pki.Reason{
		pki.ReasonMissing, pki.ReasonUnreadable, pki.ReasonKeyMismatch, pki.ReasonSubjectDiffers, pki.ReasonUsagesDiffer,
	}, reason)
}

// observeSecrets reads the Secrets that hold certificates.
func (s *scope) observeSecrets(ctx context.Context, reader client.Reader) (controlplane.SecretData, error) {
	observed := controlplane.SecretData{}
	read := func(namespace string, names []string) error {
		for _, name := range names {
			secret := &corev1.Secret{}
			key := types.NamespacedName{Namespace: namespace, Name: name}
			if err := reader.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading Secret %s: %w", key, err)
			}
			observed[name] = secret.Data
		}
		return nil
	}
	if err := read(s.input.Namespace(), controlplane.OwnSecretNames()); err != nil {
		return nil, err
	}
	if err := read(s.input.Owner.Namespace, controlplane.TenantSecretNames(s.input)); err != nil {
		return nil, err
	}
	return observed, nil
}

// ensureTenantSecrets gives the tenant's namespace its kubeconfigs. A Secret of the same
// name that somebody else made is a conflict, not overwritten.
func (s *scope) ensureTenantSecrets(ctx context.Context) error {
	secrets, err := controlplane.TenantSecrets(s.input)
	if err != nil {
		return err
	}
	objects := make([]client.Object, len(secrets))
	for i, secret := range secrets {
		if err := controllerutil.SetControllerReference(s.tcp, secret, s.Client.Scheme()); err != nil {
			return err
		}
		objects[i] = secret
	}
	for _, object := range objects {
		if err := s.refuseForeign(ctx, object); err != nil {
			return err
		}
	}
	if err := s.apply(ctx, false, objects...); apierrors.IsConflict(err) {
		// Somebody else has written to a field of ours, in a Secret that is ours.
		if err := s.apply(ctx, true, objects...); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	s.tcp.Status.Secrets = &teapotv1.SecretsStatus{
		UserKubeconfig:       controlplane.UserKubeconfigName(s.tcp.Name),
		Kubeconfig:           controlplane.KubeconfigName(s.input.ClusterName),
		CertificateAuthority: controlplane.CertificateAuthorityName(s.input.ClusterName),
	}
	return nil
}

// refuseForeign fails if a Secret of that name in the tenant's namespace is somebody else's:
// applying would mix ours into it, and take it along when the control plane goes.
func (s *scope) refuseForeign(ctx context.Context, wanted client.Object) error {
	live, key := &corev1.Secret{}, client.ObjectKeyFromObject(wanted)
	err := s.Client.Get(ctx, key, live)
	if apierrors.IsNotFound(err) { // the cache knows those alone that are labelled as ours
		err = s.Live.Get(ctx, key, live)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading Secret %s: %w", key, err)
	case metav1.IsControlledBy(live, s.tcp), labels.SelectorFromSet(wanted.GetLabels()).Matches(labels.Set(live.Labels)):
		return nil
	default:
		return fmt.Errorf("Secret %s exists and does not belong to this control plane; delete or rename it, or choose another name for the control plane", key)
	}
}
