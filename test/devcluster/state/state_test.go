//go:build unix

package state

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestName(t *testing.T) {
	if got := Dir(DefaultDir + "/").Name(); got != "teapot-devcluster" {
		t.Errorf("the default directory's cluster is %s", got)
	}
	if a, b := Dir("/var/lib/a").Name(), Dir("/var/lib/b").Name(); a == b || a == "teapot-devcluster" {
		t.Errorf("clusters of two directories are %s and %s", a, b)
	}
}

func TestRecord(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if r, err := d.Load(); r != nil || err != nil {
		t.Errorf("without a file: %v, %v", r, err)
	}
	if err := d.Save(&Record{KubernetesVersion: "v1", Sysctls: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	r, err := d.Load()
	if err != nil || r.KubernetesVersion != "v1" || r.Sysctls["a"] != "b" {
		t.Errorf("read back %+v, %v", r, err)
	}
	if err := os.WriteFile(d.Path(recordFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Load(); r != nil || err != nil {
		t.Errorf("with half a file: %v, %v", r, err)
	}
}

func TestLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	release, err := Lock(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Lock(short, file); err == nil {
		t.Fatal("two hold the lock")
	}
	// The holder removes the file, as down does: its lock then excludes nobody
	// and the next one makes a new file.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	release()
	again, err := Lock(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
