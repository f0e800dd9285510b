package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// deletedWithin is how long a deletion may take on a busy machine. Nothing that is lost is
// waited for, so it is far below what a pod's own grace would make of it.
const deletedWithin = time.Minute

// TestDeletionFromEveryState deletes control planes in the states in which others hang. Dead
// API servers and datastores that neither answer nor refuse are TestADeadTenantIsDeleted.
func TestDeletionFromEveryState(t *testing.T) {
	before, err := snapshot(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	namespace := tenantNamespace(t)
	t.Run("states", func(t *testing.T) {
		t.Run("retained-and-adopted", func(t *testing.T) { t.Parallel(); retainedIsAdopted(t, namespace) })
		for name, state := range map[string]func(*testing.T, *teapotv1.TenantControlPlane){
			"waiting-for-pods":      waitingForPods,
			"rolling":               rolling,
			"without-datastore":     withoutDatastore,
			"without-endpoint":      withoutEndpoint,
			"namespace-terminating": namespaceTerminates,
			"paused":                pausedAndResumed,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				tcp := newControlPlane(t, namespace, name, func(tcp *teapotv1.TenantControlPlane) {
					if name == "without-endpoint" {
						tcp.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
					}
				})
				state(t, tcp)
				if err := management.Delete(t.Context(), tcp); client.IgnoreNotFound(err) != nil {
					t.Fatal(err)
				}
				gone(t, tcp, deletedWithin)
			})
		}
		t.Run("half-created", func(t *testing.T) { t.Parallel(); halfCreated(t, namespace) })
		t.Run("its-tenant-terminating", func(t *testing.T) { t.Parallel(); tenantTerminates(t) })
	})
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, deletedWithin, "nothing to be left", func(ctx context.Context) error { return nothingLeft(ctx, t, before) })
}

// gone waits until a control plane and its namespace are.
func gone(t *testing.T, tcp *teapotv1.TenantControlPlane, within time.Duration) {
	t.Helper()
	own := controlplane.Namespace(client.ObjectKeyFromObject(tcp))
	eventually(t, within, tcp.Name+" and its namespace to be gone", func(ctx context.Context) error {
		namespace, left := &corev1.Namespace{}, &teapotv1.TenantControlPlane{}
		if err := management.Get(ctx, client.ObjectKey{Name: own}, namespace); !apierrors.IsNotFound(err) {
			return fmt.Errorf("namespace %s: %w, status %+v", own, err, namespace.Status)
		}
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), left); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the control plane: %w, %+v", err, left.Status.Conditions)
		}
		return nil
	})
}

// halfCreated deletes control planes in the moment in which something of theirs is made. The
// first is deleted at once, while the manager may be adding its finalizer.
func halfCreated(t *testing.T, namespace string) {
	var all []*teapotv1.TenantControlPlane
	for i, made := range []client.Object{
		nil,
		&corev1.Namespace{},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: controlplane.ControlPlaneName}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: controlplane.AuthoritiesName}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: controlplane.EtcdName}},
	} {
		tcp := newControlPlane(t, namespace, fmt.Sprintf("half-%d", i), nil)
		if made != nil {
			untilThereIs(t, tcp, made)
		}
		if err := management.Delete(t.Context(), tcp); err != nil {
			t.Fatal(err)
		}
		all = append(all, tcp)
	}
	for _, tcp := range all {
		gone(t, tcp, deletedWithin)
	}
}

// untilThereIs waits until an object of the control plane's own namespace, or that namespace,
// exists.
func untilThereIs(t *testing.T, tcp *teapotv1.TenantControlPlane, object client.Object) {
	t.Helper()
	own := controlplane.Namespace(client.ObjectKeyFromObject(tcp))
	key := client.ObjectKey{Namespace: own, Name: object.GetName()}
	if _, isNamespace := object.(*corev1.Namespace); isNamespace {
		key = client.ObjectKey{Name: own}
	}
	eventually(t, readyWithin, fmt.Sprintf("%T %s", object, key), func(ctx context.Context) error { return management.Get(ctx, key, object) })
}

func waitingForPods(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	eventually(t, readyWithin, "pods", func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		if tcp.Status.Namespace == "" || len(pods(t, tcp, controlplane.ControlPlaneName)) == 0 {
			return fmt.Errorf("status is %+v", tcp.Status)
		}
		return nil
	})
}

func rolling(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Components.Scheduler.ExtraArgs = []teapotv1.ExtraArg{{Name: "v", Value: "2"}}
	})
	eventually(t, readyWithin, "the new pod beside the old", func(context.Context) error {
		if n := len(pods(t, tcp, controlplane.ControlPlaneName)); n != 2 {
			return fmt.Errorf("there are %d pods", n)
		}
		return nil
	})
}

