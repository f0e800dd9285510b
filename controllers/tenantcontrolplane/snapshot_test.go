package tenantcontrolplane_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// snapshot is everything that there is of a control plane, by kind and name, without what
// differs between two control planes of the same spec: names, times, addresses and ports that
// the API server chose, and key material. Of certificates it says whose they are and which of
// the authorities signed them.
func snapshot(ctx context.Context, t testing.TB, owner types.NamespacedName) map[string]string {
	t.Helper()
	own := controlplane.Namespace(owner)
	authorities := &corev1.Secret{}
	if err := direct.Get(ctx, types.NamespacedName{Namespace: own, Name: controlplane.AuthoritiesName}, authorities); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
	words := map[string]string{own: "OWN", owner.Namespace: "TENANT"}
	services := &corev1.ServiceList{}
	if err := direct.List(ctx, services, client.InNamespace(own)); err != nil {
		t.Error(err)
	}
	for _, service := range services.Items {
		if service.Spec.ClusterIP != corev1.ClusterIPNone {
			words[service.Spec.ClusterIP] = "IP-OF-" + service.Name
		}
		for _, port := range service.Spec.Ports {
			if port.NodePort != 0 {
				words[strconv.Itoa(int(port.NodePort))] = "PORT-" + port.Name
			}
		}
	}

	found := map[string]string{}
	note := func(object client.Object) {
		kind := fmt.Sprintf("%T", object)
		if secret, ok := object.(*corev1.Secret); ok {
			for name, value := range secret.Data {
				found[replace(words, fmt.Sprintf("%s %s/%s [%s]", kind, secret.Namespace, secret.Name, name))] = replace(words, describe(authorities, name, value))
			}
			secret.Data = nil
		}
		found[replace(words, kind+" "+client.ObjectKeyFromObject(object).String())] = replace(words, normalized(t, object))
	}
	for _, namespace := range []string{own, owner.Namespace} {
		for _, kind := range append(slices.Clone(inNamespaces), &corev1.ConfigMapList{}) {
			list := kind.DeepCopyObject().(client.ObjectList)
			if err := direct.List(ctx, list, client.InNamespace(namespace)); err != nil {
				t.Error(err)
			}
			for _, item := range itemsOf(list) {
				note(item)
			}
		}
	}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}},
		&teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: owner.Namespace, Name: owner.Name}},
	} {
		if err := direct.Get(ctx, client.ObjectKeyFromObject(object), object); err == nil {
			note(object)
		} else if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	return found
}

// replace puts words for what the API server chose, the longest first.
func replace(words map[string]string, text string) string {
	var chosen []string
	for word := range words {
		chosen = append(chosen, word)
	}
	slices.SortFunc(chosen, func(a, b string) int { return len(b) - len(a) })
	for _, word := range chosen {
		text = strings.ReplaceAll(text, word, words[word])
	}
	return text
}

// normalized is an object as JSON, without what no two objects have in common.
func normalized(t testing.TB, object client.Object) string {
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	object.SetCreationTimestamp(metav1.Time{})
	object.SetManagedFields(nil)
	references := object.GetOwnerReferences()
	for i := range references {
		references[i].UID = ""
	}
	object.SetOwnerReferences(references)
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Error(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(encoded, &fields); err != nil {
		t.Error(err)
	}
	drop(fields)
	if encoded, err = json.MarshalIndent(fields, "", " "); err != nil {
		t.Error(err)
	}
	return string(encoded)
}

// drop removes times, generations and hashes at any depth. A reconcile that writes nothing has
// shown that the hashes are right.
func drop(value any) {
	switch typed := value.(type) {
	case map[string]any:
		for _, name := range []string{
			"lastTransitionTime", "observedGeneration", "certificatesExpire", "creationTimestamp", "clusterIPs",
			teapotv1.AppliedHashAnnotation, teapotv1.ControlPlaneUIDAnnotation, "teapot.dev/credentials-hash",
			"since", teapotv1.GatewaySinceAnnotation, teapotv1.GatewayAsleepSinceAnnotation, teapotv1.GatewayCAAnnotation,
		} {
			delete(typed, name)
		}
		if message, ok := typed["message"].(string); ok && strings.HasPrefix(message, "certificates are valid until") {
			delete(typed, "message")
		}
		if conditions, ok := typed["conditions"].([]any); ok {
			slices.SortFunc(conditions, func(a, b any) int { // they are in the order of their first writing
				return strings.Compare(fmt.Sprint(a.(map[string]any)["type"]), fmt.Sprint(b.(map[string]any)["type"]))
			})
		}
		for _, child := range typed {
			drop(child)
		}
	case []any:
		for _, child := range typed {
			drop(child)
		}
	}
}

// describe says of a Secret's value what it is to the authorities.
func describe(authorities *corev1.Secret, name string, value []byte) string {
	for known, authority := range authorities.Data {
		if string(authority) == string(value) {
			return "authority's " + known
		}
	}
	if kubeconfig, err := clientcmd.Load(value); err == nil && len(kubeconfig.Clusters) > 0 {
		text := ""
		for cluster, c := range kubeconfig.Clusters {
			text += fmt.Sprintf("cluster %s at %s (%s) of %s; ", cluster, c.Server, c.TLSServerName, describe(authorities, "", c.CertificateAuthorityData))
		}
		for user, u := range kubeconfig.AuthInfos {
			text += fmt.Sprintf("user %s with %s", user, describe(authorities, "", u.ClientCertificateData))
		}
		return text
	}
	block, _ := pem.Decode(value)
	switch {
	case block == nil:
		return string(value)
	case block.Type != "CERTIFICATE":
		return block.Type
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err.Error()
	}
	signer := "nobody"
	for known, authority := range authorities.Data {
		if parsed, err := certutil.ParseCertsPEM(authority); err == nil && certificate.CheckSignatureFrom(parsed[0]) == nil {
			signer = known
		}
	}
	return fmt.Sprintf("certificate of %s for %q %q by %s", certificate.Subject, certificate.DNSNames, certificate.IPAddresses, signer)
}

// differences lists what two snapshots do not have in common.
func differences(want, got map[string]string) []string {
	var all []string
	for name, value := range want {
		switch other, ok := got[name]; {
		case !ok:
			all = append(all, name+" is missing")
		case other != value:
			all = append(all, fmt.Sprintf("%s: %s", name, cmp.Diff(value, other)))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			all = append(all, name+" is too much: "+got[name])
		}
	}
	slices.Sort(all)
	return all
}
