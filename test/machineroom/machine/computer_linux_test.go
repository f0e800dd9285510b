package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// TestFirstMachinesAtOnce powers the first machines of a computer on at the same time: each of them
// finds that the computer is not prepared.
func TestFirstMachinesAtOnce(t *testing.T) {
	dir := t.TempDir()
	c := computer{connections: filepath.Join(dir, "size"), before: filepath.Join(dir, "before"), lock: filepath.Join(dir, "lock")}
	c.set = func(value string) error { return os.WriteFile(c.connections, []byte(value), 0o644) }
	content := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	want := strconv.Itoa(kubeProxyConnections(runtime.NumCPU()))
	for range 5 {
		if err := c.set("7\n"); err != nil {
			t.Fatal(err)
		}
		var machines sync.WaitGroup
		for range 4 {
			machines.Go(func() {
				if err := c.prepare(); err != nil {
					t.Error(err)
				}
			})
		}
		machines.Wait()
		if size, before := content(c.connections), content(c.before); size != want || before != "7\n" {
			t.Fatalf("the size is %q, and was %q before; want %q and %q", size, before, want, "7\n")
		}
		if err := c.restore(); err != nil {
			t.Fatal(err)
		}
		if size := content(c.connections); size != "7" {
			t.Fatalf("the size is %q after all, want 7", size)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
			t.Fatalf("there are %v, want the size alone", left)
		}
	}
}
