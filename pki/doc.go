// Package pki makes the keys and certificates of a control plane, in memory.
//
// There are two sorts. Authorities (three certificate authorities and the
// service-account keys) are made once: everything that a tenant has trusts them, so
// nothing here replaces one. Leaves are certificates that an authority signs; Leaves
// lists them, and Ensure issues one anew when one of the policies in policies.go says
// so.
//
// The list of kubeadm's certificates, their subjects and usages, and the code that
// signs come from kubeadm (certs.GetDefaultCertList, pkiutil); this package adds the
// certificates that a hosted control plane needs on top, and the clock as an input.
// Keys are ECDSA P-256.
package pki
