package enforcer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/netpolicy"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
)

// place is a network namespace of the test: the node, a pod, or a computer outside.
type place struct {
	name string
	// addresses are those of its interface eth0, with prefix lengths.
	addresses []string
	// gateways lead to everything else.
	gateways []string
	// bridge is the one of the node that it is connected to.
	bridge string
}

const (
	// nodeV4 and nodeV6 are the node's addresses on the bridge of the pods.
	nodeV4 = "10.129.0.1"
	nodeV6 = "fd00::1"
	// service is the address of a Service whose only endpoint is pod b, port 8080.
	service = "10.128.0.10"
	// outsideIP and exceptedIP are both addresses of the computer outside.
	outsideIP  = "172.30.0.50"
	exceptedIP = "172.30.0.51"
)

var (
	theNode = place{name: "node"}
	podA    = pod("a", "10.129.0.2", "fd00::2")
	podB    = pod("b", "10.129.0.3", "fd00::3")
	podC    = pod("c", "10.129.0.4", "fd00::4")
	outside = place{name: "outside", addresses: []string{outsideIP + "/24", exceptedIP + "/24"}, gateways: []string{nodenet.NodeIP}, bridge: nodenet.Bridge}
)

func pod(name, v4, v6 string) place {
	return place{name: name, addresses: []string{v4 + "/16", v6 + "/64"}, gateways: []string{nodeV4, nodeV6}, bridge: netpolicy.PodBridge}
}

func (p place) path() string { return nodenet.Path("teapot-e2e-enforcer-" + p.name) }

// translation does what kube-proxy does for a Service.
const translation = `
table ip service {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr ` + service + ` tcp dport 80 dnat to 10.129.0.3:8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat ip saddr 10.129.0.3 ip daddr 10.129.0.3 masquerade
	}
}
`

// build makes the node with pods and a computer outside, anew if a killed run left them.
func build(t *testing.T) {
	t.Helper()
	all := []place{podA, podB, podC, outside, theNode}
	remove := func() error {
		var errs []error
		for _, p := range all {
			errs = append(errs, nodenet.Delete(p.path()))
		}
		return errors.Join(errs...)
	}
	if err := remove(); err != nil {
		t.Fatalf("removing what an earlier run left (are you root?): %v", err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	})
	if err := nodenet.Create(theNode.path()); err != nil {
		t.Fatal(err)
	}
	if err := netdial.Do(theNode.path(), configureNode); err != nil {
		t.Fatalf("configuring the node: %v", err)
	}
	for _, p := range all {
		if p.bridge != "" {
			connect(t, p)
		}
		for _, port := range []string{"8080", "8081"} {
			echo(t, p, port)
		}
	}
}

func configureNode() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = netpolicy.PodBridge
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	if err := addAddresses(bridge, nodeV4+"/16", nodeV6+"/64"); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(translation)
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w\n%s", err, out)
	}
	return nil
}

// addAddresses skips the search for duplicates, which would hold IPv6 ones back.
func addAddresses(link netlink.Link, addresses ...string) error {
	for _, text := range addresses {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		address.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("adding address %s: %w", text, err)
		}
	}
	return nil
}

// connect makes a place's namespace and the cable to its bridge.
func connect(t *testing.T, p place) {
	t.Helper()
	name := strings.TrimPrefix(p.path(), nodenet.Path("")+"/")
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v: %s", err, out)
	}
	target, err := netns.GetFromPath(p.path())
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := netdial.Do(theNode.path(), func() error {
		bridge, err := netlink.LinkByName(p.bridge)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = p.name, bridge.Attrs().Index
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(target)}); err != nil {
			return err
		}
		near, err := netlink.LinkByName(p.name)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetHairpin(near, true), netlink.LinkSetUp(near))
	}); err != nil {
		t.Fatalf("plugging in %s: %v", p.name, err)
	}
	if err := netdial.Do(p.path(), func() error {
		// package net looks at the loopback interface to learn whether there is IPv6, once.
		loopback, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkSetUp(loopback), addAddresses(link, p.addresses...), netlink.LinkSetUp(link)); err != nil {
			return err
		}
		for _, gateway := range p.gateways {
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)}); err != nil {
				return fmt.Errorf("adding the route by %s: %w", gateway, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatalf("configuring %s: %v", p.name, err)
	}
}

// linkLocal is a place's IPv6 link-local address on an interface, with the zone by which
// pods know it.
func linkLocal(t *testing.T, p place, device string) string {
	t.Helper()
	var found string
	if err := netdial.Do(p.path(), func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
		for _, address := range addresses {
			if address.IP.IsLinkLocalUnicast() {
				found = address.IP.String() + "%eth0"
			}
		}
		return err
	}); err != nil || found == "" {
		t.Fatalf("%s has no link-local address on %s: %v", p.name, device, err)
	}
	return found
}

// echo sends back what arrives at a port, by TCP and by UDP.
func echo(t *testing.T, p place, port string) {
	t.Helper()
	var listener net.Listener
	var packets net.PacketConn
	if err := netdial.Do(p.path(), func() (err error) {
		if listener, err = net.Listen("tcp", ":"+port); err != nil {
			return err
		}
		packets, err = net.ListenPacket("udp", ":"+port)
		return err
	}); err != nil {
		t.Fatalf("listening on %s: %v", p.name, err)
	}
	t.Cleanup(func() { _, _ = listener.Close(), packets.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		buffer := make([]byte, 16)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(buffer[:n], from)
		}
	}()
}

// open dials from a place, by an address of its own if one is named.
func open(ctx context.Context, from place, local, network, to string) (net.Conn, error) {
	var conn net.Conn
	err := netdial.Do(from.path(), func() (err error) {
		dialer := net.Dialer{FallbackDelay: -1}
		if local != "" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
		}
		conn, err = dialer.DialContext(ctx, network, to)
		return err
	})
	return conn, err
}

// exchange sends a byte and waits for it to come back.
func exchange(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{'x'}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// isTimeout says whether packets got no answer at all, not even a refusal.
func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
