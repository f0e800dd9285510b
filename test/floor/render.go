package floor

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/teapot-cloud/teapot/controlplane"
	"github.com/teapot-cloud/teapot/internal/manifest"
)

//go:embed floor.yaml.tmpl
var text string

var parsed = template.Must(template.New("floor").Option("missingkey=error").Parse(text))

// The two parts of the template.
const (
	partPrepared = "prepared"
	partTimed    = "timed"
)

// values are what the template is filled with: the images alone, which must be the same
// as Teapot's. All else is written there.
type values struct{ Images controlplane.Images }

// render returns the objects of one part of the template.
func render(part, version string) ([]*unstructured.Unstructured, error) {
	images, err := controlplane.ImagesFor("", version)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := parsed.ExecuteTemplate(&text, part, values{images}); err != nil {
		return nil, fmt.Errorf("rendering the floor's %s objects: %w", part, err)
	}
	objects, err := manifest.Parse(text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("reading the floor's %s objects: %w", part, err)
	}
	return objects, nil
}
