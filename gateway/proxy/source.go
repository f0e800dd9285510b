package proxy

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/pires/go-proxyproto"

	"github.com/teapot-cloud/teapot/gateway/hello"
)

// source finds out who the client is: who connected, or of whom a load balancer says so. It returns
// what it has read of what comes after the load balancer's word.
func (c *connection) source() (already []byte, _ *rejection) {
	c.client = address(c.RemoteAddr())
	if !c.trusted(c.client) {
		return nil, nil
	}
	reader := bufio.NewReaderSize(c.TCPConn, 512)
	if _, err := reader.Peek(1); err != nil {
		// A load balancer that looks whether somebody listens.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &rejection{reason: string(hello.Slow)}
		}
		return nil, &rejection{reason: string(hello.Gone)}
	}
	header, err := proxyproto.Read(reader)
	if err != nil {
		return nil, &rejection{reason: badProxyHeader}
	}
	// Without an address (LOCAL, UNKNOWN) the connection is the load balancer's own.
	if client, _, ok := header.TCPAddrs(); ok && header.Command.IsProxy() {
		c.client = address(client)
	}
	already, err = reader.Peek(reader.Buffered())
	if err != nil {
		return nil, &rejection{reason: badProxyHeader}
	}
	return already, nil
}

func (s *Server) trusted(peer netip.Addr) bool {
	for _, prefix := range s.options.ProxyProtocolFrom {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}

// address is the IP address of a TCP address, an IPv4 one in its own form.
func address(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
