package host

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Tenant is a namespace with claims, from when it was made until it is deleted. One that is made
// again with the same name may be somebody else's: it is another tenant.
type Tenant struct {
	Namespace string
	// UID is the namespace's; empty: not known.
	UID types.UID
}

// String is the form of the annotation teapot.dev/uncleaned-for: "namespace/uid", or "namespace"
// without a UID.
func (t Tenant) String() string {
	if t.UID == "" {
		return t.Namespace
	}
	return t.Namespace + "/" + string(t.UID)
}

// KeptFor is who alone may have a host that is not clean; nobody (the zero Tenant) if its mark has
// no UID, as those of older Teapots, and if it is clean.
func (h *Host) KeptFor() Tenant {
	namespace, uid, known := strings.Cut(h.UncleanedFor, "/")
	if !known || namespace == "" || uid == "" {
		return Tenant{}
	}
	return Tenant{Namespace: namespace, UID: types.UID(uid)}
}
