package e2e

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

// TestTheDevelopmentClusterSurvivesKills kills `up` at several of its steps. The next one
// must succeed all the same, and `down` must leave the computer as it was.
func TestTheDevelopmentClusterSurvivesKills(t *testing.T) {
	directory := filepath.Join("/var/lib", "teapot-e2e-cluster")
	run := func(args ...string) *exec.Cmd {
		command := exec.Command(filepath.Join(root, "bin/devcluster"), args...)
		command.Env = append(os.Environ(), state.DirEnv+"="+directory)
		return command
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := run(args...).CombinedOutput(); err != nil {
			t.Fatalf("devcluster %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	must("down") // what a killed run of this test left
	before := traces(t, directory)
	t.Cleanup(func() {
		if out, err := run("down").CombinedOutput(); err != nil {
			t.Errorf("devcluster down: %v\n%s", err, out)
		}
	})

	for _, steps := range []int{1, 3, 6, 9} {
		command := run("up")
		progress, err := command.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(progress)
		for seen := 0; seen < steps && lines.Scan(); {
			seen++
		}
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = command.Wait() // it was killed
	}
	must("up")
	must("status")
	must("down")
	if left := sets.List(traces(t, directory).Difference(before)); len(left) > 0 {
		t.Errorf("down left: %s", strings.Join(left, "\n"))
	}
}

// traces names what a cluster could leave: processes that name its directory, mounts,
// network namespaces, cgroups, files.
func traces(t *testing.T, directory string) sets.Set[string] {
	t.Helper()
	found := sets.New[string]()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		if command, err := os.ReadFile(file); err == nil && strings.Contains(string(command), directory) {
			found.Insert("process " + strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; strings.Contains(point, directory) {
			found.Insert("mount " + point)
		}
	}
	namespaces, err := filepath.Glob("/run/netns/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range namespaces {
		found.Insert("network namespace " + namespace)
	}
	base := filepath.Base(directory)
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, base) {
			found.Insert("cgroup " + path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(directory); err == nil {
		found.Insert("directory " + directory)
	}
	return found
}
