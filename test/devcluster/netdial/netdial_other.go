//go:build !linux

package netdial

import (
	"context"
	"errors"
	"net"
)

// ErrNotRunning says that there is no development cluster to dial into.
var ErrNotRunning = errors.New("the development cluster runs on Linux only")

// DialContext fails: network namespaces are Linux's.
func DialContext(context.Context, string, string) (net.Conn, error) { return nil, ErrNotRunning }
