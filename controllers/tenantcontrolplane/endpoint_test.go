package tenantcontrolplane_test

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestWithoutTheGateway: with endpoint.gateway Disabled the gateway does not know the control plane's
// name, and users come by the address; both follow when it is changed.
func TestWithoutTheGateway(t *testing.T) {
	tcp := readyOne(t, func(tcp *teapotv1.TenantControlPlane) {
		hourly(tcp)
		tcp.Spec.Hibernation.WakeOnRequest = ptr.To(false)
		tcp.Spec.Endpoint.Gateway = teapotv1.GatewayDisabled
	})
	name := tcp.Name + "." + tcp.Namespace + ".teapot.test"
	for _, step := range []struct {
		gateway            teapotv1.GatewayAccess
		wakes              bool
		url, host, tlsName string
	}{
		{gateway: teapotv1.GatewayDisabled},
		{gateway: teapotv1.GatewayEnabled, wakes: true, url: "https://127.0.0.1:443", host: name, tlsName: name},
		{gateway: teapotv1.GatewayDisabled},
	} {
		patch := client.MergeFrom(tcp.DeepCopy())
		tcp.Spec.Endpoint.Gateway, tcp.Spec.Hibernation.WakeOnRequest = step.gateway, ptr.To(step.wakes)
		if err := direct.Patch(t.Context(), tcp, patch); err != nil {
			t.Fatal(err)
		}
		eventually(t, "users' way in with gateway "+string(step.gateway), func() error {
			if err := errors.Join(direct.Get(t.Context(), key(tcp), tcp), play(t.Context(), key(tcp))); err != nil {
				return err
			}
			server := step.url
			if server == "" {
				server = tcp.Status.Endpoint.URL
			}
			if e := tcp.Status.Endpoint; e.GatewayURL != step.url || e.GatewayServerName != step.tlsName {
				return fmt.Errorf("the status says %+v", e)
			}
			if r := leaseOf(t, tcp); r.Host != step.host || r.WakeOnRequest != step.wakes {
				return fmt.Errorf("the gateway is told %+v", r)
			}
			if c, err := usersCluster(t, tcp); err != nil || c.Server != server || c.TLSServerName != step.tlsName {
				return fmt.Errorf("the kubeconfig leads to %+v, %v", c, err)
			}
			return nil
		})
	}
}

// usersCluster is where the exported kubeconfig leads to.
func usersCluster(t *testing.T, tcp *teapotv1.TenantControlPlane) (*clientcmdapi.Cluster, error) {
	secret := &corev1.Secret{}
	if err := direct.Get(t.Context(), types.NamespacedName{Namespace: tcp.Namespace, Name: controlplane.UserKubeconfigName(tcp.Name)}, secret); err != nil {
		return nil, err
	}
	kubeconfig, err := clientcmd.Load(secret.Data[controlplane.KubeconfigKey])
	if err != nil {
		return nil, err
	}
	return kubeconfig.Clusters[kubeconfig.Contexts[kubeconfig.CurrentContext].Cluster], nil
}

// TestALoadBalancerThatTakesItsAddressAway while the control plane sleeps gives it back when a pod is
// ready: to wait for the address before pods are started would be to wait for ever.
func TestALoadBalancerThatTakesItsAddressAway(t *testing.T) {
	tcp := create(t, func(tcp *teapotv1.TenantControlPlane) {
		hourly(tcp)
		tcp.Spec.Endpoint.Type = teapotv1.EndpointLoadBalancer
	})
	t.Cleanup(func() { stopTenant(key(tcp)) })
	condition(t, tcp, teapotv1.EndpointReadyCondition, teapotv1.ReasonWaitingForLoadBalancer)
	balance := func(ingress ...corev1.LoadBalancerIngress) *corev1.Service {
		t.Helper()
		service := &corev1.Service{}
		if err := direct.Get(t.Context(), types.NamespacedName{Namespace: controlplane.Namespace(key(tcp)), Name: controlplane.ControlPlaneName}, service); err != nil {
			t.Fatal(err)
		}
		service.Status.LoadBalancer.Ingress = ingress
		if err := direct.Status().Update(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		return service
	}
	service := balance(corev1.LoadBalancerIngress{IP: "127.0.0.1"})
	// The tenant's API is played on the node port.
	patch := client.MergeFrom(tcp.DeepCopy())
	tcp.Spec.Endpoint.Port = ptr.To(service.Spec.Ports[0].NodePort)
	if err := direct.Patch(t.Context(), tcp, patch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })

	enable(t, tcp, true)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	balance()
	lookAgain(t, tcp)
	phaseBecomes(t, tcp, teapotv1.HibernationAsleep)
	enable(t, tcp, false)
	phaseBecomes(t, tcp, teapotv1.HibernationAwake)
	if replicas, members := sizes(t, tcp); replicas != 1 || members != 1 {
		t.Errorf("%d control-plane pods and %d etcd members are wanted of one that wakes", replicas, members)
	}
	eventually(t, "Ready", func() error { return play(t.Context(), key(tcp)) })
}
