package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers"
	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/konnectivity"
)

// repairedWithin is the promise: what somebody changed or deleted is as it was after this.
const repairedWithin = 30 * time.Second

// meddling is what somebody else does to an object of Teapot's.
type meddling struct {
	object client.Object
	// change edits the object; nil deletes it.
	change func(client.Object)
}

func TestRepair(t *testing.T) {
	namespace := tenantNamespace(t)
	tcp := newControlPlane(t, namespace, "repaired", func(tcp *teapotv1.TenantControlPlane) {
		tcp.Spec.Addons.Konnectivity.Enabled = nil
		tcp.Spec.Replicas = ptr.To[int32](2) // with a disruption budget
	})
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	t.Run("in the management cluster", func(t *testing.T) { outsideIsRepaired(t, tcp) })
	rolledOut(t, tcp)
	becomes(t, tcp, metav1.ConditionTrue, readyWithin)
	t.Run("inside the tenant's cluster", func(t *testing.T) { insideIsRepaired(t, tcp) })
}

func outsideIsRepaired(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	own := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: tcp.Status.Namespace, Name: name}
	}
	tenants := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: tcp.Namespace, Name: name}
	}
	for _, each := range []struct {
		name string
		meddling
	}{
		{"the namespace loses its pod security", meddling{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tcp.Status.Namespace}}, func(o client.Object) {
			delete(o.GetLabels(), "pod-security.kubernetes.io/enforce")
		}}},
		{"a network policy is emptied", meddling{&networkingv1.NetworkPolicy{ObjectMeta: own("default-deny")}, func(o client.Object) {
			o.(*networkingv1.NetworkPolicy).Spec = networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}
		}}},
		{"a network policy is deleted", meddling{&networkingv1.NetworkPolicy{ObjectMeta: own(controlplane.EtcdName)}, nil}},
		{"a service account is to mount tokens", meddling{&corev1.ServiceAccount{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*corev1.ServiceAccount).AutomountServiceAccountToken = ptr.To(true)
		}}},
		{"a service account is deleted", meddling{&corev1.ServiceAccount{ObjectMeta: own(controlplane.EtcdName)}, nil}},
		{"a Service leads to another port", meddling{&corev1.Service{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*corev1.Service).Spec.Ports[0].TargetPort.IntVal = 1
		}}},
		{"a Service is deleted, whose node ports machines know", meddling{&corev1.Service{ObjectMeta: own(controlplane.ControlPlaneName)}, nil}},
		{"a Secret has another authority", meddling{&corev1.Secret{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*corev1.Secret).Data["ca.crt"] = []byte("another")
		}}},
		{"a tenant's Secret has another authority", meddling{&corev1.Secret{ObjectMeta: tenants(tcp.Status.Secrets.CertificateAuthority)}, func(o client.Object) {
			o.(*corev1.Secret).Data["tls.crt"] = []byte("another")
		}}},
		{"a tenant's Secret is deleted", meddling{&corev1.Secret{ObjectMeta: tenants(tcp.Status.Secrets.CertificateAuthority)}, nil}},
		{"a budget is deleted", meddling{&policyv1.PodDisruptionBudget{ObjectMeta: own(controlplane.ControlPlaneName)}, nil}},
		{"a budget allows everything", meddling{&policyv1.PodDisruptionBudget{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*policyv1.PodDisruptionBudget).Spec.MaxUnavailable.IntVal = 2
		}}},
		{"etcd is to be of another image", meddling{&appsv1.StatefulSet{ObjectMeta: own(controlplane.EtcdName)}, func(o client.Object) {
			o.(*appsv1.StatefulSet).Spec.Template.Spec.Containers[0].Image = "registry.invalid/etcd:0"
		}}},
		{"the control plane is on the node's network", meddling{&appsv1.Deployment{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Template.Spec.HostNetwork = true // a field beside ours
		}}},
		{"the control plane is scaled to nothing", meddling{&appsv1.Deployment{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Replicas = ptr.To[int32](0)
		}}},
		// The recorder tells of the same again by counting.
		{"the control plane is scaled to nothing once more", meddling{&appsv1.Deployment{ObjectMeta: own(controlplane.ControlPlaneName)}, func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Replicas = ptr.To[int32](0)
		}}},
		{"the control plane is deleted", meddling{&appsv1.Deployment{ObjectMeta: own(controlplane.ControlPlaneName)}, nil}},
	} {
		t.Run(each.name, func(t *testing.T) {
			eventually(t, repairedWithin, "the repair", each.meddle(t, management))
			tells(t, tcp, teapotv1.ReasonRepaired, repairedWithin, each.kind(t), each.object.GetName())
		})
	}
}

