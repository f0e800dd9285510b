package controlplane

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// DefaultImageRepository is where upstream publishes its images.
const DefaultImageRepository = "registry.k8s.io"

// Input is all that the objects of a control plane are made from.
type Input struct {
	// Owner is the TenantControlPlane, and UID its UID.
	Owner types.NamespacedName
	UID   types.UID
	// ClusterName is the name of the owning Cluster, or else that of the control plane.
	ClusterName string
	Spec        teapotv1.TenantControlPlaneSpec
	// Settings are the operator's, the same for every control plane.
	Settings Settings

	// Serving says what of the control plane was ready when it was last observed.
	Serving Serving

	// Rest is how much of the control plane is stopped, since it sleeps.
	Rest Rest
	// NoVolume says that etcd cannot run, since it has no volume.
	NoVolume bool
	// Gateway is the way in of users; zero if they come by the machines' way.
	Gateway Gateway

	// Known is the endpoint that machines may know already, empty if there is none. What of it
	// nobody asked for is kept, should the Service that holds it be changed or deleted.
	Known Endpoint

	// Endpoint and EtcdClientIP are known once the Services exist (see Base).
	Endpoint     Endpoint
	EtcdClientIP string
	// Credentials are known once the names above are.
	Credentials Credentials
}

// Serving says whether any pod of a component was ready.
type Serving struct{ ControlPlane, Etcd bool }

// Settings are what the operator who runs the manager decides for all control planes.
type Settings struct {
	// ImageRepository is registry.k8s.io or a mirror with the same paths.
	ImageRepository string
	// NodePortAddress is the address of NodePort endpoints whose control plane names
	// no host; empty to take one from the management cluster's nodes.
	NodePortAddress string
	// Gateway is the entrance by name that all control planes share.
	Gateway GatewaySettings
}

// Namespace is the control plane's own namespace.
func (in Input) Namespace() string { return Namespace(in.Owner) }

// ImageRepository is where the images come from: the spec's, or else the operator's.
func (in Input) ImageRepository() string {
	return cmp.Or(in.Spec.ImageRepository, in.Settings.ImageRepository)
}

// Konnectivity says whether konnectivity is asked for.
func (in Input) Konnectivity() bool { return Enabled(in.Spec.Addons.Konnectivity) }

// Enabled says whether an add-on is asked for; the default is yes.
func Enabled(addon teapotv1.AddonSpec) bool { return addon.Enabled == nil || *addon.Enabled }

// resources merges what the spec asks for over the defaults.
func resources(defaults corev1.ResourceRequirements, spec teapotv1.ComponentSpec) corev1.ResourceRequirements {
	merged := corev1.ResourceRequirements{Requests: defaults.Requests.DeepCopy(), Limits: defaults.Limits.DeepCopy()}
	set := func(list *corev1.ResourceList, amounts teapotv1.ResourceAmounts) {
		if *list == nil && (amounts.CPU != nil || amounts.Memory != nil) {
			*list = corev1.ResourceList{}
		}
		if amounts.CPU != nil {
			(*list)[corev1.ResourceCPU] = *amounts.CPU
		}
		if amounts.Memory != nil {
			(*list)[corev1.ResourceMemory] = *amounts.Memory
		}
	}
	set(&merged.Requests, spec.Resources.Requests)
	set(&merged.Limits, spec.Resources.Limits)
	// A limit below the default request would be refused by the API server: who sets
	// only a limit means a request of no more than it.
	for name, limit := range merged.Limits {
		if request, ok := merged.Requests[name]; ok && request.Cmp(limit) > 0 {
			merged.Requests[name] = limit
		}
	}
	return merged
}
