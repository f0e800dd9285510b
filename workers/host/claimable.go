package host

import (
	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
)

// Refusal says in a few words, after a number of hosts, why they cannot be claimed.
type Refusal string

// Refusals, in the order in which they are looked at.
const (
	// Claimable: the host can be claimed.
	Claimable Refusal = ""
	// Taken: consumerRef is set.
	Taken Refusal = "taken"
	// Leaving: the host is being deleted.
	Leaving Refusal = "being deleted"
	// External: something else put its system there (externallyProvisioned).
	External Refusal = "externally provisioned"
	// Paused: the operator leaves it alone (annotation baremetalhost.metal3.io/paused).
	Paused Refusal = "paused"
	// Detached: the provisioner does not manage it (annotation baremetalhost.metal3.io/detached).
	Detached Refusal = "detached"
	// Unhealthy: marked as broken (annotation capm3.metal3.io/unhealthy).
	Unhealthy Refusal = "unhealthy"
	// Failing: the host has an error.
	Failing Refusal = "with errors"
	// Busy: it is being registered, inspected, prepared or cleaned, or waits for that.
	Busy Refusal = "not available yet"
	// Used: an image, or data for one, is asked for though nobody holds the host.
	Used Refusal = "used without a claim"
	// Unclean: it was given back without having been cleaned, by another tenant, or nobody knows by
	// which.
	Unclean Refusal = "not clean"
)

// Claimable says why no claim of the tenant can take the host, whatever it asks for, and Claimable
// if one can. What is not known to be well is refused.
func (h *Host) Claimable(by Tenant) Refusal {
	switch {
	case h.Holder != nil:
		return Taken
	case h.Deleting:
		return Leaving
	case h.ExternallyProvisioned:
		return External
	case h.Paused:
		return Paused
	case h.Detached:
		return Detached
	case h.Unhealthy:
		return Unhealthy
	case h.Error != "" || h.ErrorKind != "" || h.Operational == string(metal3v1.OperationalStatusError):
		return Failing
	case !h.Available() || h.Operational != string(metal3v1.OperationalStatusOK):
		return Busy
	case h.Asked != "" || h.Written != "" || h.AskedData:
		return Used
	case h.UncleanedFor != "" && (by.UID == "" || h.KeptFor() != by):
		return Unclean
	default:
		return Claimable
	}
}

// InUse says that something of a use is left to take away: Deprovision has work to do.
func (h *Host) InUse() bool {
	return h.Asked != "" || h.AskedData || h.Online && !h.KeepsPower
}

// Released says that the host is back: nothing is asked of it, nothing is on its disk, and it is
// off. Otherwise it says in words what is waited for.
func (h *Host) Released() (bool, string) {
	switch {
	case h.InUse():
		return false, "its image is still asked for"
	case h.Error != "" || h.ErrorKind != "":
		return false, h.ErrorKind + ": " + h.Error
	case !h.Available() || h.Written != "":
		return false, "it is " + h.stateWords()
	case h.PoweredOn && !h.KeepsPower:
		return false, "its power is on"
	default:
		return true, ""
	}
}

func (h *Host) stateWords() string {
	if h.State == "" {
		return "in no state yet"
	}
	return h.State
}