// insideIsRepaired meddles with everything at once: what is inside is looked at by kinds, one
// after another, and the promise is for each.
func insideIsRepaired(t *testing.T, tcp *teapotv1.TenantControlPlane) {
	config, _ := asUser(t, tcp.Namespace, tcp.Name)
	config.WarningHandler = rest.NoWarnings{} // of Endpoints, which old clients read
	config.QPS = -1
	user, err := client.New(config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	system := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name}
	}

	corefile := &corev1.ConfigMap{ObjectMeta: system("coredns")}
	if err := user.Get(t.Context(), client.ObjectKeyFromObject(corefile), corefile); err != nil {
		t.Fatal(err)
	}
	corefile.Data["Corefile"] += "# the tenant's own line\n"
	edited := corefile.Data["Corefile"]
	if err := user.Update(t.Context(), corefile, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}

	all := []meddling{
		{&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"}}, func(o client.Object) {
			o.(*rbacv1.ClusterRole).Rules = nil
		}},
		{&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:node-autoapprove-bootstrap"}}, nil},
		{&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: konnectivity.AgentNamespace, Name: konnectivity.AgentServiceAccount}}, nil},
		{&corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}}, func(o client.Object) {
			o.(*corev1.Endpoints).Subsets[0].Addresses[0].IP = hiddenIP
		}},
		{&corev1.ConfigMap{ObjectMeta: system("kube-proxy")}, nil},
	}
	var repaired []func(context.Context) error
	for _, each := range all {
		repaired = append(repaired, each.meddle(t, user))
	}
	eventually(t, repairedWithin, "everything to be repaired", func(ctx context.Context) error {
		var errs []error
		for _, check := range repaired {
			errs = append(errs, check(ctx))
		}
		return errors.Join(errs...)
	})
	for _, each := range all {
		tells(t, tcp, teapotv1.ReasonRepaired, repairedWithin, "inside the tenant's cluster", each.object.GetName())
	}
	// The same again is told of by counting.
	eventually(t, repairedWithin, "the second repair", all[0].meddle(t, user))
	eventually(t, repairedWithin, "the event to be counted", func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := management.List(ctx, list, client.InNamespace(tcp.Namespace)); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool { return e.Reason == teapotv1.ReasonRepaired && e.Series != nil }) {
			return errors.New("no event is")
		}
		return nil
	})
	// Everything was applied again by now.
	if err := user.Get(t.Context(), client.ObjectKeyFromObject(corefile), corefile); err != nil {
		t.Fatal(err)
	}
	if got := corefile.Data["Corefile"]; got != edited {
		t.Errorf("the tenant's Corefile was written over: %s", got)
	}
}

// meddle does it, and returns what says whether the object is as it was.
func (m meddling) meddle(t *testing.T, c client.Client) (repaired func(context.Context) error) {
	t.Helper()
	object := m.object.DeepCopyObject().(client.Object)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	before := object.DeepCopyObject().(client.Object)
	var err error
	if m.change == nil {
		err = c.Delete(t.Context(), object)
	} else {
		m.change(object)
		if isAsBefore(before, object) == nil {
			t.Fatal("nothing was changed")
		}
		err = c.Patch(t.Context(), object, client.MergeFrom(before), client.FieldOwner("kubectl-edit"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		live := m.object.DeepCopyObject().(client.Object)
		if err := c.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
			return err
		}
		if m.change == nil && live.GetUID() == before.GetUID() {
			return fmt.Errorf("%T %s is not gone yet", live, live.GetName())
		}
		return isAsBefore(before, live)
	}
}

// kind is the name of the object's kind.
func (m meddling) kind(t *testing.T) string {
	t.Helper()
	kind, err := management.GroupVersionKindFor(m.object)
	if err != nil {
		t.Fatal(err)
	}
	return kind.Kind
}

// isAsBefore compares what is wanted of objects: everything but what the API server and the
// system's controllers write.
func isAsBefore(before, now client.Object) error {
	was, err := wanted(before)
	if err != nil {
		return err
	}
	is, err := wanted(now)
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	encodedWas, errWas := json.Marshal(was)
	encodedIs, errIs := json.Marshal(is)
	return errors.Join(fmt.Errorf("%T %s was %s and is %s", now, now.GetName(), encodedWas, encodedIs), errWas, errIs)
}

func wanted(object client.Object) (map[string]any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	fields["metadata"] = map[string]any{"labels": object.GetLabels()}
	if _, isService := object.(*corev1.Service); isService {
		delete(fields["spec"].(map[string]any), "clusterIP") // allocated
		delete(fields["spec"].(map[string]any), "clusterIPs")
	}
	return fields, nil
}
