// Command podroutes leads packets between the pods of a cluster whose machines are on one wire:
// on each machine it keeps a route per other machine to its share of the pods' addresses, by way
// of that machine's address. It runs as a DaemonSet (../pod-network.yaml).
//
// It stands for the part of a network plug-in that does this, such as flannel's backend host-gw:
// flannel v0.28.10 cannot be built as it is, since a module of one of its backends is not to be
// had, and without that backend takes two minutes of a processor. The other part, a pod's own
// interface and address, is done by upstream's CNI plug-ins, as the image says.
//
// The routes are in the machines' own routing tables. So tenants whose pods have the same
// addresses do not meet, though their machines are on the same wire.
package main

import (
	"errors"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// routes returns what a machine has to have: for each other machine's share of addresses that
// machine's own. Shares of which the machine's family is not the same are left out, and so are
// machines that have no share or address yet. What cannot be parsed is reported beside the rest.
func routes(nodes []*corev1.Node, self string) (map[netip.Prefix]netip.Addr, error) {
	wanted := map[netip.Prefix]netip.Addr{}
	var problems error
	for _, node := range nodes {
		if node.Name == self {
			continue
		}
		var gateways []netip.Addr
		for _, address := range node.Status.Addresses {
			if address.Type != corev1.NodeInternalIP {
				continue
			}
			gateway, err := netip.ParseAddr(address.Address)
			problems = errors.Join(problems, err)
			gateways = append(gateways, gateway)
		}
		for _, share := range node.Spec.PodCIDRs {
			prefix, err := netip.ParsePrefix(share)
			if err != nil {
				problems = errors.Join(problems, err)
				continue
			}
			for _, gateway := range gateways {
				if gateway.IsValid() && gateway.Is4() == prefix.Addr().Is4() {
					wanted[prefix.Masked()] = gateway
					break
				}
			}
		}
	}
	return wanted, problems
}
