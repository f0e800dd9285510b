// Package thousand measures Teapot's manager with very many control planes at once, and with very
// many machines.
//
// Real are the manager, as a process of its own with its default flags, and the management
// cluster's kube-apiserver and etcd. A thousand control planes do not run on one computer,
// so there are stand-ins for what runs pods (workloads.go) and for the tenants' API servers
// (tenants.go). They live in the measuring process: what they cost is not the manager's.
//
// With machines Cluster API's own managers run too, with their webhooks (clusterapi.go), and a real
// kube-apiserver answers for the tenant. Stand-ins are the baremetal-operator, for whom every step
// on a machine takes no time, and the machines, which are Nodes at once (machines.go).
//
// It needs Linux, no root, and KUBEBUILDER_ASSETS (see package apiserver).
package thousand
