// Package netdial reaches into the network namespace of the running
// development cluster, so that a test process on the host can dial a node
// port, a Service or a pod as if it were on the node.
package netdial
