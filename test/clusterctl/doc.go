// Package clusterctl tests what clusterctl, the real one, makes of Teapot as a provider of Cluster
// API: init, generate cluster, describe cluster and move between two management clusters.
//
// A management cluster here is a real API server with Cluster API's own managers (core and kubeadm
// bootstrap), teapot-manager and some of kube-controller-manager as processes beside it, installed by
// `clusterctl init`. Nothing runs pods there; what is played is
//
//   - the kubelet of a control plane: the kube-apiserver is started by the command in Teapot's
//     Deployment, with the keys in Teapot's Secret, beside an etcd that keeps its data;
//   - the baremetal-operator and its machines: controllers/machineclaim/claimtest;
//   - the machines' joining: a Node with the provider id that the machine would have been told.
//
// The same with real pods and machines, without clusterctl, is in test/e2e.
package clusterctl
