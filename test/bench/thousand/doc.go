// Package thousand measures Teapot's manager with very many control planes at once.
//
// Real are the manager, as a process of its own with its default flags, and the management
// cluster's kube-apiserver and etcd. A thousand control planes do not run on one computer,
// so there are stand-ins for what runs pods (workloads.go) and for the tenants' API servers
// (tenants.go). They live in the measuring process: what they cost is not the manager's.
//
// It needs Linux, no root, and KUBEBUILDER_ASSETS (see package apiserver).
package thousand
