package validation

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

// superfluous are constraints that refuse nothing which others would let pass, and why
// they are there.
var superfluous = map[string]string{
	"spec.network.podCIDR: maxLength":       "no range of pods is longer; it bounds the estimated cost of the rules",
	"status.conditions[].reason: minLength": "metav1.Condition has both this and a pattern",
}

// TestEveryConstraintRefuses takes every rule, bound, enum, pattern and required field
// away in turn, with kube-apiserver's own validation code, and wants a bad input that
// was refused and now passes.
func TestEveryConstraintRefuses(t *testing.T) {
	for kind, version := range schemas(t) {
		t.Run(kind, func(t *testing.T) {
			whole := newValidator(t, version)
			var candidates []change
			for _, tt := range bad() {
				c := newChange(t, whole, tt)
				if len(whole.validate(t.Context(), c)) == 0 {
					t.Errorf("%s: accepted", tt.name)
				}
				candidates = append(candidates, c)
			}
			for _, constraint := range constraintsOf(version, nil) {
				mutant := version.DeepCopy()
				constraint.path.edit(mutant, constraint.remove)
				validator := newValidator(t, mutant)
				covered := slices.ContainsFunc(candidates, func(c change) bool { return len(validator.validate(t.Context(), c)) == 0 })
				key := fmt.Sprintf("%s: %s", constraint.path, constraint.what)
				if reason, ok := superfluous[key]; ok && covered {
					t.Errorf("%s: is listed as superfluous (%s), but a bad input is refused by it alone; remove it from the list", key, reason)
				} else if !ok && !covered {
					t.Errorf("%s: no bad input is refused by it alone; add one to cases_test.go, or remove it where another constraint says the same", key)
				}
			}
		})
	}
}

// schemas returns the schema of every kind.
func schemas(t *testing.T) map[string]*apiextensionsv1.JSONSchemaProps {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(apiserver.Root(t), apiserver.CRDs, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs in %s: run `make generate` (%v)", apiserver.CRDs, err)
	}
	found := map[string]*apiextensionsv1.JSONSchemaProps{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, version := range crd.Spec.Versions {
			found[crd.Spec.Names.Kind+"."+version.Name] = version.Schema.OpenAPIV3Schema
		}
	}
	return found
}

// path leads to a node of a schema: names of properties, and "[]" for the items of a list.
type path []string

func (p path) String() string {
	text := ""
	for i, step := range p {
		if i > 0 && step != "[]" {
			text += "."
		}
		text += step
	}
	if text == "" {
		return "(the object)"
	}
	return text
}

func (p path) child(step string) path { return append(slices.Clone(p), step) }

// edit changes the node of a schema that the path leads to. Properties are values in a
// map, so each is put back after its part was changed.
func (p path) edit(node *apiextensionsv1.JSONSchemaProps, change func(*apiextensionsv1.JSONSchemaProps)) {
	switch {
	case len(p) == 0:
		change(node)
	case p[0] == "[]":
		p[1:].edit(node.Items.Schema, change)
	default:
		property := node.Properties[p[0]]
		p[1:].edit(&property, change)
		node.Properties[p[0]] = property
	}
}

// constraint is one way in which a schema refuses.
type constraint struct {
	path   path
	what   string
	remove func(*apiextensionsv1.JSONSchemaProps)
}

// constraintsOf lists the constraints of a node and of all below it.
func constraintsOf(node *apiextensionsv1.JSONSchemaProps, at path) []constraint {
	var found []constraint
	add := func(present bool, what string, remove func(*apiextensionsv1.JSONSchemaProps)) {
		if present {
			found = append(found, constraint{at, what, remove})
		}
	}
	type props = apiextensionsv1.JSONSchemaProps
	add(node.Minimum != nil, "minimum", func(n *props) { n.Minimum = nil })
	add(node.Maximum != nil, "maximum", func(n *props) { n.Maximum = nil })
	add(node.MultipleOf != nil, "multipleOf", func(n *props) { n.MultipleOf = nil })
	add(node.MinLength != nil, "minLength", func(n *props) { n.MinLength = nil })
	add(node.MaxLength != nil, "maxLength", func(n *props) { n.MaxLength = nil })
	add(node.Pattern != "", "pattern", func(n *props) { n.Pattern = "" })
	add(node.MinItems != nil, "minItems", func(n *props) { n.MinItems = nil })
	add(node.MaxItems != nil, "maxItems", func(n *props) { n.MaxItems = nil })
	add(node.MinProperties != nil, "minProperties", func(n *props) { n.MinProperties = nil })
	add(node.MaxProperties != nil, "maxProperties", func(n *props) { n.MaxProperties = nil })
	add(len(node.Enum) > 0, "enum", func(n *props) { n.Enum = nil })
	add(node.XListType != nil && *node.XListType == "set", "list type set", func(n *props) { n.XListType = nil })
	add(len(node.OneOf) > 0, "oneOf", func(n *props) { n.OneOf = nil })
	add(len(node.AllOf) > 0, "allOf", func(n *props) { n.AllOf = nil })
	add(node.Not != nil, "not", func(n *props) { n.Not = nil })
	add(len(node.AnyOf) > 0 && !node.XIntOrString, "anyOf", func(n *props) { n.AnyOf = nil })
	for i, name := range node.Required {
		add(true, "required "+name, func(n *props) { n.Required = slices.Delete(n.Required, i, i+1) })
	}
	for i, rule := range node.XValidations {
		add(true, "rule "+rule.Rule, func(n *props) { n.XValidations = slices.Delete(n.XValidations, i, i+1) })
	}
	for _, name := range slices.Sorted(maps.Keys(node.Properties)) {
		property := node.Properties[name]
		found = append(found, constraintsOf(&property, at.child(name))...)
	}
	if node.Items != nil && node.Items.Schema != nil {
		found = append(found, constraintsOf(node.Items.Schema, at.child("[]"))...)
	}
	return found
}

// change is a write as the API server sees it, after defaulting; from is nil for a creation.
type change struct{ from, to map[string]any }

func newChange(t *testing.T, v validator, input badInput) change {
	t.Helper()
	object := func(spec string) map[string]any {
		object := controlPlane(t, input.object, "some", spec).Object
		defaulting.Default(object, v.structural)
		return object
	}
	var c change
	if input.from != "" {
		c.from = object(input.from)
	}
	if input.status != "" {
		c.to = object(input.from)
		c.to["status"] = parse(t, input.status)
		return c
	}
	c.to = object(input.spec)
	return c
}

// validator is what kube-apiserver checks a custom resource with.
type validator struct {
	structural *schema.Structural
	values     apiservervalidation.SchemaValidator
	rules      *schemacel.Validator
}

func newValidator(t *testing.T, version *apiextensionsv1.JSONSchemaProps) validator {
	t.Helper()
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version, &internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		t.Fatal(err)
	}
	values, _, err := apiservervalidation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	return validator{structural, values, schemacel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

func (v validator) validate(ctx context.Context, c change) field.ErrorList {
	var errs field.ErrorList
	var old any // an untyped nil for a creation, as in kube-apiserver
	if c.from == nil {
		errs = apiservervalidation.ValidateCustomResource(nil, c.to, v.values)
	} else {
		old = c.from
		errs = apiservervalidation.ValidateCustomResourceUpdate(nil, c.to, c.from, v.values)
	}
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.structural, c.to)...)
	if len(errs) > 0 {
		return errs // as in kube-apiserver, rules are for what has the right form
	}
	errs, _ = v.rules.Validate(ctx, nil, v.structural, c.to, old, celconfig.RuntimeCELCostBudget)
	return errs
}
