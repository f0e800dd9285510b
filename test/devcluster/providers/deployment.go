package providers

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// managerContainer is the container that Cluster API's contract for providers asks for.
const managerContainer = "manager"

// configure makes upstream's Deployment one for the development cluster: our image and
// arguments, requests that fit beside everything else, and no time lost.
func (p Provider) configure(o *unstructured.Unstructured) error {
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
		return err
	}
	pod := &d.Spec.Template.Spec
	i := slices.IndexFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == managerContainer })
	if i < 0 {
		return fmt.Errorf("it has no container %q", managerContainer)
	}
	c := &pod.Containers[i]
	args, err := expand(c.Args, p.Variables)
	if err != nil {
		return err
	}
	c.Args = append(args, p.Args...)
	c.Image, c.ImagePullPolicy = p.Image, corev1.PullIfNotPresent
	c.Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
	}
	if c.ReadinessProbe != nil {
		c.ReadinessProbe.InitialDelaySeconds, c.ReadinessProbe.PeriodSeconds = 0, 1
	}
	d.Spec.MinReadySeconds = 0
	// Without leader election no two may run at a time.
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	o.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(&d)
	unstructured.RemoveNestedField(o.Object, "status")
	return err
}

// expand replaces ${NAME:=default} by the variable or its default, as clusterctl does. It
// fails for a variable that has neither, and for one that no argument asks for.
func expand(args []string, variables map[string]string) ([]string, error) {
	unused := maps.Clone(variables)
	var unknown []string
	expanded := make([]string, len(args))
	for i, arg := range args {
		expanded[i] = os.Expand(arg, func(expression string) string {
			name, value, hasDefault := strings.Cut(expression, ":=")
			delete(unused, name)
			if set, ok := variables[name]; ok {
				return set
			}
			if !hasDefault {
				unknown = append(unknown, name)
			}
			return value
		})
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no value for %s in its arguments", strings.Join(unknown, ", "))
	}
	if len(unused) > 0 {
		return nil, fmt.Errorf("its arguments do not ask for %s: look at what upstream changed",
			strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	return expanded, nil
}
