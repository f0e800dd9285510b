package validation

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// kind is one of Teapot's kinds with all that is put before it.
type kind struct {
	name, resource string
	schema         *apiextensionsv1.JSONSchemaProps
	bad            []badInput
	good           []goodInput
}

// kinds returns every kind that has a CRD.
func kinds(t *testing.T) []kind {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(apiserver.Root(t), apiserver.CRDs, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs in %s: run `make generate` (%v)", apiserver.CRDs, err)
	}
	found := map[string]kind{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(crd.Spec.Versions) != 1 {
			t.Fatalf("%s has %d versions; this test knows one", path, len(crd.Spec.Versions))
		}
		found[crd.Spec.Names.Kind] = kind{name: crd.Spec.Names.Kind, resource: crd.Spec.Names.Plural, schema: crd.Spec.Versions[0].Schema.OpenAPIV3Schema}
	}

	plane, template := found["TenantControlPlane"], found["TenantControlPlaneTemplate"]
	plane.bad, plane.good = badPlanes(), goodPlanes()
	template.bad, template.good = badTemplates(), goodTemplates()
	form := newTemplateForm(t, plane, template)
	for _, input := range plane.bad {
		if form.has(input.field) && !input.planeOnly && input.status == "" {
			input.from, input.spec = form.of(t, input.from), form.of(t, input.spec)
			input.object, input.field = "", templateSpec+strings.TrimPrefix(input.field, "spec")
			template.bad = append(template.bad, input)
		}
	}
	for _, input := range plane.good {
		input.object, input.from, input.spec = "", form.of(t, input.from), form.of(t, input.spec)
		template.good = append(template.good, input)
	}
	found[plane.name], found[template.name] = plane, template
	addMachines(found)

	var all []kind
	for name, kind := range found {
		if len(kind.bad) == 0 {
			t.Fatalf("there is no bad input for %s: add a table", name)
		}
		all = append(all, kind)
	}
	return all
}

// object returns an object of the kind with a spec (YAML), or without one.
func (k kind) object(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(teapotv1.GroupVersion.WithKind(k.name))
	object.SetName(name)
	if spec != "" {
		object.Object["spec"] = parse(t, spec)
	}
	return object
}

// templateSpec is where a template has the spec of control planes.
const templateSpec = "spec.template.spec"

// templateForm makes of a control plane's spec the template from which Cluster API would make
// it, so that one table serves both kinds.
type templateForm struct {
	planes validator
	plane  kind
	// fields are those that a template's spec shares with a control plane's.
	fields map[string]apiextensionsv1.JSONSchemaProps
}

func newTemplateForm(t *testing.T, plane, template kind) templateForm {
	t.Helper()
	return templateForm{
		planes: newValidator(t, plane.schema), plane: plane,
		fields: template.schema.Properties["spec"].Properties["template"].Properties["spec"].Properties,
	}
}

// has says whether a path into a control plane leads to what a template has too.
func (f templateForm) has(path string) bool {
	field, found := strings.CutPrefix(path, "spec.")
	if end := strings.IndexAny(field, ".["); end >= 0 {
		field = field[:end]
	}
	_, shared := f.fields[field]
	return found && shared
}

// of returns a template's spec that says what a control plane's does, defaults included.
func (f templateForm) of(t *testing.T, spec string) string {
	t.Helper()
	if spec == "" {
		return ""
	}
	object := f.plane.object(t, "", spec).Object
	defaulting.Default(object, f.planes.structural)
	fields := object["spec"].(map[string]any)
	maps.DeleteFunc(fields, func(name string, _ any) bool { _, shared := f.fields[name]; return !shared })
	if datastore, ok := fields["datastore"].(map[string]any); ok {
		// Refused in a template: see badTemplates.
		delete(datastore, "adoptFrom")
	}
	data, err := json.Marshal(map[string]any{"template": map[string]any{"spec": fields}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// badTemplates is every bad input that only a template can have.
func badTemplates() []badInput {
	return append(badTemplateForms("{}"), badInput{
		name: "data to adopt", spec: inTemplate("{datastore: {adoptFrom: tcp-acme-4f62c5be}}"), field: templateSpec + ".datastore.adoptFrom",
		want: "cannot be set in a template, since data is adopted by one control plane; leave it out",
	})
}

// goodTemplates is what people write into templates and may.
func goodTemplates() []goodInput {
	return []goodInput{
		{name: "nothing asked for", spec: "{template: {}}"},
		{name: "labels for control planes", spec: "{template: {metadata: {labels: {team: a}, annotations: {example.org/a: b}}, spec: {}}}"},
		{name: "another range of Services", from: `{template: {spec: {network: {serviceCIDR: 10.96.0.0/16}}}}`, spec: `{template: {spec: {network: {serviceCIDR: 10.97.0.0/16}}}}`},
	}
}
