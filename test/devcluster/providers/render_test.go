package providers

import (
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// manifests are in the shape of upstream's: what each of them has at least once.
const manifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: x-controller-manager, namespace: x-system}
spec:
  minReadySeconds: 10
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
      - name: manager
        image: example.org/staging:main
        imagePullPolicy: Always
        args: ["--leader-elect", "--gates=A=${EXP_A:=true},B=${EXP_B:=false}", "--listen=${LISTEN:=:8443}", "--pod=$(POD_NAME)"]
        readinessProbe: {httpGet: {path: /readyz, port: 9440}, initialDelaySeconds: 10, periodSeconds: 10}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: env, namespace: x-system}
data: {ENDPOINT: http://192.0.2.1, CACHEURL: http://192.0.2.2}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: selfsigned, namespace: x-system}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: serving, namespace: x-system}
spec:
  dnsNames: [x-webhook.x-system.svc, x-webhook.x-system.svc.cluster.local]
  issuerRef: {kind: Issuer, name: selfsigned}
  secretName: x-webhook-cert
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: x, annotations: {cert-manager.io/inject-ca-from: x-system/serving}}
webhooks:
- {name: one.x, clientConfig: {service: {name: x-webhook, namespace: x-system}}}
- {name: two.x, clientConfig: {service: {name: x-webhook, namespace: x-system}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: xs.example.org, annotations: {cert-manager.io/inject-ca-from: x-system/serving}}
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: x-webhook, namespace: x-system}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ys.example.org, annotations: {cert-manager.io/inject-ca-from: x-system/serving}}
spec: {group: example.org}
---
apiVersion: v1
kind: Namespace
metadata: {name: x-system}
`

// example is the provider that manifests are for.
func example() Provider {
	return Provider{
		Name: "x", Version: "v1", Namespace: "x-system", Deployment: "x-controller-manager",
		Image: "registry.example/x:v1", Variables: map[string]string{"EXP_B": "on"}, Args: []string{"--leader-elect=false"},
		ConfigMap: "env", Env: map[string]string{"ENDPOINT": "http://203.0.113.1"},
	}
}

// issuer makes certificates that tell for which names, and how often it was asked.
func issuer(calls *int) Issue {
	return func(hosts []string) (Certificate, error) {
		*calls++
		names := strings.Join(hosts, ",")
		return Certificate{CA: []byte("CA"), Cert: []byte("for " + names), Key: []byte("key")}, nil
	}
}

// find returns the only object of a kind and name.
func find(t *testing.T, r *Rendered, kind, name string) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(r.Objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	return r.Objects[i]
}

// typed turns an object into one of its Go type.
func typed[T any](t *testing.T, o *unstructured.Unstructured) T {
	t.Helper()
	var object T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestRenderCertificates(t *testing.T) {
	var calls int
	r, err := example().Render([]byte(manifests), "build-1", issuer(&calls))
	if err != nil {
		t.Fatal(err)
	}
	if calls != 1 {
		t.Errorf("%d certificates made, want 1", calls)
	}
	for _, o := range r.Objects {
		if o.GroupVersionKind().Group == certManagerGroup {
			t.Errorf("%s %s is left, for which there is no CRD", o.GetKind(), o.GetName())
		}
	}
	secret := typed[corev1.Secret](t, find(t, r, "Secret", "x-webhook-cert"))
	if secret.Namespace != "x-system" || secret.Type != corev1.SecretTypeTLS ||
		string(secret.Data["tls.crt"]) != "for x-webhook.x-system.svc,x-webhook.x-system.svc.cluster.local" ||
		string(secret.Data["tls.key"]) != "key" {
		t.Errorf("Secret %v", secret)
	}
	const bundle = "Q0E="
	webhooks, _, _ := unstructured.NestedSlice(find(t, r, "ValidatingWebhookConfiguration", "x").Object, "webhooks")
	for _, w := range webhooks {
		if got, _, _ := unstructured.NestedString(w.(map[string]any), "clientConfig", "caBundle"); got != bundle {
			t.Errorf("webhook %v has authority %q", w, got)
		}
	}
	converted := find(t, r, "CustomResourceDefinition", "xs.example.org")
	if got, _, _ := unstructured.NestedString(converted.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle"); got != bundle {
		t.Errorf("the conversion's authority is %q", got)
	}
	if _, has, _ := unstructured.NestedFieldNoCopy(find(t, r, "CustomResourceDefinition", "ys.example.org").Object, "spec", "conversion"); has {
		t.Error("a CRD without conversion got one")
	}
}

func TestRenderDeployment(t *testing.T) {
	var calls int
	r, err := example().Render([]byte(manifests), "build-1", issuer(&calls))
	if err != nil {
		t.Fatal(err)
	}
	if first, last := r.Objects[0].GetKind(), r.Objects[len(r.Objects)-1].GetKind(); first != "Namespace" || last != "Deployment" {
		t.Errorf("applied from %s to %s, want from Namespace to Deployment", first, last)
	}
	d := typed[appsv1.Deployment](t, find(t, r, "Deployment", "x-controller-manager"))
	c := d.Spec.Template.Spec.Containers[0]
	if c.Image != "registry.example/x:v1" || c.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("image %s, %s: only the loaded one can be had", c.Image, c.ImagePullPolicy)
	}
	want := []string{"--leader-elect", "--gates=A=true,B=on", "--listen=:8443", "--pod=$(POD_NAME)", "--leader-elect=false"}
	if !slices.Equal(c.Args, want) {
		t.Errorf("arguments %q, want %q", c.Args, want)
	}
	if d.Spec.MinReadySeconds != 0 || c.ReadinessProbe.InitialDelaySeconds != 0 || c.ReadinessProbe.PeriodSeconds != 1 {
		t.Errorf("available after %d s, probed %v", d.Spec.MinReadySeconds, c.ReadinessProbe)
	}
	if d.Annotations[DigestAnnotation] != r.Digest || d.Spec.Template.Annotations[DigestAnnotation] != r.Digest {
		t.Errorf("annotations %v and %v, want digest %s", d.Annotations, d.Spec.Template.Annotations, r.Digest)
	}
	env := typed[corev1.ConfigMap](t, find(t, r, "ConfigMap", "env"))
	if len(env.Data) != 1 || env.Data["ENDPOINT"] != "http://203.0.113.1" {
		t.Errorf("environment %v, want upstream's example replaced", env.Data)
	}
}

// The digest decides whether anything is applied: it must not change by itself, nor miss
// a change.
func TestRenderDigest(t *testing.T) {
	digest := func(p Provider, manifests, revision string) string {
		serial := 0
		r, err := p.Render([]byte(manifests), revision, func([]string) (Certificate, error) {
			serial++
			return Certificate{CA: []byte{byte(serial)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	reference := digest(example(), manifests, "build-1")
	if again := digest(example(), manifests, "build-1"); again != reference {
		t.Errorf("the same input gives %s and %s", reference, again)
	}
	other := example()
	other.Env = map[string]string{"ENDPOINT": "http://203.0.113.2"}
	for name, got := range map[string]string{
		"the image's build": digest(example(), manifests, "build-2"),
		"the environment":   digest(other, manifests, "build-1"),
		"a manifest":        digest(example(), strings.Replace(manifests, "two.x", "three.x", 1), "build-1"),
	} {
		if got == reference {
			t.Errorf("a change of %s does not change the digest", name)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	with := func(change func(*Provider)) Provider {
		p := example()
		change(&p)
		return p
	}
	issued := errors.New("no entropy")
	for _, tc := range []struct {
		name      string
		provider  Provider
		manifests string
		issue     Issue
		want      string
	}{
		{"a Deployment of another name", with(func(p *Provider) { p.Deployment = "y" }), manifests, nil, "no Deployment y"},
		{"a ConfigMap of another name", with(func(p *Provider) { p.ConfigMap = "y" }), manifests, nil, "no ConfigMap y"},
		{"a variable that nothing uses", with(func(p *Provider) { p.Variables = map[string]string{"EXP_C": ""} }), manifests, nil, "EXP_C"},
		{"a variable without a value", example(), strings.Replace(manifests, "LISTEN:=:8443", "LISTEN", 1), nil, "LISTEN"},
		{"another container", example(), strings.Replace(manifests, "name: manager", "name: main", 1), nil, `container "manager"`},
		{"an authority that is not there", example(), strings.Replace(manifests, "name: serving,", "name: other,", 1), nil, "x-system/serving"},
		{"what is not YAML", example(), "a: b: c", nil, "document 1"},
		{"no certificate", example(), manifests, func([]string) (Certificate, error) { return Certificate{}, issued }, "no entropy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var calls int
			if tc.issue == nil {
				tc.issue = issuer(&calls)
			}
			_, err := tc.provider.Render([]byte(tc.manifests), "build-1", tc.issue)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "x v1") {
				t.Errorf("error %v, want one that names the provider and %s", err, tc.want)
			}
		})
	}
}
