// Package image builds the image that machines of the machine room boot: Debian with
// systemd and cloud-init, containerd, runc, CNI plug-ins, kubelet, kubeadm and kubectl, and
// the container images that a machine of a tenant needs, so that no registry does.
//
// An image is what a vendor's or an operator's own would be: it knows nothing of Teapot, of
// a tenant or of the machine. All of that comes on the config drive.
//
// # In the directory of images
//
//	teapot-node-v1.36.3 -> .node-<digest>    the name by which a host's spec asks for it
//	.node-<digest>/image.json                what it consists of (Image)
//	.node-<digest>/root/                     our files, above those of Debian
//	.node-<digest>/containerd/               /var/lib/containerd, with unpacked images
//	.base-<digest>/root/                     Debian
//	.debs/                                   downloaded packages
//
// A digest covers what its directory is made from, and a directory under its final name is
// complete. What a killed build left is removed by the next one; it cannot leave mounts,
// since they are made in a mount namespace that ends with the build.
//
// Disks of machines read an image as long as they exist: each holds a hard link to image.json,
// and a .node-<digest> or .base-<digest> is removed only if nobody does and its name went on.
package image
