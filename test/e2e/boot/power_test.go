package boot

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/teapot-cloud/teapot/test/devcluster/netdial"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
)

// TestPower follows one machine. Each step stands on the one before, so the first that fails
// ends the test.
func TestPower(t *testing.T) {
	m := aMachine(t, "boot-0")
	for _, step := range []struct {
		name string
		run  func(*testing.T, *machine.Machine)
	}{
		{"without an image nothing boots", nothingBoots},
		{"an image that is not there is an error", imageIsMissing},
		{"cloud-init runs the user data", userDataRuns},
		{"root in it does not see the computer", computerIsHidden},
		{"a reboot from inside boots again", rebootsFromInside},
		{"after a power cut the disk is as it was", powerIsCut},
		{"it outlives who powered it on", outlivesItsStarter},
		{"a supply that is killed takes it along", supplyIsKilled},
		{"a poweroff from inside ends it", powersItselfOff},
		{"asked to power off, it ends by itself", powersOffWhenAsked},
		{"an erased disk is empty", diskIsErased},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, m) }) {
			t.FailNow()
		}
	}
}

func nothingBoots(t *testing.T, m *machine.Machine) {
	powerOn(t, m)
	isOn(t, m, false)
}

func imageIsMissing(t *testing.T, m *machine.Machine) {
	err := m.Write(t.Context(), "no-such-image", drive("boot-0", "echo started"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no-such-image") {
		t.Errorf("error %v, want one that says that there is no image of that name", err)
	}
	powerOn(t, m)
	isOn(t, m, false)
}

func userDataRuns(t *testing.T, m *machine.Machine) {
	write(t, m, drive("boot-0", "echo ran >> /root/runs", "echo secret > /root/marker"))
	powerOn(t, m)
	isOn(t, m, true)
	booted(t, m)
	if said, err := in(t.Context(), m, "sh", "-c", "hostname; cat /root/runs"); err != nil || said != "boot-0\nran" {
		t.Errorf("host name and what the user data wrote are %q, %v", said, err)
	}
	if failed, err := in(t.Context(), m, "systemctl", "--failed", "--plain", "--no-legend"); err != nil || failed != "" {
		t.Errorf("failed units: %s, %v", failed, err)
	}
	console, err := os.ReadFile(m.Console())
	if err != nil || !strings.Contains(string(console), "Datasource DataSourceConfigDrive") {
		t.Errorf("the console does not tell of cloud-init and its config drive, %v:\n%s", err, console)
	}
	if !answersPing(t) {
		t.Error("it does not answer at its address")
	}
}

// answersPing asks from the node's end of the wire.
func answersPing(t *testing.T) bool {
	t.Helper()
	address := newMachine("boot-0").Address.Addr().String()
	var err error
	// The kernel's answer to a connection to a port that nobody listens at.
	if doErr := netdial.Do(node.NetNS, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = netdial.Dialer(node.NetNS)(ctx, "tcp", address+":1")
		return nil
	}); doErr != nil {
		t.Fatal(doErr)
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// computerIsHidden looks from a service, which has all that root in the machine has; a command
// of Exec comes from outside.
func computerIsHidden(t *testing.T, m *machine.Machine) {
	secret := filepath.Join(t.TempDir(), "of-the-computer")
	if err := os.WriteFile(secret, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	disk := rootDevice(t)
	for name, tc := range map[string]struct{ command, want string }{
		"files":              {"find / -name " + filepath.Base(secret) + " 2>/dev/null", ""},
		"processes":          {"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'kube-apiserve[r]'", "0"},
		"the root's device":  {"mknod /dev/disk b " + disk + "; cat /dev/disk 2>&1 >/dev/null", "cat: /dev/disk: Operation not permitted"},
		"its config drive":   {"head -c 1 /dev/loop* >/dev/null && echo readable", "readable"},
		"memory":             {"mknod /dev/mem c 1 1; cat /dev/mem 2>&1 >/dev/null", "cat: /dev/mem: Operation not permitted"},
		"the kernel's log":   {"dmesg 2>&1 >/dev/null", "dmesg: read kernel buffer failed: Operation not permitted"},
		"others' cgroups":    {"find /sys/fs/cgroup -name 'teapot*'", ""},
		"lifting its limits": {"echo a 2>/dev/null > /sys/fs/cgroup/devices/devices.allow; mknod /dev/disk2 b " + disk + "; cat /dev/disk2 2>&1 >/dev/null", "cat: /dev/disk2: Operation not permitted"},
		"settings":           {"exec 2>&1; echo 10 > /proc/sys/kernel/panic", "/usr/bin/sh: 1: cannot create /proc/sys/kernel/panic: Read-only file system"}, // to the value that the development cluster gives it
		"files by handle":    {"grep CapBnd /proc/self/status | python3 -c 'print(int(input().split()[1], 16) >> 2 & 1)'", "0"},
	} {
		said, err := in(t.Context(), m, "systemd-run", "--quiet", "--wait", "--pipe", "sh", "-c", tc.command+"; true")
		if err != nil || said != tc.want {
			t.Errorf("%s: it says %q, %v; want %q", name, said, err, tc.want)
		}
	}
}

// rootDevice is the device of this computer's files, as mknod's arguments.
func rootDevice(t *testing.T) string {
	t.Helper()
	var info syscall.Stat_t
	if err := syscall.Stat("/", &info); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(int(info.Dev>>8&0xfff)) + " " + strconv.Itoa(int(info.Dev&0xff))
}

// rebootsFromInside with a command that somebody runs at that moment: it ends with the rest, and does not
// hold up the machine.
func rebootsFromInside(t *testing.T, m *machine.Machine) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running, err := m.Exec(ctx, "sleep", "infinity")
	if err == nil {
		err = running.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	reboot(t, m, "systemctl", "reboot")
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("a command that ran before the boot ended with %v, %v; want it killed", err, ctx.Err())
	}
}

// reboot runs a command that ends the machine's run, and waits for the next.
func reboot(t *testing.T, m *machine.Machine, name string, args ...string) {
	t.Helper()
	if _, err := in(t.Context(), m, "touch", "/run/this-boot"); err != nil {
		t.Fatal(err)
	}
	_, _ = in(t.Context(), m, name, args...) // it may be cut off
	eventually(t, 30*time.Second, "another boot", func(ctx context.Context) error {
		_, err := in(ctx, m, "sh", "-c", "! test -e /run/this-boot")
		return err
	})
	isOn(t, m, true)
	booted(t, m)
	diskIsTheSame(t, m)
}

// diskIsTheSame also shows that user data are run once in the life of a disk.
func diskIsTheSame(t *testing.T, m *machine.Machine) {
	t.Helper()
	if said, err := in(t.Context(), m, "cat", "/root/runs", "/root/marker"); err != nil || said != "ran\nsecret" {
		t.Errorf("on the disk is %q, %v", said, err)
	}
}

func powerIsCut(t *testing.T, m *machine.Machine) {
	if err := m.PowerOff(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	isOn(t, m, false)
	if answersPing(t) {
		t.Error("without power it answers")
	}
	leavesNothing(t, m)
	powerOn(t, m)
	booted(t, m)
	diskIsTheSame(t, m)
}

// leavesNothing looks at the computer after the machine.
func leavesNothing(t *testing.T, m *machine.Machine) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), m.Dir) {
		t.Errorf("mounts of it are left, %v", err)
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, loop := range loops {
		if file, err := os.ReadFile(loop); err == nil && strings.HasPrefix(string(file), m.Dir) {
			t.Errorf("%s is left", loop)
		}
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/teapot-machineroom/" + m.ID())
	if err != nil || len(groups) > 0 {
		t.Errorf("cgroups are left: %v, %v", groups, err)
	}
}

func outlivesItsStarter(t *testing.T, m *machine.Machine) {
	if err := m.PowerOff(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	starter := exec.CommandContext(t.Context(), os.Args[0])
	starter.Env = append(os.Environ(), helperEnv+"="+m.Name)
	if out, err := starter.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	isOn(t, newMachine(m.Name), true)
	booted(t, m)
	diskIsTheSame(t, m)
	if err := m.Erase(t.Context()); err == nil {
		t.Error("a disk in use was erased")
	}
}

func supplyIsKilled(t *testing.T, m *machine.Machine) {
	var record struct{ Process struct{ PID int } }
	data, err := os.ReadFile(filepath.Join(m.Dir, "power.json"))
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err == nil {
		err = syscall.Kill(record.Process.PID, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	isOff(t, m)
	powerOn(t, m)
	isOn(t, m, true)
	booted(t, m)
	diskIsTheSame(t, m)
}

func isOff(t *testing.T, m *machine.Machine) {
	t.Helper()
	eventually(t, 30*time.Second, m.Name+" to be off", func(context.Context) error {
		if on, err := m.On(); on || err != nil {
			return errors.Join(errors.New("it is on"), err)
		}
		return nil
	})
}

func powersItselfOff(t *testing.T, m *machine.Machine) {
	_, _ = in(t.Context(), m, "systemctl", "poweroff") // it may be cut off
	isOff(t, m)
	leavesNothing(t, m)
}

func powersOffWhenAsked(t *testing.T, m *machine.Machine) {
	powerOn(t, m)
	booted(t, m)
	powersOff(t, m)
}

// powersOff has a machine end by itself.
func powersOff(t *testing.T, m *machine.Machine) {
	t.Helper()
	start := time.Now()
	if err := m.PowerOff(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	isOn(t, m, false)
	console, err := os.ReadFile(m.Console())
	if err != nil || !strings.Contains(string(console), "Powering off") {
		t.Errorf("the operating system of %s did not end by itself in %s, %v", m.Name, time.Since(start), err)
	}
	leavesNothing(t, m)
}

func diskIsErased(t *testing.T, m *machine.Machine) {
	if err := m.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	powerOn(t, m)
	isOn(t, m, false)
	write(t, m, drive("boot-0", "echo started"))
	powerOn(t, m)
	booted(t, m)
	if said, err := in(t.Context(), m, "ls", "-A", "/root"); err != nil || strings.Contains(said, "marker") || strings.Contains(said, "runs") {
		t.Errorf("in /root is %q, %v; want nothing of what was there before", said, err)
	}
}
