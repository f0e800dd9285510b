// Package hostinfo tells from a machine's /proc how kubelet and containerd
// must handle its cgroups.
package hostinfo

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

// Mode is the arrangement of cgroup hierarchies.
type Mode string

const (
	// V1 has one hierarchy per controller.
	V1 Mode = "v1"
	// Hybrid is V1 plus a mounted unified hierarchy without the controllers
	// that Kubernetes needs. For Kubernetes it is V1.
	Hybrid Mode = "hybrid"
	// V2 has the unified hierarchy alone, at /sys/fs/cgroup.
	V2 Mode = "v2"
)

// cgroupMount is where every distribution mounts cgroups, and where runc and
// kubelet look for them.
const cgroupMount = "/sys/fs/cgroup"

// Sources are the files that Detect reads, so that tests can hand in recorded
// ones.
type Sources struct {
	// MountInfo is /proc/self/mountinfo.
	MountInfo string
	// InitComm is /proc/1/comm.
	InitComm string
	// Filesystems is /proc/filesystems.
	Filesystems string
}

// Info is what Detect concludes.
type Info struct {
	Mode Mode
	// Systemd says that PID 1 is systemd, which then owns the cgroup tree.
	Systemd bool
	// Hierarchies maps each mounted v1 controller (several names when mounted
	// together, as in "cpu,cpuacct") to its mount point; for V2 there is one
	// entry with an empty name.
	Hierarchies map[string]string
}

// CgroupDriver is kubelet's cgroupDriver.
func (i Info) CgroupDriver() string {
	if i.Systemd {
		return "systemd"
	}
	return "cgroupfs"
}

// SystemdCgroup is runc's SystemdCgroup option in containerd's configuration.
func (i Info) SystemdCgroup() bool { return i.Systemd }

// FailCgroupV1 is kubelet's failCgroupV1: its default, true, would keep it
// from starting on v1.
func (i Info) FailCgroupV1() bool { return i.Mode == V2 }

// CgroupRoot is kubelet's cgroupRoot. With cgroupfs all pods go below a group
// of ours, so that they can be found and removed; systemd wants its own slices
// at the top.
func (i Info) CgroupRoot(group string) string {
	if i.Systemd {
		return "/"
	}
	return "/" + group
}

// Current detects the machine that this runs on.
func Current() (Info, error) {
	var s Sources
	for path, dest := range map[string]*string{
		"/proc/self/mountinfo": &s.MountInfo,
		"/proc/1/comm":         &s.InitComm,
		"/proc/filesystems":    &s.Filesystems,
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			return Info{}, fmt.Errorf("looking at this machine's cgroups: %w", err)
		}
		*dest = string(data)
	}
	return Detect(s)
}

// Detect reads the arrangement of cgroups out of /proc. It fails with a
// sentence for a person when Kubernetes cannot run on such a machine: no
// cgroups mounted, no memory, cpu or pids controller, no overlayfs.
func Detect(s Sources) (Info, error) {
	info := Info{
		Systemd:     strings.TrimSpace(s.InitComm) == "systemd",
		Hierarchies: map[string]string{},
	}
	unified := ""
	for line := range strings.Lines(s.MountInfo) {
		m, ok := parseMount(line)
		if !ok || !strings.HasPrefix(m.point+"/", cgroupMount+"/") {
			continue
		}
		switch m.fstype {
		case "cgroup2":
			unified = m.point
		case "cgroup":
			names := controllers(m.superOptions)
			// systemd's own hierarchy belongs to systemd.
			if names != "" && !(info.Systemd && names == "name=systemd") {
				info.Hierarchies[names] = m.point
			}
		}
	}
	if !hasFilesystem(s.Filesystems, "overlay") {
		return Info{}, fmt.Errorf("this kernel has no overlayfs, which containerd needs (modprobe overlay)")
	}
	switch {
	case unified == cgroupMount:
		info.Mode = V2
		info.Hierarchies = map[string]string{"": cgroupMount}
		return info, nil
	case len(info.Hierarchies) == 0:
		return Info{}, fmt.Errorf("no cgroups are mounted at %s: mount them (on Debian: apt-get install cgroupfs-mount)", cgroupMount)
	case unified != "":
		info.Mode = Hybrid
	default:
		info.Mode = V1
	}
	if missing := info.missingControllers("cpu", "cpuacct", "cpuset", "memory", "pids"); len(missing) > 0 {
		return Info{}, fmt.Errorf("cgroup controllers %s are not mounted below %s, Kubernetes needs them",
			strings.Join(missing, ", "), cgroupMount)
	}
	return info, nil
}

// missingControllers returns those of the wanted v1 controllers that no
// hierarchy carries.
func (i Info) missingControllers(wanted ...string) []string {
	present := map[string]bool{}
	for names := range i.Hierarchies {
		for _, n := range strings.Split(names, ",") {
			present[n] = true
		}
	}
	var missing []string
	for _, w := range wanted {
		if !present[w] {
			missing = append(missing, w)
		}
	}
	sort.Strings(missing)
	return missing
}

// mountLine is what Detect needs of a line of mountinfo (proc(5)).
type mountLine struct {
	point, fstype, superOptions string
}

// parseMount splits a line of mountinfo. The optional fields before " - " vary
// in number.
func parseMount(line string) (mountLine, bool) {
	before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 3 {
		return mountLine{}, false
	}
	return mountLine{point: left[4], fstype: right[0], superOptions: right[2]}, true
}

// controllers picks the controllers out of a v1 mount's super options. A named
// hierarchy, which carries none, appears as "name=systemd"; kubelet wants its
// groups there too.
func controllers(options string) string {
	var names []string
	for _, o := range strings.Split(options, ",") {
		switch o {
		case "rw", "ro", "xattr", "clone_children", "noprefix":
		default:
			if !strings.Contains(o, "=") || strings.HasPrefix(o, "name=") {
				names = append(names, o)
			}
		}
	}
	return strings.Join(names, ",")
}

// hasFilesystem reports whether /proc/filesystems lists the file system.
func hasFilesystem(filesystems, name string) bool {
	for line := range strings.Lines(filesystems) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}
