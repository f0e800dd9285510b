package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// TestTwoInstallations watch different namespaces of one cluster and leave one another alone.
func TestTwoInstallations(t *testing.T) {
	c := newClient(t)
	red, blue, grey := tenant(t, c), tenant(t, c), tenant(t, c)
	reds := startManager(t, "--leader-election-id=red", "--watch-namespaces="+red.Namespace+",another")
	blues := startManager(t, "--leader-election-id=blue", "--watch-namespaces="+blue.Namespace+",another")
	reconciled := func(m *manager, tcp *teapotv1.TenantControlPlane) {
		t.Helper()
		m.eventually(t, tcp.Namespace+" to be worked on", func(ctx context.Context) error {
			if err := c.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
				return err
			}
			if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.CertificatesReadyCondition) || tcp.Status.ObservedGeneration != tcp.Generation {
				return fmt.Errorf("status is %+v", tcp.Status)
			}
			return nil
		})
	}
	for tcp, m := range map[*teapotv1.TenantControlPlane]*manager{red: reds, blue: blues} {
		reconciled(m, tcp)
	}
	// By now both have heard of all that was made, if they listen to it.
	for tcp, m := range map[*teapotv1.TenantControlPlane]*manager{red: reds, blue: blues} {
		patch := client.MergeFrom(tcp.DeepCopy())
		tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain
		if err := c.Patch(t.Context(), tcp, patch); err != nil {
			t.Fatal(err)
		}
		reconciled(m, tcp)
	}
	for other, m := range map[string]*manager{blue.Namespace: reds, red.Namespace: blues} {
		if log := m.log.String(); strings.Contains(log, "Reconciler error") || strings.Contains(log, other) {
			t.Errorf("a manager took up what is another's:\n%s", log)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(grey), grey); err != nil || len(grey.Finalizers)+len(grey.Status.Conditions) > 0 {
		t.Errorf("nobody watches namespace %s, and its control plane was touched: %v %+v", grey.Namespace, err, grey)
	}
}
