package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HibernationSpec is when a control plane sleeps: nothing of it runs then, and its state, its
// addresses and its names stay. What decides, from the highest: deletion; an operation in progress,
// which is finished first; a user's request that is younger than idleAfter; enabled; the last edge of the
// schedules; idleAfter.
//
// +kubebuilder:validation:XValidation:rule="!has(self.wakeOnRequest) || !self.wakeOnRequest || has(self.idleAfter)",fieldPath=".wakeOnRequest",message="needs idleAfter, which says how long a control plane stays awake after a request; set spec.hibernation.idleAfter, for example 1h"
type HibernationSpec struct {
	// enabled true puts the control plane to sleep now. false, or left out, leaves it to schedules and
	// idleAfter. `teapot hibernate` and `teapot resume` set it, and the annotation
	// teapot.dev/hibernation-requested-at with it: what schedules and users asked for before that moment
	// does not count any more.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// schedules are the times at which the control plane goes to sleep and comes back. If two of them
	// name the same moment, it comes back.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Schedules []HibernationSchedule `json:"schedules,omitempty"`

	// idleAfter is how long nobody may have used the control plane before it sleeps by itself, for
	// example 1h: no user's connection through the gateway, no unfinished Job, no pending pod that a pool
	// could serve. Left out, it does not. At least 2m: a gateway tells of users once a minute.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s))+$') && duration(self) >= duration('2m') && duration(self) <= duration('720h')",message="must be a duration between 2m and 720h (30 days), for example 1h"
	IdleAfter *metav1.Duration `json:"idleAfter,omitempty"`

	// wakeOnRequest wakes the control plane when a user comes through the gateway. Default: true with
	// idleAfter, false without.
	// +optional
	WakeOnRequest *bool `json:"wakeOnRequest,omitempty"`

	// workers is what becomes of the machines meanwhile: Release gives the hosts back, and new machines
	// are made afterwards; PowerOff keeps them switched off; Keep lets them run on.
	// +optional
	// +kubebuilder:default=Release
	Workers HibernatedWorkers `json:"workers,omitempty"`
}

// HibernatedWorkers is what becomes of machines while their control plane sleeps.
// +kubebuilder:validation:Enum=Release;PowerOff;Keep
type HibernatedWorkers string

// Values of HibernatedWorkers.
const (
	HibernatedWorkersRelease  HibernatedWorkers = "Release"
	HibernatedWorkersPowerOff HibernatedWorkers = "PowerOff"
	HibernatedWorkersKeep     HibernatedWorkers = "Keep"
)

// HibernationSchedule is a weekly time to sleep, a time to come back, or both. A time that a change of
// the clocks leaves out counts when the clocks have changed, and one that comes twice counts once.
//
// +kubebuilder:validation:XValidation:rule="has(self.hibernateAt) || has(self.resumeAt)",fieldPath=".hibernateAt",message="give hibernateAt, resumeAt or both: a schedule without either does nothing"
// +kubebuilder:validation:XValidation:rule="!has(self.hibernateAt) || !has(self.resumeAt) || self.hibernateAt != self.resumeAt",fieldPath=".resumeAt",message="must differ from hibernateAt"
type HibernationSchedule struct {
	// days are the days of the week, in timeZone, on which the times count. Default: every day.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	Days []Day `json:"days,omitempty"`

	// hibernateAt is when to go to sleep, for example "20:00".
	// +optional
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:XValidation:rule="self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",message="must be a time of day from 00:00 to 23:59, for example \"20:00\""
	HibernateAt string `json:"hibernateAt,omitempty"`

	// resumeAt is when to come back, for example "06:00".
	// +optional
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:XValidation:rule="self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",message="must be a time of day from 00:00 to 23:59, for example \"06:00\""
	ResumeAt string `json:"resumeAt,omitempty"`

	// timeZone is the time zone of days and times, by its name in the IANA database, for example
	// Europe/Berlin.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z]([-+_A-Za-z0-9/]*[A-Za-z0-9])?$') && self != 'Local' && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",message="must be the name of a time zone of the IANA database, for example Europe/Berlin"
	TimeZone string `json:"timeZone,omitempty"`
}

// Day is a day of the week.
// +kubebuilder:validation:Enum=Monday;Tuesday;Wednesday;Thursday;Friday;Saturday;Sunday
type Day string

// HibernationPhase is how far a control plane is.
// +kubebuilder:validation:Enum=Awake;Hibernating;Asleep;Waking
type HibernationPhase string

// Values of HibernationPhase.
const (
	// HibernationAwake: everything runs that is asked for.
	HibernationAwake HibernationPhase = "Awake"
	// HibernationHibernating: it is to sleep, and something of it runs still.
	HibernationHibernating HibernationPhase = "Hibernating"
	// HibernationAsleep: nothing of it runs.
	HibernationAsleep HibernationPhase = "Asleep"
	// HibernationWaking: it is to be awake, and does not answer yet.
	HibernationWaking HibernationPhase = "Waking"
)

// HibernationStatus is whether a control plane sleeps, and why.
type HibernationStatus struct {
	// phase is Awake, Hibernating, Asleep or Waking.
	// +optional
	Phase HibernationPhase `json:"phase,omitempty"`
	// since is when it was decided that the control plane sleeps, or is awake.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// reason is a word for what decided: Requested, Schedule, Idle, WakeRequest, Operation, InUse, Resumed,
	// KubeletCertificates, Deleting or Awake.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it in a sentence, with what is waited for.
	// +optional
	Message string `json:"message,omitempty"`
	// nextChange is the next time that a schedule changes something.
	// +optional
	NextChange *HibernationChange `json:"nextChange,omitempty"`
	// awakeBecause are the reasons for not sleeping although idleAfter is set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	AwakeBecause []string `json:"awakeBecause,omitempty"`
}

// HibernationChange is a change to come.
type HibernationChange struct {
	// time is when.
	Time metav1.Time `json:"time"`
	// phase is what the control plane goes to: Asleep or Awake.
	Phase HibernationPhase `json:"phase"`
}

// GatewayAccess says whether users come through the shared gateway.
// +kubebuilder:validation:Enum=Enabled;Disabled
type GatewayAccess string

// Values of GatewayAccess.
const (
	GatewayEnabled  GatewayAccess = "Enabled"
	GatewayDisabled GatewayAccess = "Disabled"
)
