package validation

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
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
)

// superfluous returns, by path and constraint, those which refuse nothing that others would
// let pass, and why they are there. What a template shares with a control plane is named as
// in a control plane.
func superfluous() map[string]string {
	const cost = "the rule says the same; it bounds the estimated cost of the rule"
	const wanted = "a rule fails without it, with a worse sentence"
	list := map[string]string{
		"spec: required image":                                    wanted,
		"spec.image: required url":                                wanted,
		"spec.image.checksum: maxLength":                          cost,
		"spec.hostSelector.matchExpressions[]: required operator": wanted,
		"spec.hostSelector.matchExpressions[].key: maxLength":     cost,
		"spec.spread[].topologyKey: maxLength":                    cost,
		"spec.taints[].key: maxLength":                            cost,
		"spec.bootstrap.files[].permissions: maxLength":           cost,
		"spec.autoscaling: required minReplicas":                  wanted,
		"spec.autoscaling: required maxReplicas":                  wanted,
		"TenantControlPlane: required spec":                       wanted,
		"spec.network.podCIDR: maxLength":                         "no ranges of pods are longer; it bounds the estimated cost of the rules",
		"spec.scheduling.tolerations[].key: maxLength":            cost,
		"spec.scheduling.topologyKeys[]: maxLength":               cost,
		templateSpec + ".datastore.adoptFrom: maxLength":          "shared with control planes; a template has no adoptFrom at all",
		"spec.hibernation.schedules[].hibernateAt: maxLength":     cost,
		"spec.hibernation.schedules[].resumeAt: maxLength":        cost,
		"spec.hibernation.schedules[].timeZone: maxLength":        cost,
		"status.conditions[].reason: minLength":                   "metav1.Condition has both this and a pattern",
	}
	for _, component := range components {
		list["spec.components."+component+".extraArgs[]: required name"] = wanted
	}
	return list
}

// TestEveryConstraintRefuses takes every rule, bound, enum, pattern and required field of
// every kind away in turn, with kube-apiserver's own validation code, and wants a bad input
// that was refused and now passes.
func TestEveryConstraintRefuses(t *testing.T) {
	listed := superfluous()
	unused := maps.Clone(listed)
	for _, kind := range kinds(t) {
		t.Run(kind.name, func(t *testing.T) {
			whole := newValidator(t, kind.schema)
			var candidates []candidate
			for _, tt := range kind.bad {
				c := candidate{change: newChange(t, kind, whole, tt)}
				c.values, c.rules = whole.checkValues(c.change), whole.checkRules(t.Context(), c.change)
				if len(c.values) == 0 && len(c.rules) == 0 {
					t.Errorf("%s: accepted", tt.name)
				}
				candidates = append(candidates, c)
			}
			constraints := constraintsOf(kind.schema, nil)
			for i, constraint := range constraints {
				covered := slices.ContainsFunc(candidates, aloneRefusedBy(t, kind.schema, constraints, i))
				key := cmp.Or(constraint.path.String(), kind.name) + ": " + constraint.what
				reason, ok := listed[key]
				if !ok {
					key = strings.TrimPrefix(key, "spec.template.")
					reason, ok = listed[key]
				}
				delete(unused, key)
				if ok && covered {
					t.Errorf("%s: is listed as superfluous (%s), but a bad input is refused by it alone; remove it from the list", key, reason)
				} else if !ok && !covered {
					t.Errorf("%s: no bad input is refused by it alone; add one to cases_test.go, or remove it where another constraint says the same", key)
				}
			}
		})
	}
	for key := range unused {
		t.Errorf("%s: is listed as superfluous, but there is no such constraint; remove it from the list", key)
	}
}

// candidate is a bad input with what the whole schema has against its values, and against it
// by rules.
type candidate struct {
	change
	values, rules field.ErrorList
}

// aloneRefusedBy says of a candidate whether it would pass without the constraint with the
// index. kube-apiserver looks at rules only where all values are in order.
func aloneRefusedBy(t *testing.T, schema *apiextensionsv1.JSONSchemaProps, constraints []constraint, index int) func(candidate) bool {
	t.Helper()
	mutant := schema.DeepCopy()
	// To compile one rule is quicker than to compile all others, and values need none. From
	// the last to the first, since the rules of a node are removed by their index.
	for i, constraint := range slices.Backward(constraints) {
		if constraint.rule && i != index {
			constraint.path.edit(mutant, constraint.remove)
		}
	}
	if constraints[index].rule {
		only := newValidator(t, mutant)
		return func(c candidate) bool {
			return len(c.values) == 0 && len(c.rules) > 0 && len(only.checkRules(t.Context(), c.change)) == len(c.rules)
		}
	}
	constraints[index].path.edit(mutant, constraints[index].remove)
	without := newValidator(t, mutant)
	return func(c candidate) bool {
		return len(c.values) > 0 && len(c.rules) == 0 && len(without.checkValues(c.change)) == 0
	}
}

// path leads to a node of a schema: names of properties, "[]" for the items of a list and
// "{}" for the values of a map.
type path []string

func (p path) String() string {
	text := ""
	for i, step := range p {
		if i > 0 && step != "[]" && step != "{}" {
			text += "."
		}
		text += step
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
	case p[0] == "{}":
		p[1:].edit(node.AdditionalProperties.Schema, change)
	default:
		property := node.Properties[p[0]]
		p[1:].edit(&property, change)
		node.Properties[p[0]] = property
	}
}

// constraint is one way in which a schema refuses.
type constraint struct {
	path path
	what string
	// rule says that it is one in CEL.
	rule   bool
	remove func(*apiextensionsv1.JSONSchemaProps)
}

// constraintsOf lists the constraints of a node and of all below it.
func constraintsOf(node *apiextensionsv1.JSONSchemaProps, at path) []constraint {
	var found []constraint
	add := func(present bool, what string, remove func(*apiextensionsv1.JSONSchemaProps)) {
		if present {
			found = append(found, constraint{at, what, strings.HasPrefix(what, "rule "), remove})
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
	add(node.XListType != nil && *node.XListType == "map", "list type map", func(n *props) { n.XListType, n.XListMapKeys = nil, nil })
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
	if node.AdditionalProperties != nil && node.AdditionalProperties.Schema != nil {
		found = append(found, constraintsOf(node.AdditionalProperties.Schema, at.child("{}"))...)
	}
	return found
}

// change is a write as the API server sees it, after defaulting; from is nil for a creation.
type change struct{ from, to map[string]any }

func newChange(t *testing.T, kind kind, v validator, input badInput) change {
	t.Helper()
	object := func(spec string) map[string]any {
		object := kind.object(t, cmp.Or(input.object, "some"), spec).Object
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

// checkValues checks all but rules.
func (v validator) checkValues(c change) field.ErrorList {
	var errs field.ErrorList
	if c.from == nil {
		errs = apiservervalidation.ValidateCustomResource(nil, c.to, v.values)
	} else {
		errs = apiservervalidation.ValidateCustomResourceUpdate(nil, c.to, c.from, v.values)
	}
	return append(errs, listtype.ValidateListSetsAndMaps(nil, v.structural, c.to)...)
}

// checkRules checks the rules. Values that are not of the right type may be mistaken.
func (v validator) checkRules(ctx context.Context, c change) field.ErrorList {
	var old any // an untyped nil for a creation, as in kube-apiserver
	if c.from != nil {
		old = c.from
	}
	errs, _ := v.rules.Validate(ctx, nil, v.structural, c.to, old, celconfig.RuntimeCELCostBudget)
	return errs
}
