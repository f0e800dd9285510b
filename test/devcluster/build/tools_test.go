package build

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestToolsMatchModules: each group has a module that builds what the group lists.
func TestToolsMatchModules(t *testing.T) {
	for _, g := range Tools() {
		data, err := os.ReadFile(filepath.Join("..", "upstream", g.Dir(), "go.mod"))
		if err != nil {
			t.Errorf("%s: %v", g.Dir(), err)
			continue
		}
		if tools := toolNames(string(data)); !slices.Equal(tools, g.Binaries) {
			t.Errorf("%s builds %v, its group says %v", g.Dir(), tools, g.Binaries)
		}
	}
}
