package pool

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// oldestMinors is by how many minor versions a kubelet may be older than its API server.
// https://kubernetes.io/releases/version-skew-policy/#kubelet
const oldestMinors = 3

// Refusal is why nothing of a pool's spec is applied.
type Refusal struct {
	// Reason is one of the API's, and Message a sentence that says what to do.
	Reason, Message string
	// Stalled says that waiting does not help.
	Stalled bool
}

// Error lets a refusal end a reconcile.
func (r *Refusal) Error() string { return r.Message }

// Skew refuses machines of a version that may not join a control plane; nil if they may.
func Skew(machines string, controlPlane *teapotv1.TenantControlPlane) *Refusal {
	refuse := func(stalled bool, format string, args ...any) *Refusal {
		return &Refusal{Reason: teapotv1.ReasonVersionSkew, Stalled: stalled, Message: "spec.version: " + fmt.Sprintf(format, args...)}
	}
	wanted, err := version.ParseSemantic(machines)
	if err != nil {
		return refuse(true, "%q is no version; give one like v1.36.3", machines)
	}
	for _, its := range []struct {
		version, verb string
		waits         bool
	}{
		{controlPlane.Spec.Version, "is to run", false},
		// Empty until it runs. In the middle of an upgrade it is the older one.
		{controlPlane.Status.Version, "still runs", true},
	} {
		runs, err := version.ParseSemantic(its.version)
		switch {
		case err != nil:
			continue
		case !runs.AtLeast(wanted) && its.waits:
			return refuse(false, "TenantControlPlane %s %s %s; machines of %s are made once it runs that or a newer version",
				controlPlane.Name, its.verb, its.version, machines)
		case !runs.AtLeast(wanted):
			return refuse(true, "%s is newer than the %s that TenantControlPlane %s %s; upgrade the control plane first, or give at most that",
				machines, its.version, controlPlane.Name, its.verb)
		case wanted.Major() != runs.Major() || wanted.Minor()+oldestMinors < runs.Minor():
			return refuse(true, "%s is more than %d minor versions older than the %s that TenantControlPlane %s %s; give at least v%d.%d.0",
				machines, oldestMinors, its.version, controlPlane.Name, its.verb, runs.Major(), runs.Minor()-oldestMinors)
		}
	}
	return nil
}
