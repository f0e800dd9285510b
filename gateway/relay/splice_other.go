//go:build !linux

package relay

import "net"

// pass passes on all that comes from one connection to the other. It returns nil at the end.
func (r *Relay) pass(direction Direction, from, to *net.TCPConn) error {
	return r.copyAll(direction, from, to)
}
