//go:build !linux

package proxy

import "syscall"

// control is for Linux, where the gateway runs.
func control(_, _ string, _ syscall.RawConn) error { return nil }
