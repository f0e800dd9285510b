package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets what net has no name for.
func control(_, _ string, raw syscall.RawConn) error {
	var failure error
	err := raw.Control(func(socket uintptr) {
		failure = unix.SetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanishedAfter.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failure
}
