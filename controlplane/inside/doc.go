// Package inside renders what lives inside a tenant's cluster: what kubeadm would leave
// there after `kubeadm init`, the add-ons asked for, and the endpoints by which pods
// reach the API.
//
// kubeadm's own code makes the content: its defaults and its encoding of the
// configurations, CoreDNS and kube-proxy in print mode. Its access rules do not depend
// on the input; they are recorded from kubeadm's phases by this package's tests into
// rbac.yaml, and a test fails when a newer kubeadm would make others.
//
// The objects are meant for server-side apply without force. They hold no field but
// those that Teapot wants to own, so that a tenant's own edit survives.
//
// Nothing here depends on the version that was stamped into the program at link time,
// as kubeadm's version checks would.
package inside
