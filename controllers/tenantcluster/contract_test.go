package tenantcluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controllers/hosts"
	"github.com/teapot-cloud/teapot/controllers/tenantcluster"
)

// pair is a TenantCluster and the Cluster that it is of.
type pair struct {
	tc      *teapotv1.TenantCluster
	cluster *clusterv1.Cluster
}

func newPair(t *testing.T, labels map[string]string) *pair {
	t.Helper()
	namespace := newNamespace(t, labels)
	return &pair{
		tc: &teapotv1.TenantCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}},
		cluster: &clusterv1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"},
			Spec: clusterv1.ClusterSpec{
				ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: "cp"},
				InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantCluster", Name: "acme"},
			},
		},
	}
}

func (p *pair) make(t *testing.T) *pair {
	t.Helper()
	must(t, direct.Create(t.Context(), p.tc))
	return p
}

// own makes the Cluster, which then owns the TenantCluster.
func (p *pair) own(t *testing.T) *pair {
	t.Helper()
	must(t, direct.Create(t.Context(), p.cluster))
	change(t, p.tc, func() { must(t, controllerutil.SetControllerReference(p.cluster, p.tc, scheme)) })
	return p
}

func (p *pair) giveEndpoint(t *testing.T) *pair {
	t.Helper()
	change(t, p.cluster, func() {
		p.cluster.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: "192.0.2.1", Port: 6443}
	})
	return p
}

// condition waits for a condition with a status, a reason and words in its message.
func (p *pair) condition(t *testing.T, kind string, status metav1.ConditionStatus, reason string, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s, %s, %q", kind, status, reason, words), func() error {
		must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.tc), p.tc))
		is := meta.FindStatusCondition(p.tc.Status.Conditions, kind)
		if is == nil || is.Status != status || is.Reason != reason {
			return fmt.Errorf("conditions are %+v", p.tc.Status.Conditions)
		}
		for _, word := range words {
			if !strings.Contains(is.Message, word) {
				return fmt.Errorf("condition %s says %q", kind, is.Message)
			}
		}
		return nil
	})
}

func (p *pair) provisioned() bool { return ptr.Deref(p.tc.Status.Initialization.Provisioned, false) }

// domains waits for failure domains, none of which is for control planes.
func (p *pair) domains(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("failure domains %v", want), func() error {
		must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.tc), p.tc))
		var names []string
		for _, domain := range p.tc.Status.FailureDomains {
			if ptr.Deref(domain.ControlPlane, true) {
				return fmt.Errorf("%s is said to be for control planes", domain.Name)
			}
			names = append(names, domain.Name)
		}
		if !slices.Equal(names, want) {
			return fmt.Errorf("they are %v", names)
		}
		return nil
	})
}

func newHost(t *testing.T, namespace, name, domain string, annotations map[string]string) {
	t.Helper()
	host := &metal3v1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations}}
	if domain != "" {
		host.Labels = map[string]string{teapotv1.FailureDomainLabel: domain}
	}
	must(t, direct.Create(t.Context(), host))
	host.Status.OperationalStatus = metal3v1.OperationalStatusOK
	host.Status.Provisioning.State = metal3v1.StateAvailable
	must(t, direct.Status().Update(t.Context(), host))
}

// TestContract goes through what Cluster API's contract has.
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-cluster
func TestContract(t *testing.T) {
	p := newPair(t, nil).make(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForCluster, "infrastructureRef", "TenantCluster acme")
	p.own(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForCluster, "controlPlaneEndpoint", "cp")
	if p.provisioned() {
		t.Error("it is provisioned before the Cluster has an endpoint")
	}
	p.giveEndpoint(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
	if !p.provisioned() || p.tc.Status.ObservedGeneration != p.tc.Generation {
		t.Errorf("status is %+v", p.tc.Status)
	}
	p.domains(t)

	changeStatus(t, p.tc, func() { p.tc.Status = teapotv1.TenantClusterStatus{} })
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
	if !p.provisioned() {
		t.Error("a status that was lost is not rebuilt")
	}

	if len(p.tc.Finalizers) > 0 {
		t.Errorf("it has the finalizers %v, and nothing to do at its end", p.tc.Finalizers)
	}
	must(t, direct.Delete(t.Context(), p.tc))
	if err := direct.Get(t.Context(), client.ObjectKeyFromObject(p.tc), p.tc); !apierrors.IsNotFound(err) {
		t.Errorf("it is still there (%v)", err)
	}
}

// TestAnotherFinalizer: what somebody else waits for is said.
func TestAnotherFinalizer(t *testing.T) {
	p := newPair(t, nil)
	p.tc.Finalizers = []string{"example.com/waits"}
	p.make(t).own(t).giveEndpoint(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
	must(t, direct.Delete(t.Context(), p.tc))
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonDeleting, "metadata.finalizers")
	change(t, p.tc, func() { p.tc.Finalizers = nil })
}

// TestAnEndpointOfTheAuthor is for control planes of other providers, which do not give one.
func TestAnEndpointOfTheAuthor(t *testing.T) {
	p := newPair(t, nil)
	p.tc.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: "192.0.2.9", Port: 6443}
	p.make(t).own(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
}

func TestPaused(t *testing.T) {
	for name, set := range map[string]func(*testing.T, *pair, bool){
		"Cluster": func(t *testing.T, p *pair, paused bool) {
			change(t, p.cluster, func() { p.cluster.Spec.Paused = ptr.To(paused) })
		},
		"annotation": func(t *testing.T, p *pair, paused bool) {
			change(t, p.tc, func() {
				delete(p.tc.Annotations, clusterv1.PausedAnnotation)
				if paused {
					metav1.SetMetaDataAnnotation(&p.tc.ObjectMeta, clusterv1.PausedAnnotation, "")
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, nil).make(t).own(t)
			p.condition(t, teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused)
			set(t, p, true)
			p.condition(t, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused)
			p.giveEndpoint(t)
			r := &tenantcluster.Reconciler{Client: direct, Clock: clock.RealClock{}, Hosts: hosts.Reader{Client: direct, Live: direct}}
			_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.tc)})
			must(t, err)
			p.condition(t, teapotv1.ReadyCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForCluster)
			set(t, p, false)
			p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
			p.condition(t, teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused)
		})
	}
}

