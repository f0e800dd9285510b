package build

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestKey(t *testing.T) {
	base := Group{Name: "etcd", Version: "v1", Binaries: []string{"etcd"}, stamps: []string{"a=b"}}
	key := func(g Group, mod, sum, platform string, others ...string) string {
		module := fstest.MapFS{"go.mod": {Data: []byte(mod)}, "go.sum": {Data: []byte(sum)}}
		for _, content := range others {
			module["stub/types.go"] = &fstest.MapFile{Data: []byte(content)}
		}
		k, err := Key(g, module, platform)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	reference := key(base, "mod", "sum", "linux/amd64")
	if again := key(base, "mod", "sum", "linux/amd64"); again != reference {
		t.Errorf("the same input gives %s and %s", reference, again)
	}
	stamped, tagged, cgo, renamed, more, patched := base, base, base, base, base, base
	stamped.stamps = []string{"a=c"}
	tagged.tags = []string{"seccomp"}
	cgo.cgo = true
	renamed.rename = map[string]string{"server": "etcd"}
	more.Binaries = []string{"etcd", "etcdctl"}
	patched.patches = []patch{{module: "m", file: "f.go", old: "1", new: "2"}}
	for name, other := range map[string]string{
		"go.mod":     key(base, "mod2", "sum", "linux/amd64"),
		"go.sum":     key(base, "mod", "sum2", "linux/amd64"),
		"shifted":    key(base, "mods", "um", "linux/amd64"),
		"platform":   key(base, "mod", "sum", "linux/arm64"),
		"stamps":     key(stamped, "mod", "sum", "linux/amd64"),
		"tags":       key(tagged, "mod", "sum", "linux/amd64"),
		"cgo":        key(cgo, "mod", "sum", "linux/amd64"),
		"names":      key(renamed, "mod", "sum", "linux/amd64"),
		"more tools": key(more, "mod", "sum", "linux/amd64"),
		"patches":    key(patched, "mod", "sum", "linux/amd64"),
		"a stub":     key(base, "mod", "sum", "linux/amd64", "package a"),
	} {
		if other == reference {
			t.Errorf("a change of %s does not change the key", name)
		}
	}
	if key(base, "mod", "sum", "linux/amd64", "package a") == key(base, "mod", "sum", "linux/amd64", "package b") {
		t.Error("a change inside a stub does not change the key")
	}
}

// Each group has a module, and the module builds as many tools as the group
// lists.
func TestCatalogueMatchesModules(t *testing.T) {
	for _, version := range kubernetesVersions {
		groups, err := Catalogue(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range append(groups, Machines()...) {
			data, err := os.ReadFile(filepath.Join("..", "upstream", g.Dir(), "go.mod"))
			if err != nil {
				t.Errorf("%s: %v", g.Dir(), err)
				continue
			}
			tools := toolNames(string(data))
			for i, tool := range tools {
				if renamed, ok := g.rename[tool]; ok {
					tools[i] = renamed
				}
			}
			slices.Sort(tools)
			want := slices.Sorted(slices.Values(g.Binaries))
			if !slices.Equal(tools, want) {
				t.Errorf("%s builds %v, the catalogue says %v", g.Dir(), tools, want)
			}
		}
	}
}

// toolNames returns the names that go build gives the tools of a go.mod.
func toolNames(mod string) []string {
	var names []string
	inBlock := false
	for line := range strings.Lines(mod) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "tool" && fields[1] == "(":
			inBlock = true
			continue
		case inBlock && len(fields) == 1 && fields[0] == ")":
			inBlock = false
		case inBlock && len(fields) == 1:
			names = append(names, toolName(fields[0]))
		case len(fields) == 2 && fields[0] == "tool":
			names = append(names, toolName(fields[1]))
		}
	}
	return names
}

// toolName drops a major version at the end of a path, as go build does.
func toolName(path string) string {
	parts := strings.Split(path, "/")
	last := parts[len(parts)-1]
	if len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		last = parts[len(parts)-2]
	}
	return last
}

func TestUnknownNames(t *testing.T) {
	if _, err := Catalogue("v1.2.3"); err == nil || !strings.Contains(err.Error(), DefaultKubernetesVersion) {
		t.Errorf("error %v, want one that names what there is", err)
	}
	groups, err := Catalogue(DefaultKubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Find(groups, "nomad"); err == nil || !strings.Contains(err.Error(), "containerd") {
		t.Errorf("error %v, want one that names what there is", err)
	}
	if g, err := FindBinary(groups, "kubectl"); err != nil || g.Name != "kubernetes" {
		t.Errorf("kubectl is in %s, %v", g.Name, err)
	}
}

func TestMissingError(t *testing.T) {
	err := MissingError("the test", CommandNeed("no-such-command", "some-package"), CommandNeed("sh", "dash"))
	if err == nil || !strings.Contains(err.Error(), "no-such-command") ||
		!strings.Contains(err.Error(), "make deps") || !strings.Contains(err.Error(), "apt-get install some-package") {
		t.Errorf("error %v", err)
	}
	if err := MissingError("the test", CommandNeed("sh", "dash")); err != nil {
		t.Error(err)
	}
}
