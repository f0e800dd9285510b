package controlplane

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// Scale is how many pods of each kind a control plane runs.
type Scale struct {
	// Replicas is the number of control-plane pods.
	Replicas int32
	// EtcdMembers is the number of etcd pods.
	EtcdMembers int32
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

// DesiredScale is the one place where it is decided how much runs now. An API server whose etcd has no
// volume (see LacksVolume) is not run: it would end after 20 s and be started again for ever, at the cost
// of its neighbours, and in the end every five minutes, so that it is late when the volume comes.
func DesiredScale(in Input) Scale {
	scale := Size(in.Spec)
	if in.Rest >= RestControlPlane || in.NoVolume {
		scale.Replicas = 0
	}
	if in.Rest >= RestEtcd {
		scale.EtcdMembers = 0
	}
	return scale
}

// WorkersAtRest is what becomes of the machines while the control plane sleeps. The default is Release.
func WorkersAtRest(spec teapotv1.TenantControlPlaneSpec) teapotv1.HibernatedWorkers {
	if spec.Hibernation == nil || spec.Hibernation.Workers == "" {
		return teapotv1.HibernatedWorkersRelease
	}
	return spec.Hibernation.Workers
}

// volumePatience is how long etcd's claims may wait for a volume: clouds take half a minute.
const volumePatience = time.Minute

// MayLackVolume says whether to look at etcd's claims: members are to run, none is ready, and the claims
// had time to be bound.
func MayLackVolume(etcd *appsv1.StatefulSet, now time.Time) bool {
	made := etcd.CreationTimestamp
	return !made.IsZero() && ptr.Deref(etcd.Spec.Replicas, 1) > 0 && etcd.Status.ReadyReplicas == 0 &&
		now.Sub(made.Time) >= volumePatience
}

// LacksVolume says of etcd's claims that none has a volume, so that no member can run.
func LacksVolume(claims []corev1.PersistentVolumeClaim) bool {
	return len(claims) > 0 && !slices.ContainsFunc(claims, func(claim corev1.PersistentVolumeClaim) bool {
		return claim.Status.Phase == corev1.ClaimBound
	})
}
