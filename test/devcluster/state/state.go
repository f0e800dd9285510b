// Package state knows where a development cluster keeps its files, and what a
// finished `up` recorded about it.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// DefaultDir is the state directory unless DirEnv or --state-dir says
	// otherwise.
	DefaultDir = "/var/lib/teapot-devcluster"
	// DirEnv is the environment variable that moves the state directory.
	DirEnv = "TEAPOT_DEVCLUSTER_DIR"
)

// Dir is the state directory of a development cluster. Its methods name the
// files in it. Socket paths are short, as the kernel allows them 107 bytes.
type Dir string

// FromEnvironment returns the state directory that DirEnv names, or the default.
func FromEnvironment() Dir {
	if dir := os.Getenv(DirEnv); dir != "" {
		return Dir(dir)
	}
	return DefaultDir
}

// Name names what the cluster has outside of its directory: network namespace,
// cgroups, CNI network. Clusters of different directories do not meet.
func (d Dir) Name() string {
	clean := filepath.Clean(string(d))
	if clean == DefaultDir {
		return "teapot-devcluster"
	}
	sum := sha256.Sum256([]byte(clean))
	return "teapot-" + hex.EncodeToString(sum[:4])
}

// Path returns a path inside the state directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Kubeconfig is the administrator's kubeconfig, which goes through the forwarder.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// Log is the log file of a part.
func (d Dir) Log(part string) string { return d.Path("logs", part+".log") }

// PID is the file that names the process of a part.
func (d Dir) PID(part string) string { return d.Path("run", part+".json") }

// ContainerdSocket is where containerd and its CRI listen.
func (d Dir) ContainerdSocket() string { return d.Path("containerd.sock") }

// Volumes holds one directory per provisioned volume.
func (d Dir) Volumes() string { return d.Path("volumes") }

// LockFile serializes commands that change the cluster. It lies beside the
// directory, because `down` removes the directory while it holds the lock.
func (d Dir) LockFile() string { return filepath.Clean(string(d)) + ".lock" }

// Record is what `up` notes about the cluster. It is written before the first
// change to the host, and again when the cluster is complete.
type Record struct {
	// KubernetesVersion is the version that runs, with the leading v.
	KubernetesVersion string `json:"kubernetesVersion"`
	// BootID identifies the boot of the machine in which the cluster was
	// started; after another boot none of its processes can be alive.
	BootID string `json:"bootID"`
	// ForwardPort is the port on 127.0.0.1 that leads to the API server.
	ForwardPort int `json:"forwardPort"`
	// NetNS is the path of the cluster's network namespace.
	NetNS string `json:"netns"`
	// NodeIP is the node's address in that namespace.
	NodeIP string `json:"nodeIP"`
	// Sysctls are the host's settings from before `up`, which `down` restores.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Ready says that an `up` once came to its end.
	Ready bool `json:"ready"`
	// Started is when that `up` began.
	Started time.Time `json:"started"`
}

// recordFile is the name of the Record in the state directory.
const recordFile = "cluster.json"

// Load returns the record, or nil if there is none. A file that cannot be
// parsed counts as none: it is what a machine that lost power leaves behind.
func (d Dir) Load() (*Record, error) {
	data, err := os.ReadFile(d.Path(recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's state: %w", err)
	}
	r := &Record{}
	if json.Unmarshal(data, r) != nil {
		return nil, nil
	}
	return r, nil
}

// Save writes the record.
func (d Dir) Save(r *Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the cluster's state: %w", err)
	}
	return WriteFile(d.Path(recordFile), append(data, '\n'), 0o600)
}

// WriteFile replaces a file in one step, so that a killed run leaves the old
// content or the new, and makes the directory if need be.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	// A left-over temporary file keeps the mode with which it was made.
	if err := os.Chmod(tmp, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
