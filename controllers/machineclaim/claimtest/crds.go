// Package claimtest is for tests of what works on MachineClaims and BareMetalHosts against a
// real API server: upstream's CRDs, a stand-in for the baremetal-operator, and a judge that
// watches every revision of every host.
package claimtest

import (
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
	"github.com/teapot-cloud/teapot/workers/host"
)

// Scheme knows the kinds that claims have to do with.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(clusterv1.AddToScheme(scheme))
	utilruntime.Must(teapotv1.AddToScheme(scheme))
	utilruntime.Must(host.AddToScheme(scheme))
	return scheme
}

// InstallCRDs installs Metal3's CRDs of hosts and policies and Cluster API's of Cluster.
func InstallCRDs(config *rest.Config) error {
	return apiserver.InstallUpstream(config, apiserver.BareMetalHostCRD, apiserver.HostDeployPolicyCRD, apiserver.ClusterCRD)
}
