package tenantcontrolplane_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestKeysThatSomebodyChangesAreLeftToAPerson: the Secret of what cannot be made anew.
func TestKeysThatSomebodyChangesAreLeftToAPerson(t *testing.T) {
	tcp := readyOne(t, nil)
	at := types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.AuthoritiesName}
	authorities := &corev1.Secret{}
	if err := direct.Get(t.Context(), at, authorities); err != nil {
		t.Fatal(err)
	}
	backup := authorities.DeepCopy()
	pods := &appsv1.Deployment{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: at.Namespace, Name: controlplane.ControlPlaneName}, pods); err != nil {
		t.Fatal(err)
	}

	for name := range backup.Data {
		authorities.Data = maps.Clone(backup.Data)
		authorities.Data[name] = []byte("garbage")
		if err := direct.Update(t.Context(), authorities, person); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the condition to name "+name, func() error {
			message := condition(t, tcp, teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysInvalid)
			if !strings.Contains(message, strings.TrimSuffix(strings.TrimSuffix(name, ".key"), ".pub")) {
				return errors.New(message)
			}
			return nil
		})
		condition(t, tcp, teapotv1.StalledCondition, teapotv1.ReasonKeysInvalid)
	}

	authorities.Data = backup.Data
	authorities.Labels = nil
	if err := direct.Update(t.Context(), authorities, person); err != nil {
		t.Fatal(err)
	}
	condition(t, tcp, teapotv1.CertificatesReadyCondition, teapotv1.ReasonReady)
	eventually(t, "the labels to return", func() error {
		if err := direct.Get(t.Context(), at, authorities); err != nil {
			return err
		}
		if !maps.Equal(authorities.Labels, backup.Labels) {
			return fmt.Errorf("labels are %v", authorities.Labels)
		}
		return nil
	})

	if err := direct.Delete(t.Context(), authorities); err != nil {
		t.Fatal(err)
	}
	condition(t, tcp, teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysMissing)
	condition(t, tcp, teapotv1.StalledCondition, teapotv1.ReasonKeysMissing)
	lookAgain(t, tcp)
	lookAgain(t, tcp)
	if err := direct.Get(t.Context(), at, authorities); !apierrors.IsNotFound(err) {
		t.Fatalf("keys were made anew: %v", err)
	}

	backup.ResourceVersion, backup.UID = "", ""
	if err := direct.Create(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
	now := &appsv1.Deployment{}
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(pods), now); err != nil {
		t.Fatal(err)
	}
	if now.Generation != pods.Generation {
		t.Error("the pods were rolled, though the same keys are there as before")
	}
}

// TestASecretWithNothingInCommonIsRefused: not even its absence of our keys makes it ours.
func TestASecretWithNothingInCommonIsRefused(t *testing.T) {
	for _, name := range []string{controlplane.UserKubeconfigName("cp"), controlplane.KubeconfigName("cp"), controlplane.CertificateAuthorityName("cp")} {
		t.Run(name, func(t *testing.T) {
			tenant := tenantNamespace(t)
			theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: name}, Data: map[string][]byte{"theirs": []byte("x")}}
			if err := direct.Create(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Namespace = tenant })
			message := condition(t, tcp, teapotv1.ReadyCondition, teapotv1.ReasonReconcileFailed)
			if !strings.Contains(message, tenant+"/"+name) || !strings.Contains(message, "delete or rename it") {
				t.Errorf("the message names neither object nor remedy: %s", message)
			}
			version := theirs.ResourceVersion
			if err := direct.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil || theirs.ResourceVersion != version {
				t.Errorf("it was written to: %v, %v", theirs, err)
			}
			if err := direct.Delete(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			applied(t, tcp)
		})
	}
}
