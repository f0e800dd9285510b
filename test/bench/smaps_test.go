package main

import "testing"

// recorded is /proc/<pid>/smaps_rollup of a kube-scheduler, Linux 6.18.
const recorded = `00400000-7ffcb5ce7000 ---p 00000000 00:00 0                              [rollup]
Rss:               66552 kB
Pss:               66544 kB
Pss_Dirty:         15240 kB
Pss_Anon:          15240 kB
Pss_File:          51304 kB
Pss_Shmem:             0 kB
Shared_Clean:          8 kB
Shared_Dirty:          0 kB
Private_Clean:     51304 kB
Private_Dirty:     15240 kB
Referenced:        66552 kB
Anonymous:         15240 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                0 kB
`

func TestParseSmaps(t *testing.T) {
	got, err := parseSmaps(recorded)
	if err != nil {
		t.Fatal(err)
	}
	if want := (memory{anonymous: 15240, pss: 66544}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, given := range map[string]string{
		"empty":        "",
		"half":         "Pss:  12 kB\n",
		"not a number": "Pss:  many kB\nAnonymous: 1 kB\n",
	} {
		if _, err := parseSmaps(given); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPodOf(t *testing.T) {
	uids := []string{"1b4e28ba-2fa1-11d2-883f-0016d3cca427", "6fa459ea-ee8a-3ca4-894e-db77e160355e"}
	for _, tt := range []struct{ name, cgroup, want string }{
		{"cgroup v1, cgroupfs driver", "5:memory:/teapot/kubepods/burstable/pod6fa459ea-ee8a-3ca4-894e-db77e160355e/0b2c\n4:cpu:/\n", uids[1]},
		{"cgroup v2, systemd driver", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b4e28ba_2fa1_11d2_883f_0016d3cca427.slice/cri-containerd-0b2c.scope\n", uids[0]},
		{"another pod", "5:memory:/kubepods/burstable/pod00000000-2fa1-11d2-883f-0016d3cca427/0b2c\n", ""},
		{"no pod", "0::/init.scope\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := podOf(tt.cgroup, uids); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
