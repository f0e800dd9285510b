package oci

import "encoding/binary"

// Capability is the number of a Linux capability (capability.h).
type Capability uint

// NetBindService allows ports below 1024.
const NetBindService Capability = 10

// capabilityRecord is the PAX record in which tar carries the extended
// attribute that holds file capabilities.
const capabilityRecord = "SCHILY.xattr.security.capability"

// encodeCapabilities returns the kernel's struct vfs_cap_data, revision 2, for
// capabilities that are permitted and effective ("+ep" in setcap's words): a
// magic number, then permitted and inheritable sets in two halves of 32 bits,
// all little-endian.
func encodeCapabilities(caps []Capability) []byte {
	const (
		revision2     = 0x02000000
		effectiveFlag = 0x000001
	)
	var permitted [2]uint32
	for _, c := range caps {
		permitted[c/32] |= 1 << (c % 32)
	}
	out := binary.LittleEndian.AppendUint32(nil, revision2|effectiveFlag)
	for _, half := range permitted {
		out = binary.LittleEndian.AppendUint32(out, half)
		out = binary.LittleEndian.AppendUint32(out, 0) // inheritable
	}
	return out
}
