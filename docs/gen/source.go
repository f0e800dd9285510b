package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// source is what the schema does not tell and the Go source does.
type source struct {
	// fields are the fields of each struct, in the order in which they are written.
	fields map[string][]sourceField
	// constants are the documented constants, in order.
	constants []constant
}

type sourceField struct{ name, goType string }

type constant struct{ name, value, doc string }

// readSource parses the Go files of a package.
func readSource(dir string) (source, error) {
	found := source{fields: map[string][]sourceField{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return source{}, err
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.Base(path), "zz_generated") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return source{}, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return source{}, fmt.Errorf("parsing the types: %w", err)
		}
		for _, declaration := range file.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				for _, spec := range general.Specs {
					found.add(spec)
				}
			}
		}
	}
	return found, nil
}

func (s *source) add(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return
		}
		for _, field := range structure.Fields.List {
			if field.Tag == nil {
				continue
			}
			tag, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				continue // go/parser has accepted it; the compiler will not
			}
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			s.fields[spec.Name.Name] = append(s.fields[spec.Name.Name], sourceField{name, typeName(field.Type)})
		}
	case *ast.ValueSpec:
		if spec.Doc == nil || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			return
		}
		s.constants = append(s.constants, constant{spec.Names[0].Name, value, spec.Doc.Text()})
	}
}

// fieldsOf are the fields of a struct as JSON has them: those of a struct that is inline in it are
// its own.
func (s source) fieldsOf(goType string) []sourceField {
	var all []sourceField
	for _, field := range s.fields[goType] {
		if field.name == "" {
			all = append(all, s.fieldsOf(field.goType)...)
		} else {
			all = append(all, field)
		}
	}
	return all
}

// typeOf is the type of a struct's field.
func (s source) typeOf(goType, field string) string {
	fields := s.fieldsOf(goType)
	if i := slices.IndexFunc(fields, func(f sourceField) bool { return f.name == field }); i >= 0 {
		return fields[i].goType
	}
	return ""
}

// typeName is the name, without its package, of the type behind pointers and slices.
func typeName(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.StarExpr:
		return typeName(expression.X)
	case *ast.ArrayType:
		return typeName(expression.Elt)
	case *ast.Ident:
		return expression.Name
	case *ast.SelectorExpr:
		return expression.Sel.Name
	default:
		return ""
	}
}

// order returns the names of a schema's properties in the order of the Go struct; those
// of a type from elsewhere come by name.
func order[T any](fields []sourceField, properties map[string]T) []string {
	names := slices.Sorted(maps.Keys(properties))
	position := func(name string) int {
		if i := slices.IndexFunc(fields, func(f sourceField) bool { return f.name == name }); i >= 0 {
			return i
		}
		return len(fields)
	}
	slices.SortStableFunc(names, func(a, b string) int { return position(a) - position(b) })
	return names
}
