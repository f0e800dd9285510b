package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "teapot.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
var AddToScheme = (&runtime.SchemeBuilder{addKnownTypes}).AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &TenantControlPlane{}, &TenantControlPlaneList{},
		&TenantControlPlaneTemplate{}, &TenantControlPlaneTemplateList{},
		&TenantCluster{}, &TenantClusterList{}, &TenantClusterTemplate{}, &TenantClusterTemplateList{},
		&HostMachine{}, &HostMachineList{}, &HostMachineTemplate{}, &HostMachineTemplateList{},
		&MachineClaim{}, &MachineClaimList{},
		&WorkerPool{}, &WorkerPoolList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
