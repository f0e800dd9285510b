package workerpool_test

import (
	"context"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestClusterAPIComesAndGoes: a pool says that it waits for Cluster API, begins when that is
// installed, and goes though its kinds have vanished with all objects and the manager began anew.
func TestClusterAPIComesAndGoes(t *testing.T) {
	t.Parallel()
	of, stop, err := apiserver.Start()
	must(t, err)
	t.Cleanup(func() { must(t, stop()) })
	c, err := client.New(of, client.Options{Scheme: scheme})
	must(t, err)

	end := start(t, of)
	p := newPlayIn(t, c).begun(t)
	p.refused(t, teapotv1.ReasonWaitingForClusterAPI, "it has no Cluster.cluster.x-k8s.io")
	must(t, installClusterAPI(of))
	p.mdIs(t, "three machines", replicasAre(3))
	p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	hm := &teapotv1.HostMachine{ObjectMeta: p.named("workers-1"), Spec: teapotv1.HostMachineSpec{HostRequest: p.pool.Spec.HostRequest}}
	hm.Labels = map[string]string{teapotv1.PoolLabel: "workers", clusterv1.MachineDeploymentNameLabel: "workers"}
	must(t, c.Create(t.Context(), hm))
	end()

	crds := &metav1.PartialObjectMetadataList{}
	crds.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinitionList"))
	must(t, c.List(t.Context(), crds))
	for i := range crds.Items {
		if crd := &crds.Items[i]; strings.HasSuffix(crd.Name, ".cluster.x-k8s.io") {
			crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
			must(t, c.Delete(t.Context(), crd))
			gone(t, c, crd)
		}
	}
	defer start(t, of)()
	must(t, c.Delete(t.Context(), p.pool))
	gone(t, c, p.pool)
	gone(t, c, hm)
}

// start starts a manager of its own, and returns how to end it.
func start(t *testing.T, of *rest.Config) func() {
	t.Helper()
	mgr, err := newManager(of)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return func() {
		cancel()
		must(t, <-ended)
	}
}
