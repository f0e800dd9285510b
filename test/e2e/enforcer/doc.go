// Package enforcer tries the development cluster's NetworkPolicy enforcer with real packets,
// in network namespaces of its own. It needs root, and no cluster.
package enforcer
