// Package v1alpha1 is Teapot's API: the kinds of group teapot.dev, version v1alpha1.
//
// A spec says what is wanted, a status what was observed; a status may be lost at
// any time and is rebuilt from the objects that own the facts. Validation lives in
// the schema (bounds, enums, patterns, CEL rules), so that the API server itself
// refuses bad input with a sentence that names the field.
//
// +kubebuilder:object:generate=true
// +groupName=teapot.dev
package v1alpha1
