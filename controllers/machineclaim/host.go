package machineclaim

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/apply"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/workers/claim"
	"github.com/teapot-cloud/teapot/workers/host"
)

// observeHost finds the host that the claim holds, or else the one that it names. A host that
// runs the claim's image is believed to do so from the cache; everything else is read live.
func (s *scope) observeHost(ctx context.Context) error {
	holder := host.HolderOf(s.claim)
	name, named := claim.HostOf(s.claim)
	if named {
		cached := &host.Object{}
		if err := s.Client.Get(ctx, name, cached); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading host %s: %w", name, err)
		}
		h := host.Of(cached)
		if h.HeldBy(holder) && h.Provisioned(s.claim.Spec.Image.URL) && !h.Deleting && s.claim.DeletionTimestamp.IsZero() {
			s.host = cached
			return nil
		}
		found, err := s.read(ctx, name)
		if err != nil {
			return err
		}
		s.host = found
		if found != nil {
			if h := host.Of(found); h.HeldBy(holder) {
				return nil
			}
		}
	}
	// The annotation may have been removed or changed by somebody else.
	if err := s.list(ctx); err != nil {
		return err
	}
	for i := range s.all {
		if !s.all[i].HeldBy(holder) || s.all[i].Key == name {
			continue
		}
		found, err := s.read(ctx, s.all[i].Key)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		if h := host.Of(found); h.HeldBy(holder) {
			s.host = found
			return nil
		}
	}
	return nil
}

// read reads a host live; nil: there is none.
func (s *scope) read(ctx context.Context, name types.NamespacedName) (*host.Object, error) {
	found := &host.Object{}
	if err := s.Live.Get(ctx, name, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // a host that is gone is an answer
		}
		return nil, fmt.Errorf("reading host %s: %w", name, err)
	}
	return found, nil
}

// list looks at all hosts that are known.
func (s *scope) list(ctx context.Context) (err error) {
	if s.all == nil {
		s.all, err = s.Hosts(ctx)
	}
	return err
}

// change reads a host live and changes it, if it is as it is allowed to be. The lock makes the
// write fail if anybody wrote to the host meanwhile.
func (s *scope) change(ctx context.Context, name types.NamespacedName, allowed func(*host.Host) bool, change func(*host.Object)) error {
	object, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if object == nil {
		return errOutdated
	}
	if h := host.Of(object); !allowed(&h) {
		return errOutdated
	}
	before := object.DeepCopy()
	change(object)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, object, patch, client.FieldOwner(teapotv1.FieldManager)); err != nil {
		return fmt.Errorf("changing host %s for MachineClaim %s: %w", name, client.ObjectKeyFromObject(s.claim), err)
	}
	s.host = object
	return nil
}

// intend writes which host is to be taken before it is touched, so that a manager that ends in
// between, or a stale cache, does not give the claim two.
func (s *scope) intend(ctx context.Context, name types.NamespacedName) error {
	return s.patchClaim(ctx, "noting the host", func(c *teapotv1.MachineClaim) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, teapotv1.HostAnnotation, name.String())
		delete(c.Annotations, teapotv1.AdmittedAnnotation)
		controllerutil.AddFinalizer(c, teapotv1.MachineClaimFinalizer)
	})
}

// take takes a host that the cache shows as fit, if it is so live. A claim with limits takes it at
// the revision that it was admitted to.
func (s *scope) take(ctx context.Context, name types.NamespacedName) error {
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if err := s.knowTenant(ctx); err != nil {
		return err
	}
	request, err := claim.NewRequest(s.claim, s.tenant.UID)
	if err != nil {
		return err
	}
	limited := claim.Limited(s.claim)
	fits := func(h *host.Host) bool {
		return request.Refuses(h) == host.Claimable && (!limited || claim.Admitted(s.claim, h))
	}
	return s.change(ctx, name, fits, func(o *host.Object) { host.Take(o, host.HolderOf(s.claim), s.tenant.UID) })
}

// knowTenant reads who the claim is to hosts, if that was not done yet.
func (s *scope) knowTenant(ctx context.Context) (err error) {
	if s.tenant.UID == "" {
		s.tenant, err = hosts.Reader{Client: s.Client, Live: s.Live}.Tenant(ctx, s.claim.Namespace)
	}
	return err
}

