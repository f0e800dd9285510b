package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

func TestPrintMachines(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	machines := []control.Machine{
		{Name: "machine-0", Hardware: room.Hardware{Class: "small"}},
		{Name: "machine-1", Hardware: room.Hardware{Class: "gpu"}, Power: true, Boots: room.FromDisk, Image: "debian", Node: &control.Node{
			Name: "metal~machine-1", ProvisionState: "active", Since: now.Add(-90 * time.Second),
		}},
		{Name: "machine-2", Hardware: room.Hardware{Class: "small"}, Faults: "fail-clean", Node: &control.Node{
			Name: "metal~machine-2", ProvisionState: "clean failed", Maintenance: true, Since: now.Add(-3 * time.Hour),
		}},
	}
	var out bytes.Buffer
	if err := printMachines(&out, machines, now); err != nil {
		t.Fatal(err)
	}
	want := `NAME        CLASS   POWER       STATE                       ELAPSED   IMAGE    FAULT        HOST
machine-0   small   off         -                           -         -        -            -
machine-1   gpu     on (disk)   active                      90s       debian   -            metal~machine-1
machine-2   small   off         clean failed, maintenance   3h        -        fail-clean   metal~machine-2
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// Each command explains itself, and a mistake says what would be right.
func TestCommands(t *testing.T) {
	t.Setenv(room.DirEnv, t.TempDir())
	for _, c := range newCommand().Commands() {
		if !c.Hidden && !slices.Contains([]string{"help", "completion"}, c.Name()) && (c.Short == "" || !strings.Contains(c.Example, "go run ./test/machineroom "+c.Name())) {
			t.Errorf("%s has no description or no example of itself", c.Name())
		}
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"list"}, "go run ./test/machineroom up"},
		{[]string{"fail", "machine-0", "burn"}, "fail-clean"},
		{[]string{"power", "machine-0", "maybe"}, "not on, off or cut"},
		{[]string{"up", "--machines", "70000"}, "32768"},
		{[]string{"up", "--boats", "1"}, "usage"},
	} {
		root := newCommand()
		root.SetArgs(tc.args)
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v, want %q in it", tc.args, err, tc.says)
		}
	}
}
