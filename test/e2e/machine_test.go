package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
)

// The tests' machine: a network namespace on the same wire as the management cluster's
// node. Real kube-proxy and konnectivity agents run in it; nothing else of it is a machine.
const (
	machineName = "teapot-e2e-machine"
	machinePath = "/run/netns/" + machineName
	machineIP   = "172.30.0.50"
	// hiddenIP is an address that exists inside the machine alone (TEST-NET-1, RFC 5737).
	hiddenIP = "192.0.2.1"
)

// newMachine makes the machine, anew if an earlier run left one.
func newMachine(t *testing.T) {
	t.Helper()
	if err := removeMachine(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", machineName).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := removeMachine(); err != nil {
			t.Error(err)
		}
	})
	target, err := netns.GetFromPath(machinePath)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	// The cable is made at the node's end, so that the host sees nothing of it.
	if err := netdial.Do(node.NetNS, func() error { return plugIn(target) }); err != nil {
		t.Fatalf("connecting the machine to the node's network: %v", err)
	}
	if err := netdial.Do(machinePath, configureMachine); err != nil {
		t.Fatalf("configuring the machine's network: %v", err)
	}
}

func plugIn(machine netns.NsHandle) error {
	uplink, err := netlink.LinkByName(nodenet.Bridge)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "e2e-machine"
	attrs.MasterIndex = uplink.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(machine)}); err != nil {
		return err
	}
	near, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(near)
}

func configureMachine() error {
	for name, address := range map[string]string{"eth0": machineIP + "/24", "lo": hiddenIP + "/32"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.AddrAdd(link, parsed), netlink.LinkSetUp(link)); err != nil {
			return err
		}
	}
	// Something must lead to Service addresses before kube-proxy can turn them around.
	return netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(node.NodeIP)})
}

// removeMachine ends what runs in the machine and removes it. Everything in a namespace
// of this name was started by these tests.
func removeMachine() error {
	var stat unix.Stat_t
	if err := unix.Stat(machinePath, &stat); err != nil {
		return nil
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return err
	}
	for _, link := range links {
		var other unix.Stat_t
		if unix.Stat(link, &other) != nil || other.Ino != stat.Ino || other.Dev != stat.Dev {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err == nil && pid != os.Getpid() {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending process %d in %s: %w", pid, machineName, err)
		}
	}
	if out, err := exec.Command("ip", "netns", "del", machineName).CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns del: %w: %s", err, out)
	}
	return nil
}

// onMachine starts a program in the machine and ends it with the test.
func onMachine(t *testing.T, path string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, path, args...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := netdial.Do(machinePath, command.Start); err != nil {
		cancel()
		t.Fatalf("starting %s: %v", path, err)
	}
	t.Cleanup(func() {
		cancel()
		err := command.Wait()
		if t.Failed() {
			t.Logf("%s ended with %v; it said:\n%s", filepath.Base(path), err, tail(output.Bytes(), 4000))
		}
	})
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
