package floor

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/teapot-cloud/teapot/controlplane"
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
	var manifest bytes.Buffer
	if err := parsed.ExecuteTemplate(&manifest, part, values{images}); err != nil {
		return nil, fmt.Errorf("rendering the floor's %s objects: %w", part, err)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(&manifest, 4096); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("reading the floor's %s objects: %w", part, err)
		}
		objects = append(objects, object)
	}
}
