//go:build linux

package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

func TestParseStartTicks(t *testing.T) {
	for _, tc := range []struct {
		name, stat string
		want       uint64
	}{
		{"plain", "12 (etcd) S 1 12 12 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 4242 1 2", 4242},
		{"name with blanks and parentheses", "12 (a) b (c)) R 1 12 12 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 77 1 2", 77},
		{"zombie", "12 (etcd) Z 1 12 12 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 4242 1 2", 0},
		{"truncated", "12 (etcd) S 1 12", 0},
		{"empty", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := parseStartTicks([]byte(tc.stat)); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestHasMark(t *testing.T) {
	env := []byte("A=1\x00" + markEnv + "=/var/lib/one\x00B=2\x00")
	if !hasMark(env, "/var/lib/one") {
		t.Error("own mark not found")
	}
	for _, other := range []state.Dir{"/var/lib/on", "/var/lib/one2", ""} {
		if hasMark(env, other) {
			t.Errorf("took a process of /var/lib/one for one of %q", other)
		}
	}
}

// A recycled pid is another process: it neither counts as alive nor is it
// signalled.
func TestStopLeavesRecycledPIDAlone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	defer func() { _ = cmd.Process.Kill(); <-exited }()

	real := ByPID([]int{cmd.Process.Pid})[0]
	older := *real
	older.StartTicks--
	otherBoot := *real
	otherBoot.BootID = "another"
	for name, p := range map[string]*Process{"older": &older, "other boot": &otherBoot, "none": nil} {
		if p.Alive() {
			t.Errorf("%s: counts as alive", name)
		}
		if p == nil {
			continue
		}
		if err := Stop(time.Second, p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !real.Alive() {
		t.Fatal("the process was signalled under a stale identity")
	}
	if err := Stop(5*time.Second, real); err != nil {
		t.Fatal(err)
	}
	if real.Alive() {
		t.Error("still alive after Stop")
	}
}

func TestStartWritesPIDFileAndMark(t *testing.T) {
	dir := state.Dir(t.TempDir())
	placed := 0
	p, err := Start(dir, Spec{Name: "sleeper", Version: "v1", Args: []string{"/bin/sleep", "60"}}, func(pid int) error {
		placed = pid
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if placed != p.PID || p.PID == os.Getpid() {
		t.Errorf("placed %d, started %d", placed, p.PID)
	}
	if loaded := Load(dir, "sleeper"); loaded == nil || loaded.PID != p.PID || !loaded.Alive() || loaded.Version != "v1" {
		t.Errorf("pid file says %+v, started %+v", loaded, p)
	}
	marked := Marked(dir)
	if len(marked) != 1 || marked[0].PID != p.PID {
		t.Errorf("marked processes %+v, want only %d", marked, p.PID)
	}
	if err := Stop(5*time.Second, p); err != nil {
		t.Error(err)
	}
}
