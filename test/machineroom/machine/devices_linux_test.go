package machine

import (
	"slices"
	"testing"
)

func TestDenials(t *testing.T) {
	const devices = `Character devices:
  1 mem
  4 /dev/vc/0
  4 tty
  5 /dev/tty
 10 misc
136 pts
249 watchdog

Block devices:
  7 loop
254 virtblk
259 blkext
`
	const misc = "237 loop-control\n200 tun\n232 kvm\n"
	rules := denials(devices, misc, device{Major: loopMajor, Minor: 3})
	for name, tc := range map[string]struct {
		rule   string
		denied bool
	}{
		"the computer's disk":           {"b 254:* rw", true},
		"its partitions":                {"b 259:* rw", true},
		"another machine's drive":       {"b 7:2 rw", true},
		"one that is not there yet":     {"b 7:200 rw", true},
		"its own drive":                 {"b 7:3 rw", false},
		"all loop devices":              {"b 7:* rw", false},
		"kernel memory":                 {"c 1:1 rw", true},
		"I/O ports":                     {"c 1:4 rw", true},
		"the kernel's log":              {"c 1:11 rw", true},
		"null and zero":                 {"c 1:* rw", false},
		"the computer's terminals":      {"c 4:* rw", true},
		"a terminal of its own":         {"c 136:* rw", false},
		"the watchdog":                  {"c 249:* rw", true},
		"attaching files to devices":    {"c 10:237 rw", true},
		"virtual machines":              {"c 10:232 rw", true},
		"tunnels, which runc would ask": {"c 10:200 rw", false},
	} {
		if slices.Contains(rules, tc.rule) != tc.denied {
			t.Errorf("%s: %q denied %v, want %v", name, tc.rule, !tc.denied, tc.denied)
		}
	}
	sorted := slices.Clone(rules)
	slices.Sort(sorted)
	if unique := slices.Compact(sorted); len(unique) != len(rules) {
		t.Errorf("%d of %d rules are there twice", len(rules)-len(unique), len(rules))
	}
}

func TestKubeProxyConnections(t *testing.T) {
	for cpus, want := range map[int]int{1: 131072, 2: 131072, 4: 131072, 8: 262144, 128: 1048576} {
		if got := kubeProxyConnections(cpus); got != want {
			t.Errorf("with %d processors %d connections, want %d", cpus, got, want)
		}
	}
}

func TestOverlayOptionsRefuseWhatSeparates(t *testing.T) {
	for _, name := range []string{"a:b", "a,b", `a\b`} {
		d := disk(t.TempDir() + "/" + name)
		writeDescription(t, d)
		if options, err := d.overlayOptions(); err == nil {
			t.Errorf("a disk in %s is mounted with %s", d, options)
		}
	}
	d := disk(t.TempDir())
	writeDescription(t, d)
	options, err := d.overlayOptions()
	if want := "lowerdir=/upper:/lower,upperdir=" + string(d) + "/upper,workdir=" + string(d) + "/work"; err != nil || options != want {
		t.Errorf("options are %q, %v; want %q", options, err, want)
	}
}
