// Package ironic serves the part of OpenStack Ironic's REST API that Metal3's baremetal-operator
// v0.13.2 uses, for the machines of a room. It is the only part of the machine room that stands
// for hardware: what drives it is the real operator with its real Ironic provisioner, and what
// boots behind it is a real operating system that reads the real user data.
//
// It advertises microversion 1.89 and no other, so that the operator uses nothing newer. The
// states, what may be asked of a node in which of them, the errors' codes and the texts of
// last_error are those of Ironic (its sources: ironic/common/states.py, ironic/common/exception.py,
// ironic/conductor/), as Metal3 configures it (its ironic-image: ironic-config/ironic.conf.j2).
//
// What differs from a real Ironic:
//
//   - It has no agent that it boots. The room plays the ramdisk, at the speed of the real work:
//     inspection takes no time, writing an image takes as long as unpacking it.
//   - Cleaning removes every file from the disk. Metal3's Ironic (erase_devices_priority 0,
//     erase_devices_metadata_priority 10) does so only with partition tables and file system
//     signatures: the former tenant's data stay in the blocks and can be found by who looks for
//     them. Metal3's automatedCleaningMode has "metadata" and "disabled" only. With "disabled" the
//     disk stays as it is, here and there.
//   - A power state that changes by itself is written to power_state within Options.PowerSync, as
//     with force_power_state_during_sync off. Metal3's Ironic leaves that option on: it looks each
//     60 s and switches the machine back by itself.
//   - A management controller does not listen on a network. Its address and credentials are looked
//     up in the room.
//   - Not served, since the operator does not ask for it at this microversion or Teapot has no
//     use for it: live ISO and custom deploy, servicing, virtual media and event subscriptions.
package ironic
