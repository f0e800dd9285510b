package hostmachine

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/workers/bootstrap"
	"github.com/teapot-cloud/teapot/workers/clusterapi"
)

const (
	// tokenPoll is how often a removal under way is asked after, and deadTokenPoll one that waits
	// for the tenant's API. A token runs out 15 minutes after the join in any case.
	tokenPoll     = 2 * time.Second
	deadTokenPoll = time.Minute
)

// removeToken has the bootstrap token deleted once the machine has joined: Cluster API's kubeadm
// bootstrap provider keeps it alive until then and never deletes it.
func (s *scope) removeToken(ctx context.Context) error {
	if s.Tokens == nil || s.machine == nil || s.cluster == nil || !s.machine.Status.NodeRef.IsDefined() ||
		meta.IsStatusConditionTrue(s.hm.Status.Conditions, teapotv1.BootstrapTokenRemovedCondition) {
		return nil
	}
	controlPlane, config := clusterapi.ControlPlaneOf(s.cluster), s.machine.Spec.Bootstrap.ConfigRef
	if controlPlane == "" || config.APIGroup != bootstrapv1.GroupVersion.Group || config.Kind != "KubeadmConfig" {
		return nil // another provider's, which Teapot has no access to, or no token
	}
	token, err := s.bootstrapToken(ctx, config.Name)
	if err != nil {
		return err
	}
	if token == "" {
		s.set(teapotv1.BootstrapTokenRemovedCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "KubeadmConfig %s names no bootstrap token", config.Name)
		return nil
	}
	secret, err := bootstrap.TokenSecretName(token)
	if err != nil {
		return fmt.Errorf("removing the bootstrap token of KubeadmConfig %s/%s: %w", s.hm.Namespace, config.Name, err)
	}
	gone, why := s.Tokens.RemoveToken(types.NamespacedName{Namespace: s.hm.Namespace, Name: controlPlane}, secret)
	switch {
	case gone:
		s.set(teapotv1.BootstrapTokenRemovedCondition, metav1.ConditionTrue, teapotv1.ReasonReady, "Secret kube-system/%s of the tenant's cluster is gone, or is a token that its author shares between machines", secret)
	case why == "":
		s.requeueAfter(tokenPoll)
	default:
		s.set(teapotv1.BootstrapTokenRemovedCondition, metav1.ConditionFalse, teapotv1.ReasonWaitingForAPIServer,
			"Secret kube-system/%s of the tenant's cluster is to be deleted, and is not yet: %s; it runs out 15 minutes after the machine joined", secret, why)
		s.requeueAfter(deadTokenPoll)
	}
	return nil
}

// bootstrapToken returns the token in a KubeadmConfig, or "" if there is none. It is read once for
// each machine, so there is no cache of KubeadmConfigs, which hold credentials.
func (s *scope) bootstrapToken(ctx context.Context, name string) (string, error) {
	config := &unstructured.Unstructured{}
	config.SetGroupVersionKind(bootstrapv1.GroupVersion.WithKind("KubeadmConfig"))
	if found, err := s.find(ctx, s.Live, name, config); !found || err != nil {
		return "", err
	}
	token, _, err := unstructured.NestedString(config.Object, "spec", "joinConfiguration", "discovery", "bootstrapToken", "token")
	if err != nil {
		return "", fmt.Errorf("reading the bootstrap token of KubeadmConfig %s/%s: %w", s.hm.Namespace, name, err)
	}
	return token, nil
}
