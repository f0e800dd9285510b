package controllers

import (
	"reflect"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// sharer keeps once what the pod templates of one kind have in common. Those of all control planes differ
// in names and addresses, and are a fifth of what a tenant costs the manager's memory (docs/benchmarks.md).
// Nobody changes what is in a cache, so it may be in many objects.
type sharer struct {
	mu sync.Mutex
	// last is the template that was seen last: the next one is compared with it.
	last *corev1.PodTemplateSpec
}

var deployments, statefulSets sharer

// shareTemplate is for objects that come into the cache and are in nobody's hands yet.
func shareTemplate(in any) {
	switch object := in.(type) {
	case *appsv1.Deployment:
		deployments.share(&object.Spec.Template)
	case *appsv1.StatefulSet:
		statefulSets.share(&object.Spec.Template)
	}
}

func (s *sharer) share(template *corev1.PodTemplateSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		share(reflect.ValueOf(s.last).Elem(), reflect.ValueOf(template).Elem())
	}
	s.last = template
}

// share has to refer to the same memory as from wherever both are equal.
func share(from, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		if from.String() == to.String() {
			to.SetString(from.String())
		}
	case reflect.Struct:
		for i := range to.NumField() {
			if to.Field(i).CanSet() {
				share(from.Field(i), to.Field(i))
			}
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if from.IsNil() || to.IsNil() {
			return
		}
		if reflect.DeepEqual(from.Interface(), to.Interface()) {
			to.Set(from)
			return
		}
		switch to.Kind() {
		case reflect.Pointer:
			share(from.Elem(), to.Elem())
		case reflect.Slice:
			for i := range min(from.Len(), to.Len()) {
				share(from.Index(i), to.Index(i))
			}
		}
	}
}
