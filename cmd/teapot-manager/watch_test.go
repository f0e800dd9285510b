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
	red, blue, grey := tenant(t, c, "red"), tenant(t, c, "blue"), tenant(t, c, "grey")
	managers := []*manager{
		startManager(t, "--leader-election-id=red", "--watch-namespaces=red,red-too"),
		startManager(t, "--leader-election-id=blue", "--watch-namespaces=blue,blue-too"),
	}
	reconciled := func(tcp *teapotv1.TenantControlPlane) {
		t.Helper()
		eventually(t, tcp.Namespace+" to be worked on", func(ctx context.Context) error {
			if err := c.Get(ctx, client.ObjectKeyFromObject(tcp), tcp); err != nil {
				return err
			}
			if !meta.IsStatusConditionTrue(tcp.Status.Conditions, teapotv1.CertificatesReadyCondition) || tcp.Status.ObservedGeneration != tcp.Generation {
				return fmt.Errorf("status is %+v", tcp.Status)
			}
			return nil
		})
	}
	for _, tcp := range []*teapotv1.TenantControlPlane{red, blue} {
		reconciled(tcp)
		// By now both managers have heard of what was made, if they listen to it.
		patch := client.MergeFrom(tcp.DeepCopy())
		tcp.Spec.DeletionPolicy = teapotv1.DeletionPolicyRetain
		if err := c.Patch(t.Context(), tcp, patch); err != nil {
			t.Fatal(err)
		}
		reconciled(tcp)
	}
	for i, other := range []string{"blue", "red"} {
		if log := managers[i].logged(); strings.Contains(log, "Reconciler error") || strings.Contains(log, `namespace="`+other) {
			t.Errorf("a manager took up what is another's:\n%s", log)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(grey), grey); err != nil || len(grey.Finalizers)+len(grey.Status.Conditions) > 0 {
		t.Errorf("nobody watches namespace grey, and its control plane was touched: %v %+v", err, grey)
	}
}
