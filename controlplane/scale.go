package controlplane

import teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"

// Scale is how many of everything a control plane runs.
type Scale struct {
	// Replicas is the number of control-plane pods.
	Replicas int32
	// EtcdMembers is the number of etcd pods.
	EtcdMembers int32
	// Workers is what is to become of the machines; empty if they are as their pools ask.
	Workers teapotv1.HibernatedWorkers
}

// Size is what the spec asks for: the scale of a control plane that is awake.
func Size(spec teapotv1.TenantControlPlaneSpec) Scale {
	scale := Scale{Replicas: 1, EtcdMembers: 1}
	if spec.Replicas != nil {
		scale.Replicas = *spec.Replicas
	}
	if spec.Datastore.Etcd.Members > 0 {
		scale.EtcdMembers = spec.Datastore.Etcd.Members
	}
	return scale
}

// Rest is how far a control plane that goes to sleep has got.
type Rest int

// A control plane goes to sleep from what depends on it to what it depends on: machines need its API
// to leave, and API servers need etcd to end.
const (
	// RestNothing: it is awake.
	RestNothing Rest = iota
	// RestWorkers: the machines are to go, or to be switched off.
	RestWorkers
	// RestControlPlane: and the control-plane pods.
	RestControlPlane
	// RestEtcd: and etcd. Nothing runs.
	RestEtcd
)

// DesiredScale is the one place where the size of everything is decided.
func DesiredScale(spec teapotv1.TenantControlPlaneSpec, rest Rest) Scale {
	scale := Size(spec)
	if rest >= RestWorkers {
		scale.Workers = teapotv1.HibernatedWorkersRelease
		if spec.Hibernation != nil && spec.Hibernation.Workers != "" {
			scale.Workers = spec.Hibernation.Workers
		}
	}
	if rest >= RestControlPlane {
		scale.Replicas = 0
	}
	if rest >= RestEtcd {
		scale.EtcdMembers = 0
	}
	return scale
}
