package machine

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
)

// cable is the name of the veth's end at the wire; names have at most 15 characters.
func (c Config) cable() string { return "room" + c.ID() }

// connect gives the network namespace of a process eth0, an address and a default route.
func (c Config) connect(pid int) error {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	machine, err := netns.GetFromPath(path)
	if err != nil {
		return err
	}
	defer machine.Close()
	// The cable is made at the wire's end, so that the computer's own network sees nothing of it.
	if err := netdial.Do(c.NetNS, func() error { return c.plugIn(machine) }); err != nil {
		return err
	}
	return netdial.Do(path, c.configure)
}

func (c Config) plugIn(machine netns.NsHandle) error {
	// The namespace of a machine that ended just now, with its end of the cable, may linger.
	if old, err := netlink.LinkByName(c.cable()); err == nil {
		if err := netlink.LinkDel(old); err != nil {
			return fmt.Errorf("removing an earlier %s: %w", c.cable(), err)
		}
	}
	wire, err := netlink.LinkByName(nodenet.Bridge)
	if err != nil {
		return fmt.Errorf("finding the wire %s (does the development cluster run?): %w", nodenet.Bridge, err)
	}
	mac, err := net.ParseMAC(c.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.cable()
	attrs.MasterIndex = wire.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(machine),
	}); err != nil {
		return err
	}
	near, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(near)
}

// configure stands for DHCP.
func (c Config) configure() error {
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(c.Address.String())
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.AddrAdd(eth0, address), netlink.LinkSetUp(eth0)); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IP(c.Gateway.AsSlice())})
}
