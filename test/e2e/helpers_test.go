package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// newControlPlane makes a control plane without waiting for it; edit, if not nil, changes its
// spec before. It is as light as one gets, without konnectivity.
func newControlPlane(t *testing.T, namespace, name string, edit func(*teapotv1.TenantControlPlane)) *teapotv1.TenantControlPlane {
	t.Helper()
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	tcp.Spec.Version = node.KubernetesVersion
	tcp.Spec.Addons.Konnectivity.Enabled = ptr.To(false)
	if edit != nil {
		edit(tcp)
	}
	if err := management.Create(t.Context(), tcp); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// edit changes a control plane, as it is now.
func edit(t *testing.T, tcp *teapotv1.TenantControlPlane, change func(*teapotv1.TenantControlPlane)) {
	t.Helper()
	if err := management.Get(t.Context(), client.ObjectKeyFromObject(tcp), tcp); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(tcp.DeepCopy())
	change(tcp)
	if err := management.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
}

// says waits until a condition has a status and a reason and its message has all of some words.
func says(t *testing.T, tcp *teapotv1.TenantControlPlane, kind string, status metav1.ConditionStatus, reason string, within time.Duration, words ...string) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("%s of %s to be %s for %s", kind, tcp.Name, status, reason), func(ctx context.Context) error {
		if err := management.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(tcp.Status.Conditions, kind)
		if condition == nil || condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("conditions are %+v", tcp.Status.Conditions)
		}
		return contains(condition.Message, words)
	})
}

func contains(text string, words []string) error {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return fmt.Errorf("%q does not say %q", text, word)
		}
	}
	return nil
}

// tells waits for a warning of the control plane with a reason and some words.
func tells(t *testing.T, tcp *teapotv1.TenantControlPlane, reason string, within time.Duration, words ...string) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("an event %s of %s with %q", reason, tcp.Name, words), func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := management.List(ctx, list, client.InNamespace(tcp.Namespace)); err != nil {
			return err
		}
		var notes []string
		for _, event := range list.Items {
			if event.Regarding.UID != tcp.UID || event.Type != "Warning" || event.Reason != reason {
				continue
			}
			if contains(event.Note, words) == nil {
				return nil
			}
			notes = append(notes, event.Note)
		}
		return fmt.Errorf("the events of this reason say %q", notes)
	})
}

// balancerIP is an address on the node's wire that nobody has.
const balancerIP = "172.30.0.99"

// balance plays a load balancer: it gives the control plane's Service an address.
func balance(t *testing.T, tcp *teapotv1.TenantControlPlane, mode corev1.LoadBalancerIPMode) {
	t.Helper()
	says(t, tcp, teapotv1.EndpointReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForLoadBalancer, readyWithin)
	service := &corev1.Service{}
	if err := management.Get(t.Context(), client.ObjectKey{Namespace: tcp.Status.Namespace, Name: controlplane.ControlPlaneName}, service); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(service.DeepCopy())
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: balancerIP, IPMode: &mode}}
	if err := management.Status().Patch(t.Context(), service, patch); err != nil {
		t.Fatal(err)
	}
}
