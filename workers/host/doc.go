// Package host is the one adapter around Metal3's BareMetalHost and HostDeployPolicy
// (github.com/metal3-io/baremetal-operator/apis v0.13.2): what Teapot reads of a host, and the
// few changes that it makes to one. All of it is pure: objects in, values or changed objects out.
//
// Who holds a host is its consumerRef and nothing else. The functions that change a host expect
// a live read of it, and the caller writes the result with the resource version of that read, so
// that a change that somebody else made in between is a conflict.
//
//	Take         sets consumerRef on a host that nobody holds: the write is the lock.
//	Provision    sets image and data: the host begins to be written when it is next looked at.
//	SetPower     switches it on or off.
//	Deprovision  takes image and data away: the host is deprovisioned and cleaned.
//	Free         clears consumerRef, and is only for a host that Released says is back.
//
// What the baremetal-operator does with them was read in its sources, v0.13.2:
// internal/controller/metal3.io/host_state_machine.go and baremetalhost_controller.go. It writes
// the state provisioning, with the resource version that it read, before it touches the
// machine. So a host that a live read shows as available without an image is not being written,
// and clearing consumerRef with that read's resource version is safe.
package host
