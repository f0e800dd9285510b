package hostinfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load reads recorded /proc files from testdata.
func load(t *testing.T, name string) Sources {
	t.Helper()
	read := func(file string) string {
		data, err := os.ReadFile(filepath.Join("testdata", name, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return Sources{MountInfo: read("mountinfo"), InitComm: read("comm"), Filesystems: read("filesystems")}
}

func TestDetect(t *testing.T) {
	for _, tc := range []struct {
		name         string
		mode         Mode
		driver       string
		failCgroupV1 bool
		root         string
		hierarchies  int
	}{
		{"v1-no-systemd", Hybrid, "cgroupfs", false, "/teapot", 9},
		{"v1-hybrid-systemd", Hybrid, "systemd", false, "/", 6},
		{"v2-systemd", V2, "systemd", true, "/", 1},
		{"v2-no-systemd", V2, "cgroupfs", true, "/teapot", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, err := Detect(load(t, tc.name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode != tc.mode {
				t.Errorf("mode %s, want %s", info.Mode, tc.mode)
			}
			if got := info.CgroupDriver(); got != tc.driver {
				t.Errorf("driver %s, want %s", got, tc.driver)
			}
			if got := info.SystemdCgroup(); got != (tc.driver == "systemd") {
				t.Errorf("SystemdCgroup %t with driver %s", got, tc.driver)
			}
			if got := info.FailCgroupV1(); got != tc.failCgroupV1 {
				t.Errorf("failCgroupV1 %t, want %t", got, tc.failCgroupV1)
			}
			if got := info.CgroupRoot("teapot"); got != tc.root {
				t.Errorf("cgroupRoot %s, want %s", got, tc.root)
			}
			if got := len(info.Hierarchies); got != tc.hierarchies {
				t.Errorf("%d hierarchies, want %d: %v", got, tc.hierarchies, info.Hierarchies)
			}
		})
	}
}

func TestDetectRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Sources)
		want   string
	}{
		{"no cgroups", func(s *Sources) { s.MountInfo = "" }, "no cgroups are mounted"},
		{"no overlayfs", func(s *Sources) { s.Filesystems = "nodev\tproc\n" }, "no overlayfs"},
		{"no pids controller", func(s *Sources) {
			s.MountInfo = strings.ReplaceAll(s.MountInfo, "cgroup rw,pids", "cgroup rw,rdma")
		}, "controllers pids are not mounted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := load(t, "v1-no-systemd")
			tc.change(&s)
			_, err := Detect(s)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
}
