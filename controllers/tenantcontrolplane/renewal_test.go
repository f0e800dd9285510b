package tenantcontrolplane_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// leafLife is how long a certificate lives, kubeadm's year.
const leafLife = 365 * 24 * time.Hour

// certificates are a control plane's certificates, by namespace, Secret and key.
func certificates(t *testing.T, owner types.NamespacedName) map[string]*x509.Certificate {
	t.Helper()
	found := map[string]*x509.Certificate{}
	for _, namespace := range []string{owner.Namespace, controlplane.Namespace(owner)} {
		secrets := &corev1.SecretList{}
		if err := direct.List(t.Context(), secrets, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets.Items {
			for name, value := range secret.Data {
				if kubeconfig, err := clientcmd.Load(value); err == nil && len(kubeconfig.AuthInfos) > 0 {
					for _, user := range kubeconfig.AuthInfos {
						value = user.ClientCertificateData
					}
				}
				if parsed, err := certutil.ParseCertsPEM(value); err == nil {
					found[secret.Name+"/"+name] = parsed[0]
				}
			}
		}
	}
	return found
}

// generations are those of the pods' templates: a change of one rolls the pods.
func generations(t *testing.T, owner types.NamespacedName) (deployment, statefulSet string) {
	t.Helper()
	d, s := &appsv1.Deployment{}, &appsv1.StatefulSet{}
	for name, object := range map[string]client.Object{controlplane.ControlPlaneName: d, controlplane.EtcdName: s} {
		if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(owner), Name: name}, object); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(d.Spec.Template.Annotations), fmt.Sprint(s.Spec.Template.Annotations)
}

// TestCertificatesAreRenewedAtTwoThirdsOfTheirLife moves the clock. The certificates are made
// in the past, so that they are valid by the world's clock before and after.
func TestCertificatesAreRenewedAtTwoThirdsOfTheirLife(t *testing.T) {
	now := time.Now()
	due := leafLife * 2 / 3
	clock := clocktesting.NewFakePassiveClock(now.Add(-due - time.Hour))
	tcp := byHand(tenantNamespace(t))
	makeOne(t.Context(), t, tcp)
	h := newHand(t, key(tcp), clock, "", 0)
	t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
	if h.settle(t.Context(), t, isReady(t.Context(), key(tcp))) == nil {
		t.FailNow()
	}
	first := certificates(t, key(tcp))
	keys := keysOf(t.Context(), t, key(tcp))
	deployment, etcd := generations(t, key(tcp))
	if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	if got, want := tcp.Status.CertificatesExpire.Time, clock.Now().Add(leafLife); got.Sub(want).Abs() > time.Minute {
		t.Errorf("status says that certificates expire at %s, want %s", got, want)
	}

	// Just before, nothing happens, and the manager asks to be called when it is time.
	clock.SetTime(now.Add(-2 * time.Hour))
	before := len(h.Asked)
	result, err := h.once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Asked) != before {
		t.Errorf("it wrote before the time: %q", h.Asked[before:])
	}
	if at := clock.Now().Add(result.RequeueAfter); result.RequeueAfter == 0 || at.After(now.Add(time.Minute)) {
		t.Errorf("it asks to be called after %s", result.RequeueAfter)
	}

	clock.SetTime(now)
	if h.settle(t.Context(), t, isReady(t.Context(), key(tcp))) == nil {
		t.FailNow()
	}
	second := certificates(t, key(tcp))
	if !slices.Equal(slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(second))) {
		t.Errorf("there are other certificates than before: %q", slices.Sorted(maps.Keys(second)))
	}
	authority, err := certutil.ParseCertsPEM(keys["ca.crt"])
	if err != nil {
		t.Fatal(err)
	}
	for name, certificate := range second {
		renewed := !bytes.Equal(certificate.Raw, first[name].Raw)
		if certificate.IsCA && renewed {
			t.Errorf("authority %s is another", name)
		}
		if !certificate.IsCA && (!renewed || certificate.NotAfter.Sub(now.Add(leafLife)).Abs() > time.Minute) {
			t.Errorf("certificate %s was not renewed: it ends %s", name, certificate.NotAfter)
		}
		if strings.HasSuffix(name, "kubeconfig/value") && certificate.CheckSignatureFrom(authority[0]) != nil {
			t.Errorf("%s is not of the same authority", name)
		}
	}
	for _, name := range []string{controlplane.UserKubeconfigName("cp"), controlplane.KubeconfigName("cp")} {
		if second[name+"/value"] == nil {
			t.Errorf("no certificate was found in %s", name)
		}
	}
	if !maps.EqualFunc(keys, keysOf(t.Context(), t, key(tcp)), bytes.Equal) {
		t.Error("the authorities are others than before")
	}
	if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	if got, want := tcp.Status.CertificatesExpire.Time, now.Add(leafLife); got.Sub(want).Abs() > time.Minute {
		t.Errorf("status says that certificates expire at %s, want %s", got, want)
	}
	// The controller-manager, the scheduler and konnectivity read theirs at their start; etcd
	// reads its own at each handshake.
	if d, s := generations(t, key(tcp)); d == deployment || s != etcd {
		t.Errorf("the control plane was rolled = %v, want true; etcd was rolled = %v, want false", d != deployment, s != etcd)
	}
	for _, event := range h.told() {
		if strings.Contains(event, teapotv1.ReasonRepaired) {
			t.Errorf("a renewal is no repair: %s", event)
		}
	}
}

