package tenantcontrolplane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// condition waits until a condition has a reason and returns its message.
func condition(t *testing.T, tcp *teapotv1.TenantControlPlane, kind, reason string) string {
	t.Helper()
	var message string
	eventually(t, kind+" to be "+reason, func() error {
		if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
			return err
		}
		c := meta.FindStatusCondition(tcp.Status.Conditions, kind)
		if c == nil || c.Reason != reason {
			return fmt.Errorf("conditions are %+v", tcp.Status.Conditions)
		}
		message = c.Message
		return nil
	})
	return message
}

// applied waits until everything of the control plane was applied.
func applied(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	eventually(t, "everything to be applied", func() error {
		if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
			return err
		}
		if tcp.Status.Secrets == nil || tcp.Status.ObservedGeneration != tcp.Generation {
			return fmt.Errorf("status is %+v", tcp.Status)
		}
		return nil
	})
}

// remove deletes a control plane and plays the namespace controller, which does not run
// beside a bare API server: it empties the namespace and lets go of it.
func remove(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	t.Helper()
	ctx := context.Background()
	if err := direct.Delete(ctx, tcp); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
	clientset := kubernetes.NewForConfigOrDie(config)
	eventually(t, "the control plane to be gone", func() error {
		namespace, err := clientset.CoreV1().Namespaces().Get(ctx, controlplane.Namespace(key(tcp)), metav1.GetOptions{})
		if err == nil && namespace.DeletionTimestamp != nil {
			namespace.Spec.Finalizers = nil
			if _, err := clientset.CoreV1().Namespaces().Finalize(ctx, namespace, metav1.UpdateOptions{}); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
		err = direct.Get(ctx, key(tcp), tcp)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("it is still there: %+v", tcp.Status.Conditions))
	})
}

func TestEverythingIsAppliedOnceAndThenLeftAlone(t *testing.T) {
	tcp := create(t, nil)
	applied(t, tcp)

	namespace := controlplane.Namespace(key(tcp))
	own := client.InNamespace(namespace)
	for list, want := range map[client.ObjectList]int{
		&appsv1.DeploymentList{}:            1,
		&appsv1.StatefulSetList{}:           1,
		&corev1.ServiceList{}:               3,
		&networkingv1.NetworkPolicyList{}:   3,
		&corev1.SecretList{}:                4,
		&corev1.ServiceAccountList{}:        2,
		&corev1.PersistentVolumeClaimList{}: 0,
	} {
		if err := direct.List(t.Context(), list, own); err != nil {
			t.Fatal(err)
		}
		if got := meta.LenList(list); got != want {
			t.Errorf("%T has %d items, want %d", list, got, want)
		}
	}

	service := &corev1.Service{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: controlplane.ControlPlaneName}, service); err != nil {
		t.Fatal(err)
	}
	if got, want := tcp.Status.Endpoint.URL, fmt.Sprintf("https://127.0.0.1:%d", service.Spec.Ports[0].NodePort); got != want {
		t.Errorf("endpoint is %s, want %s", got, want)
	}

	// A change that means nothing makes the controller look at everything again.
	before := len(writes.About(namespace))
	metav1.SetMetaDataAnnotation(&tcp.ObjectMeta, "looked-at", "again")
	if err := direct.Update(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	tcp.Spec.Replicas = ptr.To[int32](2)
	if err := direct.Update(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	applied(t, tcp)
	for _, write := range writes.About(namespace)[before:] {
		// Of several pods the Service publishes those that are ready, of one also one that starts.
		if !strings.Contains(write, "/deployments/") && !strings.Contains(write, "/poddisruptionbudgets/") && !strings.HasSuffix(write, "/services/"+controlplane.ControlPlaneName) {
			t.Errorf("another replica wrote to something else: %s", write)
		}
	}
}

func TestOnlyTheAuthoritiesHoldKeysOfAuthorities(t *testing.T) {
	tcp := create(t, nil)
	applied(t, tcp)
	secrets := &corev1.SecretList{}
	if err := direct.List(t.Context(), secrets, client.MatchingLabels(controlplane.OwnerLabels(key(tcp)))); err != nil {
		t.Fatal(err)
	}
	authorities := &corev1.Secret{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.AuthoritiesName}, authorities); err != nil {
		t.Fatal(err)
	}
	// The controller-manager signs with the cluster's authority and with the
	// service-account key, the API server with the latter.
	allowed := []string{controlplane.AuthoritiesName, controlplane.ControlPlaneName}
	for _, secret := range secrets.Items {
		for name, value := range secret.Data {
			for authority, private := range authorities.Data {
				if strings.HasSuffix(authority, ".key") && string(value) == string(private) && !slices.Contains(allowed, secret.Name) {
					t.Errorf("%s/%s[%s] holds %s", secret.Namespace, secret.Name, name, authority)
				}
			}
		}
		if secret.Namespace != tcp.Namespace || secret.Name != "cp-ca" {
			continue
		}
		// Cluster API wants something where the key would be.
		for name, value := range secret.Data {
			if name != corev1.TLSCertKey && (name != corev1.TLSPrivateKeyKey || bytes.Contains(value, []byte("-----BEGIN"))) {
				t.Errorf("the tenant's CA Secret has more than the certificate: %s", name)
			}
		}
	}
}

