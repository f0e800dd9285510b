package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

type writer struct {
	source source
	buffer bytes.Buffer
}

func (w *writer) linef(format string, args ...any) {
	fmt.Fprintf(&w.buffer, format+"\n", args...)
}

// kind writes one CRD's kind.
func (w *writer) kind(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	names := crd.Spec.Names
	for _, version := range crd.Spec.Versions {
		root := version.Schema.OpenAPIV3Schema
		w.linef("\n## %s\n", names.Kind)
		w.linef("%s\n", paragraph(root.Description))
		w.linef("- `apiVersion: %s/%s`, `kind: %s`, %s", crd.Spec.Group, version.Name, names.Kind, scope(crd.Spec.Scope))
		w.linef("- `kubectl get %s`", strings.Join(append([]string{names.Plural}, names.ShortNames...), "` or `kubectl get "))
		if scale := version.Subresources.Scale; scale != nil {
			w.linef("- `kubectl scale` changes `%s`", strings.TrimPrefix(scale.SpecReplicasPath, "."))
		}
		for _, rule := range root.XValidations {
			w.linef("- %s", rule.Message)
		}
		for _, part := range []string{"spec", "status"} {
			if schema, ok := root.Properties[part]; ok {
				w.object(part, w.source.typeOf(names.Kind, part), schema, rulesOf(schema))
			}
		}
	}
	return nil
}

// object writes the fields of an object as a table, then the objects below it.
func (w *writer) object(path, goType string, schema apiextensionsv1.JSONSchemaProps, rules rules) {
	w.linef("\n### `%s`\n", path)
	w.linef("%s\n", paragraph(schema.Description))
	for _, rule := range rules[""] {
		w.linef("%s\n", escape(sentence(rule)))
	}
	w.linef("| Field | Type | Default | Meaning |\n|---|---|---|---|")
	names := order(w.source.fieldsOf(goType), schema.Properties)
	for _, name := range names {
		property := schema.Properties[name]
		w.linef("| `%s` | %s | %s | %s |", name, kindOf(property, w.source.typeOf(goType, name), slices.Contains(schema.Required, name)), defaultOf(property), meaning(property, rules.below(name, property)[""]))
	}
	for i, name := range names {
		property, below := schema.Properties[name], path+"."+name
		inner := rules.below(name, property)
		if property.Items != nil && property.Items.Schema != nil {
			property, below = *property.Items.Schema, below+"[]"
		}
		if len(property.Properties) == 0 {
			continue
		}
		// The components are all alike, and so are the add-ons: what is alike is written once.
		if j := slices.IndexFunc(names[:i], func(other string) bool {
			return alike(schema.Properties[other], property) && reflect.DeepEqual(rules.below(other, schema.Properties[other]), inner)
		}); j >= 0 {
			w.linef("\n### `%s`\n\n%s\n\nIts fields are those of [`%s.%s`](#%s).", below, paragraph(property.Description), path, names[j], anchor(path+"."+names[j]))
			continue
		}
		w.object(below, w.source.typeOf(goType, name), property, inner)
	}
}

// conditions writes what api/v1alpha1/conditions.go documents.
func (w *writer) conditions() {
	table := func(title, head string, of func(constant) bool) {
		w.linef("\n## %s\n\n| %s | Meaning |\n|---|---|", title, head)
		for _, c := range w.source.constants {
			if of(c) {
				w.linef("| `%s` | %s |", c.value, escape(sentence(withoutName(c))))
			}
		}
	}
	table("Conditions", "Type", func(c constant) bool { return strings.HasSuffix(c.name, "Condition") })
	table("Reasons", "Reason", func(c constant) bool { return strings.HasPrefix(c.name, "Reason") })
	w.linef("\nReasons are shared by conditions and events.")
}

// withoutName is the comment of a constant without the constant's own name at its start.
func withoutName(c constant) string {
	text := strings.TrimPrefix(strings.TrimPrefix(c.doc, c.name), ":")
	return paragraph(strings.TrimSpace(text))
}

func scope(scope apiextensionsv1.ResourceScope) string {
	if scope == apiextensionsv1.ClusterScoped {
		return "cluster-wide"
	}
	return "in a namespace"
}

func kindOf(schema apiextensionsv1.JSONSchemaProps, goType string, required bool) string {
	kind := schema.Type
	switch {
	case goType == "IntOrString":
		kind = "number or percentage"
	case schema.XIntOrString:
		kind = "quantity"
	case schema.Items != nil && schema.Items.Schema != nil:
		kind = "list of " + schema.Items.Schema.Type
	case schema.Format == "date-time":
		kind = "time"
	}
	if required {
		kind += ", required"
	}
	return kind
}

