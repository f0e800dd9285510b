package process

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Folder makes a temporary folder for a benchmark, and removes those of its runs that were killed
// before they could.
func Folder(bench string) (string, error) {
	prefix := "teapot-" + bench + "-"
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, folder := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), prefix), "-")
		if _, err := os.Stat(filepath.Join("/proc", pid)); errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(folder)
		}
	}
	return os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
}

// Address is a loopback address that no other process of the computer uses: Linux answers
// on all of 127.0.0.0/8, and it is made from the process's number, which has 22 bits at most
// (proc_sys_kernel(5), pid_max).
func Address() string {
	pid := os.Getpid()
	return net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid)).String()
}