// provision puts the claim's data beside the host and asks for the image.
func (s *scope) provision(ctx context.Context, name types.NamespacedName) error {
	if err := s.confirm(ctx); err != nil {
		return err
	}
	data, err := s.readData(ctx)
	if err != nil || s.missing != "" {
		return err
	}
	wanted := host.Provisioning{Image: s.claim.Spec.Image, Cleaning: s.claim.Spec.AutomatedCleaningMode}
	for kind, into := range map[host.Data]*string{
		host.UserData: &wanted.UserData, host.MetaData: &wanted.MetaData, host.NetworkData: &wanted.NetworkData,
	} {
		content, ok := data[kind]
		if !ok {
			continue
		}
		secret := host.Secret(s.host, client.ObjectKeyFromObject(s.claim), kind, content)
		*into = secret.Name
		if _, err := (apply.Applier{Client: s.Client}).Apply(ctx, secret, apply.Options{Force: true}); err != nil {
			return err
		}
	}
	holder := host.HolderOf(s.claim)
	ready := func(h *host.Host) bool { return h.HeldBy(holder) && h.Available() }
	return s.change(ctx, name, ready, func(o *host.Object) { host.Provision(o, wanted) })
}

// readData reads the Secrets that the claim names, or finds out what is missing.
func (s *scope) readData(ctx context.Context) (map[host.Data][]byte, error) {
	data := map[host.Data][]byte{}
	s.missing = ""
	for _, named := range []struct {
		kind      host.Data
		reference *teapotv1.SecretReference
		keys      [2]string
	}{
		// Cluster API's bootstrap data is in the key value.
		{host.UserData, s.claim.Spec.UserData, [2]string{"value", string(host.UserData)}},
		{host.MetaData, s.claim.Spec.MetaData, [2]string{string(host.MetaData), "value"}},
		{host.NetworkData, s.claim.Spec.NetworkData, [2]string{string(host.NetworkData), "value"}},
	} {
		if named.reference == nil {
			continue
		}
		name := types.NamespacedName{Namespace: s.claim.Namespace, Name: named.reference.Name}
		secret := &corev1.Secret{}
		if err := s.Live.Get(ctx, name, secret); err != nil {
			if apierrors.IsNotFound(err) {
				s.missing = fmt.Sprintf("Secret %s, which spec.%s names, does not exist", name.Name, named.kind)
				return nil, nil
			}
			return nil, fmt.Errorf("reading Secret %s of MachineClaim %s: %w", name, s.claim.Name, err)
		}
		content, ok := secret.Data[named.keys[0]]
		if !ok {
			content, ok = secret.Data[named.keys[1]]
		}
		if !ok {
			s.missing = fmt.Sprintf("Secret %s, which spec.%s names, has neither the key %s nor %s", name.Name, named.kind, named.keys[0], named.keys[1])
			return nil, nil
		}
		data[named.kind] = content
	}
	return data, nil
}

// free removes the Secrets beside a host that is back, and then the hold of it. It then looks for
// another that the claim may hold, if managers ran at the same time: a claim that goes leaves
// none behind.
func (s *scope) free(ctx context.Context, name types.NamespacedName) error {
	if err := DeleteSecrets(ctx, s.Client, s.Live, client.ObjectKeyFromObject(s.claim), s.host); err != nil {
		return err
	}
	holder := host.HolderOf(s.claim)
	back := func(h *host.Host) bool {
		released, _ := h.Released()
		return released && h.HeldBy(holder)
	}
	if err := s.change(ctx, name, back, host.Free); err != nil {
		return err
	}
	return s.observeHost(ctx)
}

// DeleteSecrets deletes the Secrets of a claim beside one host. A claim of the same name, made
// anew, may have some beside another. The list is live: a cache may not have seen the newest.
func DeleteSecrets(ctx context.Context, writer client.Writer, live client.Reader, of types.NamespacedName, beside *host.Object) error {
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := live.List(ctx, secrets, client.InNamespace(beside.Namespace), client.MatchingLabels(host.SecretLabels(of))); err != nil {
		return fmt.Errorf("listing the Secrets of MachineClaim %s in namespace %s: %w", of, beside.Namespace, err)
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if !slices.ContainsFunc(secret.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.UID == beside.UID }) {
			continue
		}
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}}
		if err := writer.Delete(ctx, object, client.Preconditions{UID: ptr.To(secret.UID)}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Secret %s/%s of MachineClaim %s: %w", secret.Namespace, secret.Name, of, err)
		}
	}
	return nil
}