func defaultOf(schema apiextensionsv1.JSONSchemaProps) string {
	if schema.Default == nil || string(schema.Default.Raw) == "{}" {
		return ""
	}
	var value any
	if err := json.Unmarshal(schema.Default.Raw, &value); err != nil {
		return ""
	}
	return fmt.Sprintf("`%v`", value)
}

// meaning is a field's description and all that restricts it.
func meaning(schema apiextensionsv1.JSONSchemaProps, rules []string) string {
	parts := []string{paragraph(schema.Description)}
	var limits []string
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, "`"+strings.Trim(string(value.Raw), `"`)+"`")
		}
		limits = append(limits, "one of "+strings.Join(values, ", "))
	}
	switch {
	case schema.Minimum != nil && schema.Maximum != nil:
		limits = append(limits, fmt.Sprintf("%v to %v", *schema.Minimum, *schema.Maximum))
	case schema.Minimum != nil:
		limits = append(limits, fmt.Sprintf("at least %v", *schema.Minimum))
	case schema.Maximum != nil:
		limits = append(limits, fmt.Sprintf("at most %v", *schema.Maximum))
	}
	if schema.MinLength != nil {
		limits = append(limits, fmt.Sprintf("at least %d characters", *schema.MinLength))
	}
	if schema.MaxLength != nil {
		limits = append(limits, fmt.Sprintf("at most %d characters", *schema.MaxLength))
	}
	if schema.Pattern != "" {
		limits = append(limits, "matches `"+schema.Pattern+"`")
	}
	if schema.MaxItems != nil {
		limits = append(limits, fmt.Sprintf("at most %d items", *schema.MaxItems))
	}
	if items := schema.Items; items != nil && items.Schema != nil && items.Schema.MaxLength != nil {
		limits = append(limits, fmt.Sprintf("each at most %d characters", *items.Schema.MaxLength))
	}
	if schema.MaxProperties != nil {
		limits = append(limits, fmt.Sprintf("at most %d entries", *schema.MaxProperties))
	}
	if schema.XListType != nil && *schema.XListType == "set" {
		limits = append(limits, "no item twice")
	}
	if len(schema.XListMapKeys) > 0 {
		limits = append(limits, "no two items with the same "+strings.Join(schema.XListMapKeys, " and "))
	}
	if len(limits) > 0 {
		parts = append(parts, sentence(strings.Join(limits, "; ")))
	}
	// An object of its own table lists its own rules there.
	if len(schema.Properties) == 0 {
		for _, rule := range rules {
			parts = append(parts, sentence(rule))
		}
	}
	return escape(strings.Join(parts, lineBreak))
}

// rules are the messages of rules by the path, below an object, of the field that they
// point to; those under the empty path are about the object itself.
type rules map[string][]string

func rulesOf(schema apiextensionsv1.JSONSchemaProps) rules {
	found := rules{}
	for _, rule := range schema.XValidations {
		path := strings.TrimPrefix(rule.FieldPath, ".")
		found[path] = append(found[path], rule.Message)
	}
	return found
}

// below are a field's own rules and those of the objects around it that point to it or
// further down.
func (r rules) below(name string, schema apiextensionsv1.JSONSchemaProps) rules {
	found := rulesOf(schema)
	for path, messages := range r {
		if first, rest, _ := strings.Cut(path, "."); first == name {
			found[rest] = append(found[rest], messages...)
		}
	}
	return found
}

// alike says whether two objects have the same fields.
func alike(a, b apiextensionsv1.JSONSchemaProps) bool {
	a.Description, b.Description = "", ""
	return reflect.DeepEqual(a, b)
}

func anchor(path string) string {
	return strings.ToLower(strings.NewReplacer(".", "", "[]", "").Replace(path))
}

// paragraph undoes the line breaks of a comment.
func paragraph(text string) string { return strings.Join(strings.Fields(text), " ") }

// sentence begins with a capital, unless its first word is a name, and ends with a dot.
func sentence(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if text != "" && !strings.Contains(first, ".") && !strings.HasPrefix(first, "etcd") && !strings.HasPrefix(first, "kubeadm") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return strings.TrimSuffix(text, ".") + "."
}

// lineBreak is the one piece of HTML in a table's cell.
const lineBreak = "<br>"

func escape(text string) string {
	return strings.NewReplacer("|", `\|`, lineBreak, lineBreak, "<", "&lt;").Replace(text)
}