// TestOnlyWhatDoesNotReloadIsRolled loses each file of the pods' Secrets: it is issued anew,
// and only the components that read it once are restarted for it.
func TestOnlyWhatDoesNotReloadIsRolled(t *testing.T) {
	tcp := byHand(tenantNamespace(t))
	makeOne(t.Context(), t, tcp)
	h := newHand(t, key(tcp), clocktesting.NewFakePassiveClock(time.Now()), "", 0)
	t.Cleanup(func() { sweep(context.Background(), t, key(tcp)) })
	if h.settle(t.Context(), t, isReady(t.Context(), key(tcp))) == nil {
		t.FailNow()
	}
	for _, test := range []struct {
		secret, file string
		rolls        bool
	}{
		{controlplane.ControlPlaneName, "apiserver.crt", false},
		{controlplane.ControlPlaneName, "apiserver-kubelet-client.crt", false},
		{controlplane.ControlPlaneName, "apiserver-etcd-client.crt", false},
		{controlplane.ControlPlaneName, "front-proxy-client.crt", false},
		{controlplane.ControlPlaneName, "konnectivity-server.crt", true},
		{controlplane.ControlPlaneName, "konnectivity-server.conf", true},
		{controlplane.ControlPlaneName, "controller-manager.conf", true},
		{controlplane.ControlPlaneName, "scheduler.conf", true},
		{controlplane.EtcdName, "server.crt", false},
		{controlplane.EtcdName, "peer.crt", false},
		{controlplane.ManagerKubeconfigName, controlplane.KubeconfigKey, false},
	} {
		t.Run(test.secret+"/"+test.file, func(t *testing.T) {
			deployment, etcd := generations(t, key(tcp))
			before := certificates(t, key(tcp))
			secret := &corev1.Secret{}
			if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: test.secret}, secret); err != nil {
				t.Fatal(err)
			}
			delete(secret.Data, test.file)
			if err := direct.Update(t.Context(), secret, person); err != nil {
				t.Fatal(err)
			}
			h.told()
			if h.settle(t.Context(), t, isReady(t.Context(), key(tcp))) == nil {
				t.FailNow()
			}
			after := certificates(t, key(tcp))
			for name, certificate := range before {
				if issued, want := !after[name].Equal(certificate), name == test.secret+"/"+test.file; issued != want {
					t.Errorf("%s was issued anew = %v, want %v", name, issued, want)
				}
			}
			if d, s := generations(t, key(tcp)); (d != deployment) != test.rolls || s != etcd {
				t.Errorf("the control plane was rolled = %v, want %v; etcd was rolled = %v, want false", d != deployment, test.rolls, s != etcd)
			}
			if told := strings.Join(h.told(), "\n"); !strings.Contains(told, "Warning "+teapotv1.ReasonRepaired) {
				t.Errorf("no event tells of it: %s", told)
			}
		})
	}
}
