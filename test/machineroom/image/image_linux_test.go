package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestSources(t *testing.T) {
	for _, tc := range []struct {
		name, targets, mirror string
		lines                 []string
	}{
		{"a mirror of the same suite", `http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian-security/ bookworm-security main
https://vendor.example/apt nodistro main
`, "http://mirror.example/debian", []string{
			"deb http://mirror.example/debian bookworm main",
			"deb http://mirror.example/debian bookworm-updates main",
			"deb http://mirror.example/debian-security bookworm-security main",
		}},
		{"another suite", "http://mirror.example/ubuntu/ noble main\n", defaultMirror, []string{"deb " + defaultMirror + " bookworm main"}},
		{"none", "", defaultMirror, []string{"deb " + defaultMirror + " bookworm main"}},
	} {
		mirror, lines := sources(tc.targets)
		if mirror != tc.mirror || !slices.Equal(lines, tc.lines) {
			t.Errorf("%s: %s, %q; want %s, %q", tc.name, mirror, lines, tc.mirror, tc.lines)
		}
	}
}

func TestEmbedded(t *testing.T) {
	files, err := embedded(map[string]string{"@PAUSE_IMAGE@": "registry.example/pause:1"})
	if err != nil {
		t.Fatal(err)
	}
	if config := files["/etc/containerd/config.toml"]; !strings.Contains(config, `sandbox = "registry.example/pause:1"`) {
		t.Errorf("containerd's configuration does not pin the sandbox's image:\n%s", config)
	}
	for path, content := range files {
		if strings.Contains(content, "@") {
			t.Errorf("%s has a placeholder left", path)
		}
		if strings.HasSuffix(path, ".cfg") || path == "/etc/kubelet/conf.d/10-machine.conf" {
			if err := yaml.UnmarshalStrict([]byte(content), &map[string]any{}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if _, ok := files["/etc/machine-id"]; !ok {
		t.Error("without an empty /etc/machine-id all machines would have one identity, or systemd would take each start for the first")
	}
}

func TestDigest(t *testing.T) {
	parts := func(change func(*nodeParts)) string {
		p := &nodeParts{
			Files: map[string]string{"/a": "1"}, Binaries: map[string]string{"/b": "/cache/b-123"},
			Links: map[string]string{"/l": "/dev/null"}, Archives: []string{"/cache/i-456.tar"}, Recipe: 1,
		}
		if change != nil {
			change(p)
		}
		return digest("base", p)
	}
	same := parts(nil)
	if parts(nil) != same {
		t.Error("the same parts give another digest")
	}
	for name, change := range map[string]func(*nodeParts){
		"a file":     func(p *nodeParts) { p.Files["/a"] = "2" },
		"a binary":   func(p *nodeParts) { p.Binaries["/b"] = "/cache/b-124" },
		"a link":     func(p *nodeParts) { p.Links["/m"] = "/dev/null" },
		"an archive": func(p *nodeParts) { p.Archives = append(p.Archives, "/cache/j.tar") },
		"the recipe": func(p *nodeParts) { p.Recipe++ },
	} {
		if parts(change) == same {
			t.Errorf("a change of %s does not change the digest", name)
		}
	}
}

// Disks keep images, and names keep images; nothing else does.
func TestRemoveUnused(t *testing.T) {
	b := &Builder{Dir: t.TempDir()}
	for node, base := range map[string]string{"named": "new", "on-a-disk": "old", "unused": "older"} {
		for _, dir := range []string{".node-" + node, ".base-" + base} {
			if err := os.MkdirAll(filepath.Join(b.Dir, dir, "root"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		img := Image{Layers: []string{filepath.Join(b.Dir, ".node-"+node, "root"), filepath.Join(b.Dir, ".base-"+base, "root")}}
		if err := describe(filepath.Join(b.Dir, ".node-"+node), img); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.link("name", ".node-on-a-disk"); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(t.TempDir(), "image.json")
	if _, err := Use(b.Dir, "name", note); err != nil {
		t.Fatal(err)
	}
	if err := b.link("name", ".node-named"); err != nil {
		t.Fatal(err)
	}
	remaining := func() []string {
		if err := b.removeUnused(); err != nil {
			t.Fatal(err)
		}
		var names []string
		entries, err := os.ReadDir(b.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	if got, want := remaining(), []string{".base-new", ".base-old", ".node-named", ".node-on-a-disk", "name"}; !slices.Equal(got, want) {
		t.Errorf("with a disk there are %v, want %v", got, want)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	if got, want := remaining(), []string{".base-new", ".node-named", "name"}; !slices.Equal(got, want) {
		t.Errorf("after the disk was erased there are %v, want %v", got, want)
	}
}
