// Package netpolicy enforces NetworkPolicies on the development cluster's node. It stands
// for the policy engine of a CNI such as Calico or Cilium, so that policies are tried with
// real packets; it has no claim to be one.
//
// Compile is pure: policies, pods and namespaces in, the text of one nftables table out.
// Run watches the three kinds and has nft replace the table, in one transaction, whenever
// the text changes. The address of a pod it takes from what libcni keeps of the plugins'
// answers, which is there before the pod's containers start; kubelet reports it up to some
// seconds later.
//
// What it keeps of the API (https://kubernetes.io/docs/concepts/services-networking/network-policies/):
//
//   - A pod that no policy selects for a direction is free in that direction. One that is
//     selected may do what any rule of any of its policies allows, and talk to itself.
//   - Service addresses and node ports are judged after kube-proxy's translation.
//   - What the node itself sends to its pods passes (kubelet's probes, host-network pods):
//     it does not come by the hooks that are used here. Host-network pods are part of the
//     node: no policy selects them, neither as subject nor as peer.
//   - Replies pass. All other packets are judged one by one, so that a connection which a
//     new policy forbids is cut, not only kept from being opened.
//
// What the API leaves to the engine, and what was chosen, as Calico and Cilium do: a pod's
// egress rules also hold for addresses of the node that it runs on. The API's reference
// lets engines pass such traffic; one that does leaves the kubelet's and, where control
// planes share nodes with the management cluster's API server, that port within reach.
//
// Where it is weaker than what it stands for:
//
//   - A CNI's engine holds a pod back until its rules are in place. Here they follow the
//     plugins' answer by some 100 ms, while the runtime makes the sandbox and pulls up the
//     first container. What a pod did open before is cut by the first packet after.
//   - When the process ends, its table stays: known pods stay isolated, later ones are not.
//   - Source addresses are believed. A pod with CAP_NET_RAW or CAP_NET_ADMIN can lie; one
//     that Pod Security calls restricted cannot.
//   - IPv6 link-local addresses, which the API does not know, are closed to all pods.
//
// Pods share a Linux bridge. Their frames to one another cross the IP hooks because
// nodenet turns br_netfilter on, which Services between pods of one node need anyhow.
package netpolicy