func TestDriftIsRepaired(t *testing.T) {
	tcp := create(t, nil)
	applied(t, tcp)
	at := types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}

	deployment := &appsv1.Deployment{}
	if err := direct.Get(t.Context(), at, deployment); err != nil {
		t.Fatal(err)
	}
	deployment.Spec.Template.Spec.HostNetwork = true
	deployment.Spec.Replicas = ptr.To[int32](0)
	if err := direct.Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	if err := direct.Delete(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: "default-deny"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Deployment to be scaled back and the NetworkPolicy to return", func() error {
		if err := direct.Get(t.Context(), at, deployment); err != nil {
			return err
		}
		if *deployment.Spec.Replicas != 1 {
			return fmt.Errorf("%d replicas", *deployment.Spec.Replicas)
		}
		return direct.Get(t.Context(), types.NamespacedName{Namespace: at.Namespace, Name: "default-deny"}, &networkingv1.NetworkPolicy{})
	})
}

func TestAForeignNamespaceIsRefused(t *testing.T) {
	tenant := tenantNamespace(t)
	taken := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: controlplane.Namespace(types.NamespacedName{Namespace: tenant, Name: "cp"}),
	}}
	if err := direct.Create(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Namespace = tenant })
	message := condition(t, tcp, teapotv1.ReadyCondition, teapotv1.ReasonNamespaceTaken)
	if !strings.Contains(message, taken.Name) {
		t.Errorf("the message does not name the namespace: %s", message)
	}
	if writes := writes.About("/namespaces/" + taken.Name + "/"); len(writes) > 0 {
		t.Errorf("something was written into the foreign namespace: %v", writes)
	}
}

func TestKeysAreNeverMadeAnewOverExistingData(t *testing.T) {
	tcp := create(t, nil)
	applied(t, tcp)
	namespace := controlplane.Namespace(key(tcp))
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "etcd-data-etcd-0"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if err := direct.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	authorities := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controlplane.AuthoritiesName}}
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(authorities), authorities); err != nil {
		t.Fatal(err)
	}
	backup := authorities.DeepCopy()
	if err := direct.Delete(t.Context(), authorities); err != nil {
		t.Fatal(err)
	}
	condition(t, tcp, teapotv1.CertificatesReadyCondition, teapotv1.ReasonKeysMissing)
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(authorities), authorities); !apierrors.IsNotFound(err) {
		t.Errorf("the keys were made anew: %v", err)
	}

	backup.ResourceVersion, backup.UID = "", ""
	if err := direct.Create(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	condition(t, tcp, teapotv1.CertificatesReadyCondition, teapotv1.ReasonReady)
}

func TestAnotherServicesPortIsNamed(t *testing.T) {
	first := create(t, nil)
	applied(t, first)
	second := create(t, func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Endpoint.Port = ptr.To(first.Status.Endpoint.Port)
	})
	message := condition(t, second, teapotv1.EndpointReadyCondition, teapotv1.ReasonPortTaken)
	if !strings.Contains(message, fmt.Sprint(first.Status.Endpoint.Port)) || !strings.Contains(message, "spec.endpoint") {
		t.Errorf("the message names neither port nor field: %s", message)
	}
}

func TestALoadBalancerThatGivesNoAddressIsNamed(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer })
	condition(t, tcp, teapotv1.ReadyCondition, teapotv1.ReasonWaitingForLoadBalancer)

	service := &corev1.Service{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}, service); err != nil {
		t.Fatal(err)
	}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.20"}}
	if err := direct.Status().Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	applied(t, tcp)
	if got := tcp.Status.Endpoint.URL; got != "https://192.0.2.20:6443" {
		t.Errorf("endpoint is %s", got)
	}
}

func TestAPausedControlPlaneIsLeftAlone(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = true })
	condition(t, tcp, teapotv1.PausedCondition, teapotv1.ReasonPaused)
	if writes := writes.About(controlplane.Namespace(key(tcp))); len(writes) > 0 {
		t.Errorf("written while paused: %v", writes)
	}
	patch := client.MergeFrom(tcp.DeepCopy())
	tcp.Spec.Paused = false
	if err := direct.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
	applied(t, tcp)
	condition(t, tcp, teapotv1.PausedCondition, teapotv1.ReasonNotPaused)
}

func TestASecretOfSomebodyElseIsNotOverwritten(t *testing.T) {
	tenant := tenantNamespace(t)
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: controlplane.UserKubeconfigName("cp")},
		Data:       map[string][]byte{controlplane.KubeconfigKey: []byte("mine")},
	}
	if err := direct.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Namespace = tenant })
	message := condition(t, tcp, teapotv1.ReadyCondition, teapotv1.ReasonReconcileFailed)
	if !strings.Contains(message, theirs.Name) {
		t.Errorf("the message does not name the Secret: %s", message)
	}
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil || string(theirs.Data[controlplane.KubeconfigKey]) != "mine" {
		t.Errorf("the Secret is %q, %v", theirs.Data, err)
	}
}

func TestRetainKeepsDataAndKeysAndNothingElse(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain })
	applied(t, tcp)
	remove(t, tcp)

	namespace := &corev1.Namespace{}
	if err := direct.Get(t.Context(), types.NamespacedName{Name: controlplane.Namespace(key(tcp))}, namespace); err != nil {
		t.Fatal(err)
	}
	if namespace.Labels[teapotv1.RetainedLabel] == "" || namespace.DeletionTimestamp != nil {
		t.Errorf("the namespace is not retained: %+v", namespace.ObjectMeta)
	}
	secrets := &corev1.SecretList{}
	if err := direct.List(t.Context(), secrets, client.InNamespace(namespace.Name)); err != nil {
		t.Fatal(err)
	}
	if len(secrets.Items) != 1 || secrets.Items[0].Name != controlplane.AuthoritiesName {
		t.Errorf("left are %d Secrets", len(secrets.Items))
	}

	again := create(t, func(again *teapotv1.TenantControlPlane) { again.Namespace = tcp.Namespace })
	condition(t, again, teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataFound)
}
