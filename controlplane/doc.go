// Package controlplane is the pure part of a hosted control plane: values in,
// objects and decisions out. It does no I/O; time, randomness and names are inputs.
//
// Names (names.go) says what everything is called, Render makes every object of the
// control plane's own namespace, and the sub-package inside makes the objects that
// live in the tenant's cluster.
package controlplane
