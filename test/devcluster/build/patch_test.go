package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPatchApply(t *testing.T) {
	p := patch{module: "example.org/m", file: "score.go", old: "score = -999", new: "score = 0"}
	for _, tc := range []struct{ name, content, want string }{
		{"once", "const (\n\tscore = -999\n)\n", "const (\n\tscore = 0\n)\n"},
		{"upstream changed the line", "const score = -998\n", ""},
		{"which of two is unclear", "score = -999\nscore = -999\n", ""},
	} {
		got, err := p.apply([]byte(tc.content))
		if string(got) != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "score.go of example.org/m") {
			t.Errorf("%s: error %v, want one that names the file", tc.name, err)
		}
	}
}

// The whole of gVisor is not compiled here; what go build is given must hold the patch.
func TestPatchesOfTheCatalogue(t *testing.T) {
	groups, err := Catalogue(DefaultKubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := filepath.Abs(filepath.Join("..", "upstream"))
	if err != nil {
		t.Fatal(err)
	}
	b := &Builder{Upstream: upstream}
	for _, g := range groups {
		if len(g.patches) == 0 {
			continue
		}
		modfile, err := b.patched(t.Context(), g, filepath.Join(t.TempDir(), "src"))
		if err != nil {
			t.Fatal(err)
		}
		mod, err := os.ReadFile(modfile)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range g.patches {
			_, copied, found := strings.Cut(string(mod), "replace "+p.module+" => ")
			if !found {
				t.Fatalf("%s does not replace %s", modfile, p.module)
			}
			copied, _, _ = strings.Cut(copied, "\n")
			content, err := os.ReadFile(filepath.Join(copied, p.file))
			if err != nil || !strings.Contains(string(content), p.new) || strings.Contains(string(content), p.old) {
				t.Errorf("%s of the copy is not patched, %v", p.file, err)
			}
		}
	}
}
