package tenantcontrolplane_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// TestMoveIsBlocked until somebody says that the data will be brought: `clusterctl move` does not take
// it along. A whole move, by clusterctl, is in test/clusterctl.
func TestMoveIsBlocked(t *testing.T) {
	tcp := create(t, nil)
	applied(t, tcp)
	blocked := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("it to be blocked: %t", want), func() error {
			if err := direct.Get(t.Context(), key(tcp), tcp); err != nil {
				return err
			}
			if _, is := tcp.Annotations["clusterctl.cluster.x-k8s.io/block-move"]; is != want {
				return fmt.Errorf("annotations are %v", tcp.Annotations)
			}
			return nil
		})
	}
	blocked(true)
	patch(t.Context(), t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) {
		spec.Paused = true // as clusterctl's pause of the Cluster
		spec.Datastore.AdoptFrom = controlplane.Namespace(key(tcp))
	})
	blocked(false)
	patch(t.Context(), t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) {
		spec.Paused, spec.Datastore.AdoptFrom = false, ""
	})
	blocked(true)
}

// TestDataThatIsElsewhereIsWaitedFor, and nothing is made in its place.
func TestDataThatIsElsewhereIsWaitedFor(t *testing.T) {
	for name, from := range map[string]func(*teapotv1.TenantControlPlane){
		"after a move": func(tcp *teapotv1.TenantControlPlane) {
			tcp.Spec.Datastore.AdoptFrom = controlplane.Namespace(key(tcp))
		},
		"from a backup": func(tcp *teapotv1.TenantControlPlane) {
			tcp.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: "192.0.2.1", Port: 6443}
		},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := tenantNamespace(t)
			tcp := create(t, func(tcp *teapotv1.TenantControlPlane) {
				tcp.Namespace = namespace
				from(tcp)
			})
			own := controlplane.Namespace(key(tcp))
			if message := condition(t, tcp, teapotv1.NamespaceReadyCondition, teapotv1.ReasonRetainedDataMissing); !strings.Contains(message, own) {
				t.Errorf("the message does not name %s: %s", own, message)
			}
			condition(t, tcp, teapotv1.StalledCondition, teapotv1.ReasonRetainedDataMissing)
			if err := direct.Get(t.Context(), types.NamespacedName{Name: own}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
				t.Errorf("there is a namespace %s (%v)", own, err)
			}
			patch(t.Context(), t, tcp, func(spec *teapotv1.TenantControlPlaneSpec) {
				spec.Datastore.AdoptFrom, spec.ControlPlaneEndpoint = "", clusterv1.APIEndpoint{}
			})
			applied(t, tcp) // to begin without data is for a person to say
		})
	}
}
