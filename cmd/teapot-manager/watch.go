package main

import (
	"maps"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// inNamespaces narrows a cache to the TenantControlPlanes of some namespaces and to the
// objects that belong to them, wherever these are: a control plane's own namespace cannot be
// named beforehand, but all that is in it says by a label whose it is. So two managers that
// watch different namespaces never see one another's objects. Without namespaces nothing is
// narrowed.
func inNamespaces(options cache.Options, namespaces []string) cache.Options {
	if len(namespaces) == 0 {
		return options
	}
	theirs, err := labels.NewRequirement(teapotv1.ControlPlaneNamespaceLabel, selection.In, namespaces)
	runtime.Must(err) // names of namespaces are values of labels

	options.ByObject = maps.Clone(options.ByObject)
	for kind, by := range options.ByObject {
		if by.Label != nil {
			by.Label = by.Label.Add(*theirs)
			options.ByObject[kind] = by
		}
	}
	these := map[string]cache.Config{}
	for _, namespace := range namespaces {
		these[namespace] = cache.Config{}
	}
	options.ByObject[&teapotv1.TenantControlPlane{}] = cache.ByObject{Namespaces: these}
	return options
}
