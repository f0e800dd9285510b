package tenant

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// leaveOut removes from an object the fields that a server-side-apply conflict names. It
// reports whether anything was removed: if not, trying again would fail the same way.
//
// The API server names fields as structured-merge-diff prints paths, for example
// .data.Corefile or .spec.template.spec.containers[name="coredns"].image
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts).
func leaveOut(object *unstructured.Unstructured, conflict error) bool {
	var status apierrors.APIStatus
	if !errors.As(conflict, &status) || status.Status().Details == nil {
		return false
	}
	removed := false
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict && remove(object.Object, parsePath(cause.Field)) {
			removed = true
		}
	}
	return removed
}

// step is one element of a path: a field name, or a list element by its key fields.
type step struct {
	field string
	keys  map[string]string
}

func parsePath(path string) []step {
	var steps []step
	for path != "" {
		switch path[0] {
		case '.':
			end := strings.IndexAny(path[1:], ".[")
			if end < 0 {
				end = len(path) - 1
			}
			steps = append(steps, step{field: path[1 : end+1]})
			path = path[end+1:]
		case '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return nil
			}
			keys := map[string]string{}
			for _, pair := range strings.Split(path[1:end], ",") {
				name, value, ok := strings.Cut(pair, "=")
				if !ok {
					return nil
				}
				keys[name] = strings.Trim(value, `"`)
			}
			steps = append(steps, step{keys: keys})
			path = path[end+1:]
		default:
			return nil
		}
	}
	return steps
}

// remove deletes what the path leads to. A field whose name holds a dot (a label's, an
// annotation's, a file's) is printed without quotes, so the longest name that exists wins.
func remove(node any, steps []step) bool {
	if len(steps) == 0 {
		return false
	}
	switch typed := node.(type) {
	case map[string]any:
		name := ""
		for i, s := range steps {
			if s.keys != nil {
				break
			}
			if i > 0 {
				name += "."
			}
			name += s.field
			child, ok := typed[name]
			if !ok {
				continue
			}
			if i == len(steps)-1 {
				delete(typed, name)
				return true
			}
			if remove(child, steps[i+1:]) {
				return true
			}
		}
	case []any:
		for _, element := range typed {
			fields, ok := element.(map[string]any)
			if ok && matches(fields, steps[0].keys) {
				return remove(fields, steps[1:])
			}
		}
	}
	return false
}

func matches(fields map[string]any, keys map[string]string) bool {
	if len(keys) == 0 {
		return false
	}
	for name, want := range keys {
		if value, ok := fields[name]; !ok || fmt.Sprint(value) != want {
			return false
		}
	}
	return true
}
