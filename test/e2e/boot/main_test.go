package boot

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/build"
	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/devcluster/nodenet"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
	"github.com/teapot-cloud/teapot/test/machineroom/image"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

var (
	// root is the root of the repository.
	root string
	// node is the development cluster's.
	node *state.Record
	// imageName is the image that machines boot.
	imageName string
)

// helperEnv has the test binary power a machine on and end.
const helperEnv = "TEAPOT_TEST_POWER_ON"

func TestMain(m *testing.M) {
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "error: tests of machines that boot need root and the development cluster with Teapot in it (make test):", err)
		os.Exit(1)
	}
	if name := os.Getenv(helperEnv); name != "" {
		if err := newMachine(name).PowerOn(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for name := range addresses {
		if err := remove(newMachine(name)); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func setUp() (err error) {
	if root, err = filepath.Abs("../../.."); err != nil {
		return err
	}
	if node, err = state.FromEnvironment().Load(); err != nil {
		return err
	}
	if node == nil {
		return netdial.ErrNotRunning
	}
	builds, err := build.NewBuilder(func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	images := &image.Builder{Dir: filepath.Join(room.FromEnvironment(), "images"), Builds: builds}
	imageName, err = images.Ensure(context.Background(), build.DefaultKubernetesVersion)
	return err
}

// addresses are those of these tests' machines, below those of the machine room.
var addresses = map[string]string{"boot-0": "172.30.0.60/24", "boot-1": "172.30.0.61/24", "boot-2": "172.30.0.62/24"}

func newMachine(name string) *machine.Machine {
	return machine.New(machine.Config{
		Name: name, Dir: filepath.Join(room.FromEnvironment(), "tests", name),
		MAC: "52:54:00:ff:00:0" + name[len(name)-1:], Address: netip.MustParsePrefix(addresses[name]),
		Gateway: netip.MustParseAddr(nodenet.NodeIP), NetNS: node.NetNS,
		Images: filepath.Join(room.FromEnvironment(), "images"),
	})
}

// aMachine returns a machine whose disk is empty, whatever an earlier run left, and removes it
// with the test.
func aMachine(t *testing.T, name string) *machine.Machine {
	t.Helper()
	m := newMachine(name)
	if err := remove(m); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepConsole(t, m)
		}
		if err := remove(m); err != nil {
			t.Error(err)
		}
	})
	return m
}

func remove(m *machine.Machine) error {
	return errors.Join(m.PowerOff(context.Background(), true), m.Erase(context.Background()), os.RemoveAll(m.Dir))
}

// keepConsole saves what a failed test's machine said.
func keepConsole(t *testing.T, m *machine.Machine) {
	console, err := os.ReadFile(m.Console())
	if err == nil {
		path := filepath.Join(root, "test/out", strings.ReplaceAll(t.Name(), "/", "_"), m.Name+".log")
		err = state.WriteFile(path, console, 0o644)
	}
	if err != nil {
		t.Log("keeping the console:", err)
	}
}

// drive has cloud-init run shell commands.
func drive(name string, commands ...string) room.ConfigDrive {
	return room.ConfigDrive{
		MetaData: fmt.Appendf(nil, `{"uuid": %q, "hostname": %q}`, name, name),
		UserData: []byte("#cloud-config\nruncmd:\n- " + strings.Join(commands, "\n- ") + "\n"),
	}
}

func write(t *testing.T, m *machine.Machine, drive room.ConfigDrive) {
	t.Helper()
	if err := m.Write(t.Context(), imageName, drive); err != nil {
		t.Fatal(err)
	}
}

func powerOn(t *testing.T, m *machine.Machine) {
	t.Helper()
	if err := m.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// in runs a command in a machine and returns what it printed.
func in(ctx context.Context, m *machine.Machine, name string, args ...string) (string, error) {
	cmd, err := m.Exec(ctx, name, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s in %s: %w: %s", name, m.Name, err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// booted waits until cloud-init is through.
func booted(t *testing.T, m *machine.Machine) {
	t.Helper()
	eventually(t, time.Minute, m.Name+" to be through its start", func(ctx context.Context) error {
		_, err := in(ctx, m, "systemctl", "is-active", "cloud-init.target")
		return err
	})
}

func isOn(t *testing.T, m *machine.Machine, want bool) {
	t.Helper()
	if on, err := m.On(); err != nil || on != want {
		t.Fatalf("%s is powered on: %v, %v; want %v", m.Name, on, err, want)
	}
}

// eventually polls until a check succeeds or the time is over.
func eventually(t *testing.T, within time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", within, what, err)
		case <-tick.C:
		}
	}
}
