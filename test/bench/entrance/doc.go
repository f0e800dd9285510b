// Package entrance measures the gateway against haproxy, which reads the name in a TLS ClientHello and
// passes the connection on, too (haproxy.cfg.tmpl).
//
// Both are processes of their own on loopback, with the same servers behind them, and take turns. The
// gateway finds its way by Leases on a real API server; haproxy has its ways in a file. Users and servers
// are in the measuring process (backend.go, load.go), so that what they cost is neither one's.
//
// It needs Linux, no root, haproxy, and KUBEBUILDER_ASSETS (see package apiserver).
package entrance
