//go:build linux

// Package nodenet makes the network namespace that the development cluster's
// node lives in. Nothing of it is seen on the host: no interface, no route, no
// rule. What wants in uses netdial.
package nodenet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
)

const (
	// NodeIP is the node's address on Bridge.
	NodeIP = "172.30.0.2"
	// PodCIDR and ServiceCIDR differ from the defaults of tenants
	// (10.244.0.0/16, 10.96.0.0/16), so that mixing the two up shows.
	PodCIDR     = "10.129.0.0/16"
	ServiceCIDR = "10.128.0.0/16"

	// Gateway is the node's default route. Nobody answers there unless a
	// harness takes the address.
	Gateway = "172.30.0.1"

	// Bridge is the node's uplink: what is to be on the same wire as the node
	// puts a veth end into it.
	Bridge = "uplink"
	// nodeCIDR is NodeIP with its prefix length.
	nodeCIDR = NodeIP + "/24"
)

// rules hides pods behind the node's address when they leave the node. One
// static rule costs nothing per pod, whereas the bridge plugin's ipMasq would
// run a command per pod.
const rules = `
table ip teapot-devcluster {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr ` + PodCIDR + ` ip daddr != { ` + PodCIDR + `, 224.0.0.0/4 } masquerade
	}
}
`

// Path is where a namespace of that name is mounted, and where `ip netns` looks
// for it.
func Path(name string) string { return filepath.Join("/run/netns", name) }

// Exists reports whether there is a namespace at the path.
func Exists(path string) bool {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return false
	}
	defer ns.Close()
	// A plain file of that name, left by a run killed before the mount, opens
	// as well.
	var st unix.Statfs_t
	return unix.Fstatfs(int(ns), &st) == nil && st.Type == unix.NSFS_MAGIC
}

// Create makes the namespace and its interfaces. The caller has removed an
// older one.
func Create(path string) error {
	if err := share(filepath.Dir(path)); err != nil {
		return fmt.Errorf("making network namespace %s: %w", path, err)
	}
	if err := mountNew(path); err != nil {
		return fmt.Errorf("making network namespace %s: %w", path, err)
	}
	if err := netdial.Do(path, configure); err != nil {
		return fmt.Errorf("configuring network namespace %s: %w", path, err)
	}
	return nil
}

// mountNew makes an empty namespace and keeps it by a bind mount.
func mountNew(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, and the new
		// namespace never leaks into another one.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		self := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		result <- unix.Mount(self, path, "", unix.MS_BIND, "")
	}()
	return <-result
}

// configure runs inside the new namespace.
func configure() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = Bridge
	br := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("adding bridge %s: %w", Bridge, err)
	}
	addr, err := netlink.ParseAddr(nodeCIDR)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(br, addr); err != nil {
		return fmt.Errorf("adding address %s: %w", nodeCIDR, err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: br.Attrs().Index, Gw: net.ParseIP(Gateway)}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("adding the default route: %w", err)
	}
	if err := forwarding(); err != nil {
		return err
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading nftables rules: %w\n%s", err, out)
	}
	return nil
}

// forwarding lets the node forward between pods and makes bridged frames pass
// through netfilter: without that, the answer of a pod to another pod that came
// by a Service's address would return with the wrong source. /proc/sys/net
// shows the namespace of the thread that opens it.
func forwarding() error {
	const bridgeFilter = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(bridgeFilter); err != nil {
		// A module on most kernels. If it cannot be loaded, the write below says
		// what is missing.
		_ = exec.Command("modprobe", "br_netfilter").Run()
	}
	for _, file := range []string{"/proc/sys/net/ipv4/ip_forward", bridgeFilter} {
		if err := os.WriteFile(file, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("setting %s (kernel module br_netfilter?): %w", file, err)
		}
	}
	return nil
}

// share makes the folder of network namespaces a shared mount, as the first `ip netns add` on a
// computer does (iproute2's ip/ipnetns.c). Were that to come after us, it would mount the folder
// over our namespace's mount, which nobody could remove then.
func share(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // it is no mount point yet
		if err = unix.Mount(folder, folder, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("sharing %s: %w", folder, err)
	}
	return nil
}

// Delete removes the namespace; its interfaces vanish once the last process in
// it has ended. Without one it does nothing.
func Delete(path string) error {
	for {
		// Interrupted runs may have stacked mounts.
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}
