// Package konnectivity describes the tunnel by which an API server reaches into its
// tenant's network: to kubelets, pods and webhooks.
//
// The server runs beside kube-apiserver in the control-plane pod; kube-apiserver hands
// it every outgoing connection over a Unix domain socket. Agents on the tenant's
// machines dial the server and then carry these connections. So the way out of a hosted
// API server ends in the tenant's network, never in the management cluster's.
//
// The package is pure: it returns arguments, a configuration file and objects. What it
// says of flags and behaviour is from sigs.k8s.io/apiserver-network-proxy v0.36.0,
// cmd/server and cmd/agent.
package konnectivity

// Version is the release of apiserver-network-proxy whose images are used.
const Version = "v0.36.0"

// Images of the two halves, where upstream publishes them.
const (
	ServerImage = "registry.k8s.io/kas-network-proxy/proxy-server:" + Version
	AgentImage  = "registry.k8s.io/kas-network-proxy/proxy-agent:" + Version
)

// Commands are the entry points of the two images.
const (
	ServerCommand = "/proxy-server"
	AgentCommand  = "/proxy-agent"
)

const (
	// ServerUser is who the server is in the tenant's cluster: the common name of its
	// client certificate.
	ServerUser = "system:konnectivity-server"
	// Audience is what an agent's token is for. kube-apiserver must list it in
	// --api-audiences, or else it refuses to review the token.
	Audience = "system:konnectivity-server"
	// AgentNamespace and AgentServiceAccount are who an agent is. AgentServiceAccount is
	// also the name of the agents' DaemonSet.
	AgentNamespace      = "kube-system"
	AgentServiceAccount = "konnectivity-agent"
)