// TestPausedForASleep: a Cluster that is paused since its control plane sleeps is so for Cluster API alone.
func TestPausedForASleep(t *testing.T) {
	p := newPair(t, nil)
	p.make(t).own(t).giveEndpoint(t)
	p.condition(t, teapotv1.ReadyCondition, metav1.ConditionTrue, teapotv1.ReasonReady)
	change(t, p.cluster, func() { p.cluster.Spec.Paused = ptr.To(true) })
	p.condition(t, teapotv1.PausedCondition, metav1.ConditionTrue, teapotv1.ReasonClusterPaused)
	change(t, p.cluster, func() {
		metav1.SetMetaDataAnnotation(&p.cluster.ObjectMeta, teapotv1.HibernationAnnotation, "Keep")
	})
	p.condition(t, teapotv1.PausedCondition, metav1.ConditionFalse, teapotv1.ReasonNotPaused)
}

// TestExternallyManaged: the contract leaves the object, status and all, to whoever manages it.
func TestExternallyManaged(t *testing.T) {
	p := newPair(t, nil)
	p.tc.Annotations = map[string]string{clusterv1.ManagedByAnnotation: "example.com"}
	p.make(t).own(t).giveEndpoint(t)
	r := &tenantcluster.Reconciler{Client: direct, Clock: clock.RealClock{}, Hosts: hosts.Reader{Client: direct, Live: direct}}
	_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.tc)})
	must(t, err)
	must(t, direct.Get(t.Context(), client.ObjectKeyFromObject(p.tc), p.tc))
	if len(p.tc.Status.Conditions) > 0 || p.provisioned() {
		t.Errorf("its status is %+v", p.tc.Status)
	}
}

// TestFailureDomains are those of the hosts that this namespace's claims may take, and of no others.
func TestFailureDomains(t *testing.T) {
	p := newPair(t, map[string]string{"example.com/tenant": "acme"})
	for name, domain := range map[string]string{"a-1": "row-a", "a-2": "row-a", "b-1": "row-b", "none": ""} {
		newHost(t, p.tc.Namespace, name, domain, nil)
	}
	newHost(t, p.tc.Namespace, "unhealthy", "row-u", map[string]string{"capm3.metal3.io/unhealthy": ""})
	shared, foreign := newNamespace(t, nil), newNamespace(t, nil)
	newHost(t, shared, "c-1", "row-c", nil)
	newHost(t, foreign, "d-1", "row-d", nil)
	policy := &metal3v1.HostDeployPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: shared, Name: "tenants"},
		Spec: metal3v1.HostDeployPolicySpec{HostClaimNamespaces: &metal3v1.HostClaimNamespaces{
			HasLabels: []metal3v1.NameValuePair{{Name: "example.com/tenant", Value: "acme"}},
		}},
	}
	must(t, direct.Create(t.Context(), policy))
	r := &tenantcluster.Reconciler{Client: direct, Clock: clock.RealClock{}, Hosts: hosts.Reader{Client: direct, Live: direct}}
	p.make(t).own(t).giveEndpoint(t)
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.tc)})
	must(t, err)
	if result.RequeueAfter <= 0 {
		t.Error("hosts that come later are not looked for")
	}
	p.domains(t, "row-a", "row-b", "row-c")

	must(t, direct.Delete(t.Context(), policy))
	_, err = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.tc)})
	must(t, err)
	p.domains(t, "row-a", "row-b")
}
