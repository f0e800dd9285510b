package main

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// inNamespaces narrows a cache to the tenants' namespaces given, and to what belongs to the
// TenantControlPlanes of these, wherever it is: a control plane's own namespace cannot be
// named beforehand, but all that is in it says by a label whose it is. So two managers that
// watch different namespaces never see one another's objects. Without namespaces nothing is
// narrowed.
func inNamespaces(options cache.Options, namespaces []string) cache.Options {
	if len(namespaces) == 0 {
		return options
	}
	theirs, err := labels.NewRequirement(teapotv1.ControlPlaneNamespaceLabel, selection.In, namespaces)
	runtime.Must(err) // a namespace's name is a label's value

	options.DefaultNamespaces = map[string]cache.Config{}
	for _, namespace := range namespaces {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	options.ByObject = maps.Clone(options.ByObject)
	for kind, by := range options.ByObject {
		if by.Label == nil {
			continue // not made by Teapot: in the tenants' namespaces only
		}
		by.Label = by.Label.Add(*theirs)
		if _, clusterScoped := kind.(*corev1.Namespace); !clusterScoped {
			by.Namespaces = map[string]cache.Config{cache.AllNamespaces: {}}
		}
		options.ByObject[kind] = by
	}
	return options
}
