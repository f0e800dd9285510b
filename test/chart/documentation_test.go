package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/render"
)

// TestEveryValueIsDocumented with its default in README.md, and described by the schema.
func TestEveryValueIsDocumented(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(render.Dir(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var values, schema map[string]any
	if err := yaml.Unmarshal(read("values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read("values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	readme := string(read("README.md"))

	rows := 0
	var walk func(path string, value any, schema map[string]any)
	walk = func(path string, value any, schema map[string]any) {
		if schema["description"] == nil {
			t.Errorf("values.schema.json describes no %s", path)
		}
		properties, _ := schema["properties"].(map[string]any)
		if fields, ok := value.(map[string]any); ok && len(fields) > 0 && len(properties) > 0 && path != "resources" {
			if extra := len(properties) - len(fields); extra != 0 {
				t.Errorf("values.yaml has %d fewer values under %s than values.schema.json", extra, path)
			}
			for name, field := range fields {
				property, _ := properties[name].(map[string]any)
				walk(strings.TrimPrefix(path+"."+name, "."), field, property)
			}
			return
		}
		byDefault, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		rows++
		if row := fmt.Sprintf("| `%s` | `%s` | ", path, byDefault); !strings.Contains(readme, row) {
			t.Errorf("README.md has no row %s", row)
		}
	}
	schema["description"] = "the root"
	walk("", values, schema)
	if documented := strings.Count(readme, "\n| `") - strings.Count(readme, "\n| `teapot-"); documented != rows {
		t.Errorf("README.md has rows for %d values, values.yaml has %d", documented, rows)
	}
}
