package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// nodeEnv names the machine's own Node.
const nodeEnv = "NODE_NAME"

// protocol marks our routes in the kernel's table (ip route show proto 146), so that those of
// machines that are gone are found after a restart. It is none that the kernel or iproute2's
// rt_protos names.
const protocol = 146

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv(nodeEnv)); err != nil {
		slog.Error("keeping routes", "error", err)
		os.Exit(1)
	}
}

// run keeps the routes until ctx ends. They stay after it.
func run(ctx context.Context, self string) error {
	if self == "" {
		return errors.New(nodeEnv + " is not set")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default: // noted already
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(_, _ any) { note() },
		DeleteFunc: func(any) { note() },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	// A list that is not complete would remove routes.
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		list, err := nodes.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		if err := apply(list, self); err != nil {
			return err
		}
	}
}

// apply makes our routes those that are wanted.
func apply(nodes []*corev1.Node, self string) error {
	wanted, problems := routes(nodes, self)
	if problems != nil {
		slog.Warn("reading Nodes", "error", problems)
	}
	present, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	have := map[netip.Prefix]netip.Addr{}
	for _, route := range present {
		prefix, gateway := parse(route)
		if wanted[prefix] == gateway {
			have[prefix] = gateway
			continue
		}
		if _, replaced := wanted[prefix]; replaced {
			continue
		}
		if err := netlink.RouteDel(&route); err != nil {
			return fmt.Errorf("removing the route to %s: %w", prefix, err)
		}
		slog.Info("removed a route", "to", prefix)
	}
	for prefix, gateway := range wanted {
		if have[prefix] == gateway {
			continue
		}
		dst := &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
		if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: gateway.AsSlice(), Protocol: protocol}); err != nil {
			return fmt.Errorf("adding the route to %s by %s: %w", prefix, gateway, err)
		}
		slog.Info("added a route", "to", prefix, "by", gateway)
	}
	return nil
}

// parse returns a route's destination and gateway; zero ones if it has none.
func parse(route netlink.Route) (netip.Prefix, netip.Addr) {
	gateway, _ := netip.AddrFromSlice(route.Gw)
	if route.Dst == nil {
		return netip.Prefix{}, gateway.Unmap()
	}
	address, _ := netip.AddrFromSlice(route.Dst.IP)
	bits, _ := route.Dst.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits), gateway.Unmap()
}
