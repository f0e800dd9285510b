// Package machine is the part of a machine that runs on this computer: a disk, and what boots
// from it. What boots is a real operating system (package image): systemd, cloud-init,
// containerd, kubelet and kubeadm are those of Debian and upstream, in process, mount, network,
// host name, IPC and cgroup namespaces of their own.
//
// What stands for hardware:
//
//   - The disk is a directory. Writing an image makes a fresh one: an overlay's upper directory
//     over the image, and plain directories for /var/lib/containerd (copied from the image) and
//     /var/lib/kubelet, since containerd's own layers cannot lie on an overlay. Erasing removes it.
//   - The config drive is an ext4 file system labelled config-2 on a loop device. A real one is
//     a partition with iso9660 or vfat, which not every kernel that the tests run on has.
//   - Power is a process of this program, the supply, in a session of its own. It outlives whom
//     it was started by, and it and the machine die together. A machine that says reboot to the
//     kernel is booted again; one that says poweroff has its supply end.
//   - The network card is one end of a veth; the other is on the wire of the development cluster's
//     node. Its address, the default route and resolv.conf are set before the machine starts:
//     that stands for DHCP.
//   - The console is a pseudo terminal, kept in the file console.log.
//
// The machine's kernel is this computer's. So root in a machine has what the kernel does not
// divide: CPU and memory sizes, the time, most of /proc/sys. Root does not see this computer's
// processes and files: other block devices cannot be opened (devices cgroup), and neither files
// by handle (CAP_DAC_READ_SEARCH), kernel memory, I/O ports nor the kernel's log, and SysRq and
// /proc/sys outside of net are covered. It is the isolation of a privileged container: enough for
// what Teapot's tests run, not against somebody who attacks the kernel's interface (mounts of
// /proc can be uncovered with CAP_SYS_ADMIN, and a privileged container has a /proc/sys of its
// own). With cgroup v2 devices would not be restricted.
//
// It was run with cgroup v1 and without systemd on this computer. Another arrangement of cgroups
// is detected, and was not tried.
package machine
