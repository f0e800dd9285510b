package providers

import (
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What upstream's manifests ask of cert-manager, and this file does in its place.
const (
	certManagerGroup = "cert-manager.io"
	// injectAnnotation names the Certificate, as namespace/name, whose authority goes
	// into a webhook configuration or a CRD.
	injectAnnotation = "cert-manager.io/inject-ca-from"
)

// Certificate is a serving certificate with its key and the certificate of the authority
// that signed it, all PEM encoded.
type Certificate struct {
	CA, Cert, Key []byte
}

// Issue makes a certificate for DNS names.
type Issue func(hosts []string) (Certificate, error)

// certify replaces each of cert-manager's Certificates by the Secret that it asks for, and
// leaves the Issuers out. It returns the authority of each Certificate by its
// namespace/name.
func certify(all []*unstructured.Unstructured, issue Issue) ([]*unstructured.Unstructured, map[string][]byte, error) {
	var objects []*unstructured.Unstructured
	authorities := map[string][]byte{}
	for _, o := range all {
		kind := o.GroupVersionKind()
		switch {
		case kind.Group != certManagerGroup:
			objects = append(objects, o)
		case kind.Kind == "Certificate":
			hosts, _, err := unstructured.NestedStringSlice(o.Object, "spec", "dnsNames")
			if err != nil {
				return nil, nil, fmt.Errorf("certificate %s: %w", o.GetName(), err)
			}
			name, _, err := unstructured.NestedString(o.Object, "spec", "secretName")
			if err != nil {
				return nil, nil, fmt.Errorf("certificate %s: %w", o.GetName(), err)
			}
			certificate, err := issue(hosts)
			if err != nil {
				return nil, nil, fmt.Errorf("certificate %s: %w", o.GetName(), err)
			}
			authorities[o.GetNamespace()+"/"+o.GetName()] = certificate.CA
			objects = append(objects, certificate.secret(o.GetNamespace(), name))
		}
	}
	return objects, authorities, nil
}

// secret returns the Secret that a webhook's pod mounts.
func (c Certificate) secret(namespace, name string) *unstructured.Unstructured {
	encode := base64.StdEncoding.EncodeToString
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"type":       string(corev1.SecretTypeTLS),
		"data": map[string]any{
			"ca.crt":                encode(c.CA),
			corev1.TLSCertKey:       encode(c.Cert),
			corev1.TLSPrivateKeyKey: encode(c.Key),
		},
	}}
}

// inject puts the authority that the object's annotation names where the API server looks
// for it: into each webhook of a configuration, and into the conversion of a CRD that has
// a webhook for it.
func inject(o *unstructured.Unstructured, authorities map[string][]byte) error {
	name, ok := o.GetAnnotations()[injectAnnotation]
	if !ok {
		return nil
	}
	ca, ok := authorities[name]
	if !ok {
		return fmt.Errorf("annotation %s names Certificate %s, which is not among the manifests", injectAnnotation, name)
	}
	bundle := base64.StdEncoding.EncodeToString(ca)
	switch o.GetKind() {
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		if err != nil {
			return err
		}
		for _, w := range webhooks {
			webhook, ok := w.(map[string]any)
			if !ok {
				return fmt.Errorf("a webhook is not an object but %T", w)
			}
			if err := unstructured.SetNestedField(webhook, bundle, "clientConfig", "caBundle"); err != nil {
				return err
			}
		}
		return unstructured.SetNestedSlice(o.Object, webhooks, "webhooks")
	case "CustomResourceDefinition":
		client := []string{"spec", "conversion", "webhook", "clientConfig"}
		if _, converts, err := unstructured.NestedMap(o.Object, client...); err != nil || !converts {
			return err
		}
		return unstructured.SetNestedField(o.Object, bundle, append(client, "caBundle")...)
	default:
		return fmt.Errorf("annotation %s is not known at this kind", injectAnnotation)
	}
}
