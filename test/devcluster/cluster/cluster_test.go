//go:build linux

package cluster

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/images/oci"
	"github.com/teapot-cloud/teapot/test/devcluster/state"
)

func TestNewRefusesLongDirectory(t *testing.T) {
	if _, err := New(state.Dir("/"+strings.Repeat("x", maxDir)), io.Discard); err == nil {
		t.Error("took a directory in which sockets have too long paths")
	}
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	c := &Cluster{Dir: state.Dir(dir), Out: io.Discard}
	if err := c.checkDir(); err != nil {
		t.Errorf("empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.checkDir(); err == nil {
		t.Error("took a directory with other files in it")
	}
	if err := os.WriteFile(c.Dir.Path(marker), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.checkDir(); err != nil {
		t.Errorf("marked directory: %v", err)
	}
	c.Dir = state.Dir(filepath.Join(dir, "absent"))
	if err := c.checkDir(); err != nil {
		t.Errorf("absent directory: %v", err)
	}
}

// All files that parts read at start are there and well-formed.
func TestConfigFiles(t *testing.T) {
	c := &Cluster{
		Dir: state.Dir(t.TempDir()), Out: io.Discard, bins: map[string]string{},
		record: &state.Record{KubernetesVersion: "v1.36.3", ForwardPort: 1234},
	}
	if err := c.writePKI(); err != nil {
		t.Fatal(err)
	}
	if err := c.writeConfig(); err != nil {
		t.Fatal(err)
	}
	for _, path := range templateFiles {
		data, err := os.ReadFile(c.Dir.Path(path))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		switch filepath.Ext(path) {
		case ".yaml":
			for _, doc := range strings.Split(string(data), "\n---\n") {
				if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		case ".conflist":
			err = json.Unmarshal(data, &v)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, p := range c.parts() {
		for _, arg := range p.args[1:] {
			_, path, ok := strings.Cut(arg, "=")
			if !ok {
				path = arg
			}
			if !strings.HasPrefix(path, string(c.Dir)) || filepath.Ext(path) == "" || filepath.Ext(path) == ".log" {
				continue
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s is given %s: %v", p.name, arg, err)
			}
		}
	}
	info, err := os.Stat(c.Dir.Kubeconfig())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v", info.Mode(), err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Dir.Kubeconfig())
	if err != nil || config.Host != "https://127.0.0.1:1234" {
		t.Errorf("kubeconfig leads to %v, %v", config, err)
	}
}

func TestPartNamesMatchParts(t *testing.T) {
	c := &Cluster{Dir: "/d", record: &state.Record{}}
	parts := c.parts()
	if len(parts) != len(partNames) {
		t.Fatalf("%d parts, %d names", len(parts), len(partNames))
	}
	for i, p := range parts {
		if p.name != partNames[i] {
			t.Errorf("part %d is %s, named %s", i, p.name, partNames[i])
		}
	}
}

func TestRaised(t *testing.T) {
	got := raised(map[string]string{
		"fs/inotify/max_user_instances": "100000", "fs/inotify/max_user_watches": "10", "kernel/panic": "0",
	})
	if _, ok := got["fs/inotify/max_user_instances"]; ok {
		t.Error("a limit that is high enough was lowered")
	}
	if got["fs/inotify/max_user_watches"] != "524288" || got["kernel/panic"] != "10" {
		t.Errorf("settings %v", got)
	}
}

func TestLoaded(t *testing.T) {
	present := parseImageList("REF TYPE DIGEST SIZE PLATFORMS LABELS\n" +
		"example.org/a:v1 application/vnd.oci.image.index.v1+json sha256:aa 1.0 MiB linux/amd64 -\n")
	for _, tc := range []struct {
		name    string
		entries []oci.Entry
		want    bool
	}{
		{"same digest", []oci.Entry{{Name: "example.org/a:v1", Digest: "sha256:aa"}}, true},
		{"other digest", []oci.Entry{{Name: "example.org/a:v1", Digest: "sha256:bb"}}, false},
		{"other name", []oci.Entry{{Name: "example.org/b:v1", Digest: "sha256:aa"}}, false},
		{"archive without names", nil, false},
	} {
		if got := loaded(tc.entries, present); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}
