package room_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

// stub is a computer whose calls take as long as the test wants.
type stub struct {
	room.Folder
	// busy is sent to when an image is about to be written, and received from before it is.
	busy chan struct{}
}

func (s stub) Write(ctx context.Context, image string, drive room.ConfigDrive) error {
	if s.busy == nil {
		return s.Folder.Write(ctx, image, drive)
	}
	s.busy <- struct{}{}
	select {
	case <-s.busy:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Folder.Write(ctx, image, drive)
}

// open opens a room of folders.
func open(t *testing.T, dir string, machines int, busy chan struct{}) *room.Room {
	t.Helper()
	r, err := room.Open(dir, machines, func(_ room.Identity, dir string) (room.Computer, error) {
		return stub{Folder: room.Folder{Dir: dir}, busy: busy}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// view returns how a machine is.
func view(t *testing.T, m *room.Machine) room.View {
	t.Helper()
	v, err := m.View()
	must(t, err)
	return v
}

func TestParseFaults(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		cut, bad   bool
	}{
		{text: "", want: ""},
		{text: "none", want: ""},
		{text: "fail-clean", want: "fail-clean"},
		{text: "slow=90s, hang,fail-clean,hang", want: "fail-clean,hang,slow=1m30s"},
		{text: "slow=2m", want: "slow=2m0s"},
		{text: "lose-power", cut: true},
		{text: "lose-power,no-power-on", want: "no-power-on", cut: true},
		{text: "slow=", bad: true},
		{text: "slow=-1s", bad: true},
		{text: "slow=fast", bad: true},
		{text: "burn", bad: true},
		{text: "none,hang", bad: true},
	} {
		f, cut, err := room.ParseFaults(tc.text)
		if f.String() != tc.want || cut != tc.cut || (err != nil) != tc.bad {
			t.Errorf("%q: %q, power lost %t, %v; want %q, %t, an error: %t", tc.text, f, cut, err, tc.want, tc.cut, tc.bad)
		}
	}
}

func TestHardwareDiffersAndStaysTheSame(t *testing.T) {
	serials, macs := map[string]int{}, map[string]int{}
	kinds := map[string]bool{}
	for i := range 3000 {
		h := room.HardwareOf(i)
		if again := room.HardwareOf(i); h.Serial != again.Serial || len(h.Disks) != len(again.Disks) {
			t.Fatalf("machine %d changes", i)
		}
		for _, serial := range append([]string{h.Serial}, h.Disks[0].Serial) {
			if other, taken := serials[serial]; taken {
				t.Fatalf("machines %d and %d share serial number %s", other, i, serial)
			}
			serials[serial] = i
		}
		for _, nic := range h.NICs {
			if other, taken := macs[nic.MAC]; taken {
				t.Fatalf("machines %d and %d share address %s", other, i, nic.MAC)
			}
			macs[nic.MAC] = i
		}
		kinds[h.Product] = true
		if i < 7 && h.CPU.Arch != "x86_64" {
			t.Errorf("machine %d is %s: the first machines boot on this computer", i, h.CPU.Arch)
		}
	}
	if len(kinds) < 6 {
		t.Errorf("there are %d kinds of machines only", len(kinds))
	}
	if id := room.IdentityOf(3); id.MAC != "52:54:00:00:00:03" || id.Address.String() != "172.30.0.103/24" {
		t.Errorf("machine 3 is %+v", id)
	}
	if id := room.IdentityOf(770); id.MAC != "52:54:00:00:03:02" || id.Address.IsValid() {
		t.Errorf("machine 770 is %+v", id)
	}
}

func TestARoomOutlivesItsServer(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir, 2, nil).Machines()[1]
	user, password := m.Credentials()
	must(t, m.Write(t.Context(), "debian", room.ConfigDrive{UserData: []byte("words")}))
	must(t, m.Boot(t.Context(), room.FromDisk))
	must(t, m.Tell(t.Context(), "fail-clean,slow=1h"))
	before := view(t, m)

	r := open(t, dir, 3, nil)
	if len(r.Machines()) != 3 {
		t.Errorf("the room has %d machines, want 3", len(r.Machines()))
	}
	m = r.Machine("machine-1")
	after := view(t, m)
	if !after.Power || after.Boots != room.FromDisk || after.Image != "debian" || after.Faults.String() != "fail-clean,slow=1h0m0s" || !after.PowerSince.Equal(before.PowerSince) {
		t.Errorf("after a restart: %+v, before: %+v", after, before)
	}
	if err := m.LogIn(user, password); err != nil {
		t.Errorf("the credentials changed: %v", err)
	}
	if err := m.LogIn(user, ""); !errors.Is(err, room.ErrCredentials) {
		t.Errorf("no password is taken: %v", err)
	}
	if other, _ := r.Machine("machine-0"), 0; other.LogIn(user, password) == nil {
		t.Error("two machines share a password")
	}
}

func TestAMachineWithoutAnImageRunsTheRamdisk(t *testing.T) {
	m := open(t, t.TempDir(), 1, nil).Machines()[0]
	must(t, m.SetPower(t.Context(), true, false))
	if v := view(t, m); !v.Power || v.Boots != room.FromRamdisk {
		t.Errorf("it is on: %t, runs %q", v.Power, v.Boots)
	}
}

func TestPowerCutWhileTheDiskIsWritten(t *testing.T) {
	dir := t.TempDir()
	busy := make(chan struct{})
	m := open(t, dir, 1, busy).Machines()[0]
	must(t, m.Boot(t.Context(), room.FromRamdisk))
	ctx, cancel := context.WithCancelCause(t.Context())
	written := make(chan error, 1)
	go func() { written <- m.Write(ctx, "debian", room.ConfigDrive{}) }()
	<-busy // the image would never be written
	must(t, m.Cut(t.Context()))
	if v := view(t, m); v.Power || v.Image != "" {
		t.Errorf("after the cut it is on: %t, and has image %q", v.Power, v.Image)
	}
	// Nobody is there who could report: whoever waits ends by himself.
	select {
	case err := <-written:
		t.Errorf("the write reported %v although its agent had no power", err)
	case <-time.After(20 * time.Millisecond):
	}
	patience := errors.New("no patience left")
	cancel(patience)
	if err := <-written; !errors.Is(err, patience) {
		t.Errorf("the write ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(room.Folder{Dir: room.MachineDir(dir, m.Name)}.Disk(), "image")); !os.IsNotExist(err) {
		t.Errorf("an image was written without power: %v", err)
	}
}

func TestHangEndsWhenTheFaultIsTakenAway(t *testing.T) {
	m := open(t, t.TempDir(), 1, nil).Machines()[0]
	must(t, m.Tell(t.Context(), "hang"))
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Inspect(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an operation that hangs ended with %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := m.Inspect(t.Context())
		done <- err
	}()
	must(t, m.Tell(t.Context(), "none"))
	if err := <-done; err != nil {
		t.Errorf("after the fault was taken away: %v", err)
	}
}

func TestFaultsFailTheirOwnOperationOnly(t *testing.T) {
	m := open(t, t.TempDir(), 1, nil).Machines()[0]
	operations := map[room.Fault]func() error{
		room.FailInspect:   func() error { _, err := m.Inspect(t.Context()); return err },
		room.FailProvision: func() error { return m.Write(t.Context(), "debian", room.ConfigDrive{}) },
		room.FailClean:     func() error { return m.Erase(t.Context()) },
		room.NoPowerOn:     func() error { return m.Boot(t.Context(), room.FromRamdisk) },
	}
	for fault := range operations {
		must(t, m.Tell(t.Context(), string(fault)))
		for name, do := range operations {
			if err := do(); errors.Is(err, room.ErrFault) != (name == fault) {
				t.Errorf("with %s, what %s fails ended with %v", fault, name, err)
			}
		}
	}
}