// withoutDatastore takes the volume and the member at once, as a broken disk would.
func withoutDatastore(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	own := client.InNamespace(tcp.Status.Namespace)
	if err := management.DeleteAllOf(t.Context(), &corev1.PersistentVolumeClaim{}, own); err != nil {
		t.Fatal(err)
	}
	kill(t, tcp, controlplane.EtcdName)
	becomes(t, tcp, metav1.ConditionFalse, 30*time.Second)
}

// withoutEndpoint plays a load balancer that gives an address at which nobody is: packets to it
// are neither answered nor refused. Of mode Proxy, so that kube-proxy does not lead it to the
// pods by itself.
func withoutEndpoint(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	balance(t, tcp, corev1.LoadBalancerIPModeProxy)
	says(t, tcp, teapotv1.APIServerReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNotAnswering, readyWithin, balancerIP)
}

// namespaceTerminates holds the namespace's deletion up, as a finalizer of somebody's would,
// until the control plane is deleted as well.
func namespaceTerminates(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	waitingForPods(t, tcp)
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: tcp.Status.Namespace, Name: "held", Finalizers: []string{"e2e.teapot.dev/hold"},
	}}
	if err := management.Create(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tcp.Status.Namespace}}); err != nil {
		t.Fatal(err)
	}
	says(t, tcp, teapotv1.NamespaceReadyCondition, metav1.ConditionFalse, teapotv1.ReasonNamespaceTerminating, 30*time.Second)
	if err := management.Delete(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	says(t, tcp, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, 30*time.Second)
	if err := management.Patch(t.Context(), held, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
}

// tenantTerminates deletes the tenant's namespace, in which nothing can be made from then on,
// while the control plane comes up.
func tenantTerminates(t *testing.T) {
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "uprooted", nil)
	untilThereIs(t, tcp, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: controlplane.EtcdName}})
	if err := management.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	gone(t, tcp, deletedWithin)
}

// pausedAndResumed shows that a paused control plane is not deleted before it is resumed.
func pausedAndResumed(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	waitingForPods(t, tcp)
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = true })
	says(t, tcp, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonPaused, 30*time.Second)
	if err := management.Delete(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	// The manager has looked at the deletion once it has put back a status that was lost.
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":[]}}`))
	if err := management.Status().Patch(t.Context(), tcp, status); err != nil {
		t.Fatal(err)
	}
	says(t, tcp, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonPaused, 30*time.Second)
	own := &corev1.Namespace{}
	if err := management.Get(t.Context(), client.ObjectKey{Name: tcp.Status.Namespace}, own); err != nil || own.DeletionTimestamp != nil {
		t.Errorf("the namespace of a paused control plane is deleted: %v, %+v", err, own.ObjectMeta)
	}
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Paused = false })
}

// retainedIsAdopted deletes a control plane that retains its data, makes another of the same
// name, and gives it the data. What the old one's users had must go on working.
func retainedIsAdopted(t *testing.T, namespace string) {
	tcp := newControlPlane(t, namespace, "heir", func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain })
	own := controlplane.Namespace(client.ObjectKeyFromObject(tcp))
	t.Cleanup(func() { // what a test that failed in between retained
		if err := management.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}}); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	_, user := asUser(t, namespace, tcp.Name)
	if _, err := user.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "inherited"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := requestToken(t, user, "default", "default", nil)
	teapot(t, "delete", tcp.Name, "--namespace", namespace, "--yes", "--timeout", deletedWithin.String())

	tcp = newControlPlane(t, namespace, tcp.Name, nil)
	says(t, tcp, teapotv1.NamespaceReadyCondition, metav1.ConditionFalse, teapotv1.ReasonRetainedDataFound, 30*time.Second, "spec.datastore.adoptFrom", own)
	says(t, tcp, teapotv1.StalledCondition, metav1.ConditionTrue, teapotv1.ReasonRetainedDataFound, 30*time.Second)
	tells(t, tcp, teapotv1.ReasonRetainedDataFound, 30*time.Second, own)
	edit(t, tcp, func(tcp *teapotv1.TenantControlPlane) { tcp.Spec.Datastore.AdoptFrom = own })
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)

	config, user := asUser(t, namespace, tcp.Name)
	if _, err := user.CoreV1().ConfigMaps("default").Get(t.Context(), "inherited", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	holder := rest.AnonymousClientConfig(config)
	holder.BearerToken, holder.Dial = token, config.Dial
	review, err := kubernetes.NewForConfigOrDie(holder).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username != "system:serviceaccount:default:default" {
		t.Errorf("the holder of an old token is %+v: %v", review, err)
	}

	teapot(t, "delete", tcp.Name, "--namespace", namespace, "--yes", "--timeout", deletedWithin.String())
}
