package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// hostNeed is something that the host must have, and the Debian package that
// brings it.
type hostNeed struct {
	name    string
	pkg     string
	present func() bool
}

var (
	needGCC       = hostNeed{"gcc", "gcc", inPath("gcc")}
	needPkgConfig = hostNeed{"pkg-config", "pkg-config", inPath("pkg-config")}
	needLibc      = hostNeed{"the C library's headers", "libc6-dev", exists("/usr/include/stdio.h")}
	needSeccomp   = hostNeed{"libseccomp's headers", "libseccomp-dev", exists("/usr/include/seccomp.h", "/usr/include/*/seccomp.h")}
)

// inPath reports whether a command is found in PATH.
func inPath(command string) func() bool {
	return func() bool {
		_, err := exec.LookPath(command)
		return err == nil
	}
}

// exists reports whether one of the patterns matches a file.
func exists(patterns ...string) func() bool {
	return func() bool {
		for _, p := range patterns {
			if m, _ := filepath.Glob(p); len(m) > 0 {
				return true
			}
		}
		return false
	}
}

// CommandNeed describes a command that must be in PATH and the Debian package
// that brings it, for MissingError.
func CommandNeed(command, pkg string) hostNeed {
	return hostNeed{name: command, pkg: pkg, present: inPath(command)}
}

// MissingError returns nil if all needs are met, or else an error that names
// what is missing and how to get it.
func MissingError(purpose string, needs ...hostNeed) error {
	var names, pkgs []string
	for _, n := range needs {
		if !n.present() {
			names, pkgs = append(names, n.name), append(pkgs, n.pkg)
		}
	}
	if len(names) == 0 {
		return nil
	}
	sort.Strings(pkgs)
	how := "run `make deps`, or apt-get install " + strings.Join(pkgs, " ")
	if os.Geteuid() != 0 {
		how += " (as root)"
	}
	return fmt.Errorf("%s needs %s: %s", purpose, strings.Join(names, ", "), how)
}
