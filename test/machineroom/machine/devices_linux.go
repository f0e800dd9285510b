package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// device is a device node.
type device struct {
	Name string
	// Kind is S_IFBLK or S_IFCHR.
	Kind         uint32
	Major, Minor uint32
}

// make makes the node in a directory.
func (d device) make(dir string, mode uint32) error {
	path := filepath.Join(dir, d.Name)
	if err := unix.Mknod(path, d.Kind|mode, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
		return fmt.Errorf("mknod %s: %w", path, err)
	}
	// Mknod honours the umask.
	return unix.Chmod(path, mode)
}

// attach attaches a file to a free loop device, for reading. The kernel detaches it when the
// returned file is closed and nobody has it mounted, so a killed supply leaves none.
func attach(path string) (device, *os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return device{}, nil, err
	}
	defer file.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return device{}, nil, err
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return device{}, nil, fmt.Errorf("finding a free loop device: %w", err)
		}
		name := "loop" + strconv.Itoa(number)
		loop, err := os.Open("/dev/" + name)
		if err != nil {
			return device{}, nil, err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{
			Fd:   uint32(file.Fd()),
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return device{Name: name, Kind: unix.S_IFBLK, Major: loopMajor, Minor: uint32(number)}, loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else took it
			return device{}, nil, fmt.Errorf("attaching %s to %s: %w", path, name, err)
		}
	}
}

// Majors and minors of Documentation/admin-guide/devices.txt.
const (
	memMajor  = 1
	ttyMajor  = 5
	loopMajor = 7
	miscMajor = 10
	ptsMajor  = 136
	tunMinor  = 200
	// loops bounds the loop devices that a computer is taken to have.
	loops = 256
)

// denials lists, in the form of the cgroup's devices.deny, what a machine must not open: all of
// /proc/devices and /proc/misc but the few devices that containers have, its own config drive,
// and tun. It is a list of what is denied, since with a list of what is allowed the kernel would
// refuse the machine's runc a privileged container. Making nodes, which harms nobody, is not
// denied because runc's own list names it.
func denials(devices, misc string, drive device) []string {
	var rules []string
	deny := func(kind string, major, minor any) {
		rules = append(rules, fmt.Sprintf("%s %v:%v rw", kind, major, minor))
	}
	kind := ""
	seen := map[string]bool{}
	for line := range strings.Lines(devices) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Character"):
			kind = "c"
		case strings.HasPrefix(line, "Block"):
			kind = "b"
		case len(fields) == 2:
			major, err := strconv.Atoi(fields[0])
			allowed := kind == "c" && (major == memMajor || major == ttyMajor || major == miscMajor || major == ptsMajor) ||
				kind == "b" && major == loopMajor
			if err != nil || allowed || seen[kind+fields[0]] {
				continue
			}
			seen[kind+fields[0]] = true
			deny(kind, major, "*")
		}
	}
	for _, minor := range []int{1, 2, 4, 11, 12} { // mem, kmem, port, kmsg, oldmem
		deny("c", memMajor, minor)
	}
	for line := range strings.Lines(misc) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] != strconv.Itoa(tunMinor) {
			deny("c", miscMajor, fields[0])
		}
	}
	for minor := range loops {
		if drive.Major != loopMajor || drive.Minor != uint32(minor) {
			deny("b", loopMajor, minor)
		}
	}
	return rules
}
